"""Real nodes on every kind of MongoDB server: standalone, with users, with TLS, and away for a while."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster.rig import SLACK, TTL, Cluster, Mongod, ReplicaSet, report
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from waiting import LONGEST_SECONDS, wait_until

from gsched.errors import StoreAccessError, StoreUnreachableError

pytest_plugins = ["mongodb", "cluster.fixtures"]
pytestmark = pytest.mark.usefixtures("needs_mongod")


def test_on_a_standalone_server_one_node_works_and_another_stands_by(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    server = Mongod(directory / "standalone")
    servers.append(server)
    server.wait_until_up()
    cluster = make_cluster(server.uri)
    cluster.start("first")
    cluster.wait_until_balanced()
    cluster.start("second")
    jobs = cluster.add_ticks(10)
    for name in ("first", "second"):
        cluster.wait_for_event("feed.unsupported", node_name=name)
        cluster.wait_for_event("node.joined", node_name=name)
    cluster.wait_until_all_run(jobs, time.time())
    assert {line["node"] for line in cluster.starts()} == {"first"}
    killed = cluster.kill("first")
    continued = cluster.wait_until_all_run(jobs, killed + 0.5) - killed
    began = time.time()
    cluster.scheduler.add_job("cluster.jobs:tick", id="polled")
    took = cluster.wait_for_start("polled", began)["time"] - began
    report("standalone", takeover=continued, added=took)
    cluster.stop_and_check(jobs)
    assert [len(cluster.events.named("feed.unsupported"))] == [2]
    assert continued <= TTL + 1 + SLACK


def test_a_user_without_the_right_to_change_streams_polls(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    server = asking_for_users(directory)
    servers.append(server)
    with user_of(server, "root") as root:
        actions = ["find", "insert", "update", "remove", "createIndex", "createCollection"]
        everywhere = {"resource": {"db": "", "collection": ""}, "actions": actions}
        root.admin.command("createRole", "modest", privileges=[everywhere], roles=[])
        root.admin.command("createUser", "modest", pwd="modest", roles=["modest"])
    cluster = make_cluster(uri_of(server, "modest"))
    cluster.start("a")
    said = cluster.wait_for_event("feed.unsupported")
    assert said["reason"] == "not authorized: the user lacks the privilege changeStream"
    cluster.wait_until_balanced()
    began = time.time()
    cluster.scheduler.add_job("cluster.jobs:tick", id="polled")
    report("polling", added=cluster.wait_for_start("polled", began, 10)["time"] - began)
    cluster.stop()
    assert len(cluster.events.named("feed.unsupported")) == 1


def asking_for_users(directory: Path) -> ReplicaSet:
    """A server that only lets its users in: there is root."""
    directory.joinpath("key").write_text("abcdefgh")
    directory.joinpath("key").chmod(0o400)
    server = ReplicaSet(directory / "auth", 1, "--keyFile", str(directory / "key"))
    with server.client() as client:  # MongoDB lets one in from the same machine while it has no users
        client.admin.command("createUser", "root", pwd="root", roles=["root"])
    return server


def uri_of(server: ReplicaSet, name: str, password: str | None = None) -> str:
    return f"mongodb://{name}:{password or name}@{server.members[0].address}/?directConnection=true"


def user_of(server: ReplicaSet, name: str) -> MongoClient[Any]:
    return MongoClient(uri_of(server, name))


def test_a_user_that_is_dropped_and_made_again_or_loses_its_roles_for_a_while_goes_on(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    server = asking_for_users(directory)
    servers.append(server)
    roles: dict[str, Any] = {"roles": ["readWriteAnyDatabase"]}
    with user_of(server, "root") as root:
        root.admin.command("createUser", "app", pwd="app", **roles)
        cluster = make_cluster(uri_of(server, "app"))
        cluster.start_and_wait("a")
        jobs = cluster.add_ticks(3)
        cluster.wait_until_all_run(jobs, 0)
        facts = cluster.store.follow(lambda: False)
        assert next(facts).name == "feed.opened"
        for take, give in (
            (("dropUser", "app", {}), ("createUser", "app", {"pwd": "app", **roles})),
            (("revokeRolesFromUser", "app", roles), ("grantRolesToUser", "app", roles)),
            (("updateUser", "app", {"pwd": "new"}), ("updateUser", "app", {"pwd": "app"})),
        ):
            began = time.time()
            for command, name, arguments in (take, give):
                root.admin.command(command, name, **arguments)
            cluster.wait_until_all_run(jobs, began + 2)
            wait_until(lambda: get_through(cluster, jobs[0]), f"to be let in after {take[0]}")
        told = wait_until(lambda: next(facts).job_id == jobs[0], "the follower to hear of changes")
    assert told
    cluster.stop()


def get_through(cluster: Cluster, job: str) -> bool:
    """Whether the database takes a change of the job."""
    try:
        cluster.scheduler.modify_job(job, name=uuid.uuid4().hex)
    except (StoreAccessError, StoreUnreachableError):
        return False
    return True


def tls_server(
    directory: Path, certificate: Path, key: Path, servers: list[Mongod | ReplicaSet]
) -> ReplicaSet:
    """A server that takes TLS alone, with a new certificate and key."""
    make_certificate(certificate, key)
    key.write_text(key.read_text() + certificate.read_text())
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(key))
    query = f"&tls=true&tlsCAFile={certificate}"
    server = ReplicaSet(directory / "tls", 1, *options, "--tlsAllowConnectionsWithoutCertificates", query=query)
    servers.append(server)
    return server


def test_certificates_that_are_renewed_are_read_again(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    server = tls_server(directory, certificate, key, servers)
    cluster = make_cluster(server.uri)
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(3)
    cluster.wait_until_all_run(jobs, 0)
    server.members[0].kill()
    make_certificate(certificate, key)
    key.write_text(key.read_text() + certificate.read_text())
    server.members[0].start_again()
    cluster.wait_until_all_run(jobs, time.time() + 1)
    wait_until(lambda: get_through(cluster, jobs[0]), "to be let in")
    cluster.stop()


def test_jobs_run_over_tls(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    server = tls_server(directory, directory / "certificate.pem", directory / "key.pem", servers)
    plain = MongoClient(server.uri.replace(server.members[0].query, ""), serverSelectionTimeoutMS=500)
    with plain, pytest.raises(PyMongoError):
        plain.admin.command("ping")
    cluster = make_cluster(server.uri)
    cluster.start_and_wait("a", "b")
    cluster.wait_for_event("feed.opened")
    began = time.time()
    cluster.scheduler.add_job("cluster.jobs:tick", id="now")
    cluster.wait_for_start("now", began, 5)
    cluster.wait_until_all_run(cluster.add_ticks(10, coalesce=False, max_instances=100), time.time() + 1)
    verdict = cluster.stop_and_check()
    assert verdict.counts["run"] == verdict.counts["instants"]


def make_certificate(certificate: Path, key: Path) -> None:
    """A certificate for this machine that vouches for itself. Without openssl, as without mongod: skip, fail on CI."""
    if not shutil.which("openssl") and os.environ.get("CI") != "true":
        pytest.skip("no openssl")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_database_that_is_away_stops_neither_scheduler_nor_web_server(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    server = ReplicaSet(directory / "set")
    servers.append(server)
    mongod = server.members[0]
    cluster = make_cluster(server.uri)
    start = {"trigger": "interval", "seconds": 0.5, "start_date": datetime.now(UTC) + timedelta(seconds=1)}
    cluster.scheduler.add_job("cluster.jobs:tick", id="patient", **start)
    cluster.scheduler.add_job("cluster.jobs:tick", id="strict", misfire_grace_time=1, coalesce=False, **start)
    # Of these there is always one to be written down as in progress.
    cluster.scheduler.add_job("cluster.jobs:work", args=[4], id="long", max_instances=20, **start)
    jobs = ["patient", "strict"]
    mongod.kill()
    cluster.start("a", http=True)
    port = cluster.wait_for_event("http.listening")["port"]
    with visitor(port) as latencies:
        outage(cluster, 0, latencies)
        mongod.start_again()
        cluster.wait_until_all_run(jobs, time.time())
        frozen = mongod.freeze()
        outage(cluster, frozen, latencies, must_tell=False)
        mongod.thaw()
        cluster.wait_until_all_run(jobs, time.time())
        last = cluster.wait_for_start("long", time.time())["time"]
        wait_until(lambda: time.time() > last + 2, "runs to become long ones")
        killed = mongod.kill()
        outage(cluster, killed, latencies)
        mongod.start_again()
        cluster.wait_for_event("store.connected", killed)
        cluster.wait_until_all_run(jobs, time.time())
    verdict = cluster.stop_and_check()
    report("outages", visits=len(latencies), slowest_visit=max(latencies), **verdict.counts)
    assert verdict.counts["missed"] > 0 and verdict.counts["coalesced"] > 0


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_scheduler_that_is_shut_down_while_the_database_is_away_goes_within_seconds(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster], how: str
) -> None:
    server = ReplicaSet(directory / "set")
    servers.append(server)
    cluster = make_cluster(server.uri)
    cluster.node_ttl = 10.0
    cluster.start_and_wait("a")
    cluster.wait_until_all_run(cluster.add_ticks(5), time.time())
    away = getattr(server.members[0], how)()
    cluster.wait_for_event("store.disconnected", away)
    told = cluster.stop("a")
    report("shutdown in an outage", seconds=time.time() - told)
    assert time.time() - told < 5 + SLACK + 2
    assert "does not answer" in cluster.wait_for_event("store.failed", told)["error_message"]
    server.members[0].thaw()


def outage(cluster: Cluster, since: float, latencies: list[float], must_tell: bool = True) -> None:
    """Three seconds of it, in which visitors are served, and what people hear of it."""
    began, served = time.time(), len(latencies)
    wait_until(lambda: time.time() > began + 3, "the outage to take its time")
    assert len(latencies) > served + 3
    if must_tell:
        cluster.wait_for_event("store.disconnected", since)
    assert cluster.nodes["a"].alive()


@contextmanager
def visitor(port: int) -> Iterator[list[float]]:
    """Somebody who asks a web server every 50 ms; how many seconds each answer took."""
    latencies: list[float] = []
    over = threading.Event()

    def visit() -> None:
        while not over.wait(0.05):
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"ok"
            connection.close()
            latencies.append(time.monotonic() - began)

    thread = threading.Thread(target=visit, daemon=True)
    thread.start()
    yield latencies
    over.set()
    thread.join()
