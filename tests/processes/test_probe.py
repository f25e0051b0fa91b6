"""The probe port and the commands that ask it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import gevent
import pytest
import waiting
from gevent import get_hub
from gevent.event import Event
from structlog.testing import capture_logs

from gsched import ConfigurationError, GeventScheduler
from gsched.web import server
from gsched.web.address import parse_address
from gsched.web.probe import serve_probe

GSCHED = str(Path(sys.executable).parent / "gsched")
wait_until = partial(waiting.wait_until, sleep=gevent.sleep)


def elsewhere(func, *args):
    """Call `func` in a native thread, while the scheduler and the probe go on here."""
    return get_hub().threadpool.apply(func, args)


class Served:
    """A scheduler with a probe port."""

    def __init__(self, address="0"):
        self.scheduler = GeventScheduler(summary_every=None)
        self.draining = False
        self.probe = serve_probe(address, self.scheduler, draining=lambda: self.draining)

    def request(self, path, method="GET", **headers):
        """(status, body, headers) of an answer."""
        return elsewhere(self._request, path, method, headers)

    def _request(self, path, method, headers):
        connection = HTTPConnection(*parse_address(self.probe.address), timeout=20)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def get(self, path):
        return self.request(path)[:2]

    def command(self, *arguments):
        """(exit code, stdout, stderr) of `gsched ... --probe HERE`."""
        return run_command(*arguments, "--probe", self.probe.address)

    def close(self):
        self.probe.stop()
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)


def run_command(*arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GSCHED_")}
    done = elsewhere(
        lambda: subprocess.run([GSCHED, *arguments], capture_output=True, text=True, timeout=30, env=environment)
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def unstarted():
    with gevent.Timeout(60):
        served = Served()
        yield served
        served.close()


@pytest.fixture
def served(unstarted):
    unstarted.scheduler.start()
    return unstarted


# -- pages -----------------------------------------------------------------------------------------------------------


def test_a_runner_that_is_well_answers_ok(served):
    assert served.get("/livez") == (200, "ok\n")
    assert served.get("/readyz") == (200, "ok\n")
    assert served.get("/readyz?verbose") == (200, "ok\n")


def test_the_check_that_is_not_ready_is_named(unstarted):
    assert unstarted.get("/livez") == (200, "ok\n")
    assert unstarted.get("/readyz") == (503, "scheduler: stopped\n")


def test_a_process_that_drains_lives_and_is_not_ready(served):
    served.draining = True
    assert served.get("/livez") == (200, "ok\n")
    assert served.get("/readyz") == (503, "scheduler: draining\n")


def test_health_is_json(served):
    status, body, headers = served.request("/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == served.scheduler.health().as_dict()
    served.draining = True
    status, body = served.get("/health")
    assert (status, json.loads(body)["ready"]) == (503, False)


def test_metrics_are_scraped(served):
    from prometheus_client import REGISTRY, Counter

    counter = Counter("test_probe_application", "What an application counts itself.")
    try:
        status, body, headers = served.request("/metrics")
    finally:
        REGISTRY.unregister(counter)
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=")
    assert "gsched_build_info{" in body
    assert "test_probe_application_total 0.0" in body


def test_metrics_come_as_openmetrics_to_those_who_want_them(served):
    status, body, headers = served.request("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200 and headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_metrics_that_are_registered_twice_appear_once(served):
    from prometheus_client import REGISTRY

    from gsched.metrics import collector

    ours = collector(served.scheduler)
    REGISTRY.register(ours)
    try:
        body = served.get("/metrics")[1]
    finally:
        REGISTRY.unregister(ours)
    assert body.count("# TYPE gsched_jobs gauge") == 1


def test_without_prometheus_client_it_says_what_to_install(served, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    status, body = served.get("/metrics")
    assert status == 501 and "pip install 'gsched[metrics]'" in body


def test_stacks_show_what_greenlets_do(served):
    def wait_for_godot():
        gevent.sleep(1000)

    served.scheduler.add_job(wait_for_godot, id="vladimir")
    wait_until(served.scheduler.get_running)
    status, body = served.get("/stacks")
    assert status == 200
    assert "wait_for_godot" in body and "vladimir" in body


@pytest.mark.parametrize("peer, status", [("127.0.0.1", "200 OK"), ("::1", "200 OK"), ("10.1.2.3", "403 Forbidden")])
def test_stacks_are_for_this_machine_only(served, peer, status):
    answers = []
    environ = {"PATH_INFO": "/stacks", "REQUEST_METHOD": "GET", "REMOTE_ADDR": peer}
    served.probe._serve(environ, lambda status, headers: answers.append(status))
    assert answers == [status]


def test_head_gives_no_body(served):
    status, body, headers = served.request("/readyz", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, "", "3")


def test_other_paths_are_not_found(served):
    status, body = served.get("/readyz/")
    assert (status, body) == (404, "there are: /livez /readyz /health /metrics /overview /stacks\n")


def test_other_methods_are_not_allowed(served):
    status, _, headers = served.request("/readyz", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_nothing_is_logged_for_a_request(capfd, served):  # in this order: it writes where stderr is when it begins
    capfd.readouterr()  # what the start of the scheduler has written
    served.get("/livez")
    served.get("/nowhere")
    with socket.create_connection(parse_address(served.probe.address)) as rude:
        rude.sendall(b"\x00\x01 what?\r\n\r\n")
        assert b"400" in elsewhere(lambda: rude.recv(1024))
    served.get("/livez")
    assert capfd.readouterr() == ("", "")


def test_the_probe_answers_while_the_scheduler_is_overloaded(served):
    served.scheduler.add_jobs(
        {"func": int, "trigger": "interval", "seconds": 0.02, "id": str(number)} for number in range(1000)
    )
    before = wait_until(lambda: served.scheduler.status().counters.outcomes["succeeded"])
    assert [served.get(path) for path in ["/livez", "/readyz"] * 10] == [(200, "ok\n")] * 20
    assert served.scheduler.status().counters.outcomes["succeeded"] > before


# -- where it listens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address, meant",
    [
        ("8788", ("127.0.0.1", 8788)),
        (":8788", ("127.0.0.1", 8788)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:8788", ("localhost", 8788)),
    ],
)
def test_addresses_are_host_and_port_and_on_loopback_where_no_host_is_named(address, meant):
    assert parse_address(address) == meant


@pytest.mark.parametrize("address", ["", "localhost", "1:2:x", "70000", "-1", "host:", "²"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        parse_address(address)


def test_a_port_that_is_taken_is_an_error_that_says_so(served):
    with pytest.raises(ConfigurationError, match=f"cannot listen on {served.probe.address}: Address already in use$"):
        serve_probe(served.probe.address, served.scheduler, draining=lambda: False)


def test_nobody_answers_after_stop(served):
    served.probe.stop()
    with pytest.raises(ConnectionRefusedError):
        served.get("/livez")


# -- gsched health ---------------------------------------------------------------------------------------------------


def test_the_command_says_that_all_is_well(served):
    code, out, error = served.command("health", "--ready")
    assert (code, error) == (0, "")
    assert out.splitlines()[:2] == ["hub\ttrue\tit turns", "scheduler\ttrue\trunning"]


def test_the_command_tells_life_from_readiness(unstarted):
    assert unstarted.command("health")[0] == 0
    code, _, error = unstarted.command("health", "--ready")
    assert (code, error) == (7, "gsched: not ready: scheduler: stopped\n")


def test_a_full_pool_is_a_warning_of_the_command_and_the_runner_stays_ready(served, monkeypatch):
    monkeypatch.setattr("gsched.monitoring.health.SATURATED_SECONDS", -1)
    assert served.get("/readyz") == (200, "ok\n")
    full = "full for 0 s: 0 of 10000 workers busy, 0 runs wait"
    assert [check for check in json.loads(served.get("/health")[1])["checks"] if check.get("warning")] == [
        {"name": "pool:default", "ok": True, "what": full, "warning": True}
    ]
    assert served.command("health", "--ready")[::2] == (0, f"gsched: warning: pool:default: {full}\n")


def test_the_command_gives_json(served):
    code, out, _ = served.command("health", "-o", "json")
    assert (code, [check["check"] for check in json.loads(out)][:2]) == (0, ["hub", "scheduler"])


def test_the_command_says_that_no_probe_listens(served):
    served.probe.stop()
    code, out, error = served.command("health")
    assert (code, out) == (7, "")
    assert f"nobody answers at {served.probe.address}: Connection refused" in error


def test_the_command_waits_no_longer_than_it_is_told_to():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        code, _, error = run_command("health", "--probe", address, "--timeout", "0.2")
    assert (code, error) == (7, f"gsched: {address} does not answer within 0.2 s\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers at {} is no probe port of gsched"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "what answers at {} is no probe port of gsched"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"live": true, "ready": true, "checks": [1]}', "what answers at {} is no probe port"),
        (b"", "what listens at {} gives no answer"),
    ],
)
def test_the_command_notices_that_somebody_else_answers(answer, said):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "{}:{}".format(*other.getsockname())
        asking = gevent.spawn(run_command, "health", "--probe", address)
        connection, _ = elsewhere(other.accept)
        with connection:
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            code, _, error = asking.get()
    assert code == 7 and said.format(address) in error


def test_an_answer_that_never_ends_is_none():
    def drip(connection):
        try:
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "{}:{}".format(*other.getsockname())
        asking = gevent.spawn(run_command, "health", "--probe", address, "--timeout", "0.5")
        elsewhere(drip, elsewhere(other.accept)[0])
    assert asking.get()[::2] == (7, f"gsched: {address} does not answer within 0.5 s\n")


def test_the_command_imports_little_and_costs_little(served):
    program = f"""
import os, resource, sys
os._exit = lambda code: None  # with which a command ends
sys.argv = ["gsched", "health", "--probe", {served.probe.address!r}]
from gsched.cli import main
main()
used = resource.getrusage(resource.RUSAGE_SELF)
print(*(name for name in ("gevent", "pymongo", "structlog", "ssl") if name in sys.modules))
print(used.ru_utime + used.ru_stime)
"""
    spent = []
    for _ in range(5):
        done = elsewhere(
            lambda: subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
        )
        *_, imported, seconds = done.stdout.splitlines()
        assert imported == ""
        spent.append(float(seconds))
        if spent[-1] < 0.3:
            return
    raise AssertionError(f"CPU seconds: {spent}")


# -- gsched dump -----------------------------------------------------------------------------------------------------


def test_dump_prints_the_stacks(served):
    code, out, error = served.command("dump")
    assert (code, error) == (0, "")
    assert "gsched-hub" in out and "hub.py" in out


def test_dump_signals_the_process_that_holds_the_pid_file(tmp_path):
    import fcntl

    path, came = tmp_path / "pid", gevent.event.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: came.set())
    try:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(f"{os.getpid()}\n")
            file.flush()
            code, out, error = run_command("dump", "--pid-file", str(path))
            assert came.wait(10)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (code, out) == (0, "")
    assert error.startswith(f"process {os.getpid()} logs its stacks")


def test_dump_signals_nobody_when_the_pid_file_was_left_behind(tmp_path):
    path = tmp_path / "pid"
    with subprocess.Popen(["sleep", "60"]) as bystander:
        path.write_text(f"{bystander.pid}\n")
        code, _, error = run_command("dump", "--pid-file", str(path))
        assert (code, error) == (5, f"gsched: no runner runs with the pid file {path}\n")
        assert bystander.poll() is None
        bystander.kill()


def test_dump_says_that_there_is_no_pid_file(tmp_path):
    code, _, error = run_command("dump", "--pid-file", str(tmp_path / "none"))
    assert (code, error) == (5, f"gsched: no runner runs with the pid file {tmp_path / 'none'}\n")


# -- a real runner ---------------------------------------------------------------------------------------------------


def test_a_runner_is_watched_from_its_start_to_its_end(tmp_path):
    (tmp_path / "jobs.py").write_text(
        "import gevent, pathlib\n"
        "def wait():\n"
        "    while not pathlib.Path('go').exists():\n"
        "        gevent.sleep(0.02)\n"
    )
    (tmp_path / "gsched.toml").write_text(
        '[gsched]\nprobe = "0"\n[store]\nmemory = true\n[log]\nformat = "json"\n'
        '[[job]]\nid = "wait"\nfunc = "jobs:wait"\ntags = ["slow"]\ntrigger = { type = "interval", seconds = 0.1 }\n'
    )
    log = tmp_path / "log"
    with gevent.Timeout(60), log.open("w") as stderr:
        runner = subprocess.Popen([GSCHED, "run", "-c", "gsched.toml"], cwd=tmp_path, stderr=stderr)
        try:
            wait_until(lambda: "probe.opened" in log.read_text())
            opened = next(line for line in log.read_text().splitlines() if "probe.opened" in line)
            there = ["--probe", json.loads(opened)["address"]]
            wait_until(lambda: run_command("health", "--ready", *there)[0] == 0)
            wait_until(lambda: 'executor="default"} 1.0' in scraped(there[1], "gsched_runs_in_progress"))
            assert "jobs.py" in run_command("dump", *there)[1]

            runner.terminate()
            wait_until(lambda: run_command("health", "--ready", *there)[0] == 7)
            assert run_command("health", "--ready", *there)[2] == "gsched: not ready: scheduler: draining\n"
            assert run_command("health", *there)[0] == 0

            (tmp_path / "go").touch()
            assert elsewhere(runner.wait) == 0
            assert run_command("health", *there)[0] == 7
        finally:
            runner.kill()
            runner.wait()


def scraped(address, name):
    """The lines of a scrape that begin so."""

    def scrape():
        connection = HTTPConnection(*parse_address(address), timeout=20)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    return "\n".join(line for line in elsewhere(scrape).splitlines() if line.startswith(name))


# -- strangers at the port --------------------------------------------------------------------------------------------


def half_requests(address, count, start=b"GET /livez HTTP/1.1\r\nHost: a\r\n"):
    """Connections that have sent the beginning of a request."""
    opened = [socket.create_connection(parse_address(address), 20) for _ in range(count)]
    for connection in opened:
        try:
            connection.sendall(start)
        except OSError:  # ended by the server meanwhile
            pass
    return opened


def test_the_probe_answers_while_hundreds_of_half_requests_are_open(served, monkeypatch):
    monkeypatch.setattr(server, "CONNECTION_SECONDS", 3600)  # none of them ends by itself
    opened = elsewhere(half_requests, served.probe.address, 500)
    assert served.get("/livez") == (200, "ok\n")
    for each in opened:
        each.close()


def test_requests_that_end_while_it_stops_are_no_errors(unstarted, capfd):
    opened = elsewhere(half_requests, unstarted.probe.address, 3)
    wait_until(lambda: len(unstarted.probe._server.pool) == 3)
    for each in opened:
        each.close()
    unstarted.probe.stop()
    assert capfd.readouterr() == ("", "")


def test_no_more_connections_are_open_than_the_bound(served):
    opened = elsewhere(half_requests, served.probe.address, 3 * server.MOST_CONNECTIONS)
    wait_until(lambda: served.get("/livez")[0] == 200)
    ours = parse_address(served.probe.address)[1]
    held = [1 for each in descriptors() if isinstance(each, tuple) and each[1] == ours]
    assert len(held) <= server.MOST_CONNECTIONS + server.BoundedServer.max_accept + 1  # and the one that listens
    for each in opened:
        each.close()


@contextmanager
def no_free_descriptor():
    """Every number below the limit is in use, and the limit is as low as it can be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    try:
        with suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        yield
    finally:
        for each in fillers:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_free_descriptor_connections_wait_and_one_line_says_so(served, monkeypatch, capfd):
    monkeypatch.setattr(server, "PAUSE_SECONDS", 0.01)
    attempts = []
    monkeypatch.setattr(served.probe._server, "stop_accepting", count(attempts, served.probe._server.stop_accepting))
    with socket.socket() as client, capture_logs() as logged:
        client.settimeout(20)
        with no_free_descriptor():
            elsewhere(client.connect, parse_address(served.probe.address))
            elsewhere(client.sendall, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: len(attempts) >= 3)
        assert b"200 OK" in elsewhere(client.recv, 1000)
    reasons = [line["reason"] for line in logged if line["event"] == "probe.failed"]
    assert reasons == ["connections wait: Too many open files"]
    assert capfd.readouterr().err == ""


def count(calls, func):
    def counted():
        calls.append(func)
        func()

    return counted


def descriptors():
    """The addresses of this process's own ends of TCP connections that servers accepted, and of what listens."""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as found:
                if found.family == socket.AF_INET and found.getsockname()[1] != 0:
                    yield found.getsockname()
        except OSError:
            pass


def test_a_connection_ends_when_its_time_is_over(served, monkeypatch, capfd):
    monkeypatch.setattr(server, "CONNECTION_SECONDS", 0.1)
    for start in (b"", b"GET /livez HTT", b"GET /livez HTTP/1.1\r\nHost: a\r\n"):
        (connection,) = half_requests(served.probe.address, 1, start)
        assert elsewhere(connection.recv, 100) == b""
        connection.close()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"a" * server.MOST_HEADER_BYTES,
        b"\r\n".join(b"X%d: %s" % (number, b"a" * 1000) for number in range(20)),
        b"\r\n".join(b"X%d: a" % number for number in range(200)),
        b"Content-Length: -1",
    ],
)
def test_a_request_with_headers_beyond_reason_is_refused_without_a_word(served, headers, capfd):
    (connection,) = half_requests(served.probe.address, 1, b"GET /livez HTTP/1.1\r\n" + headers + b"\r\n\r\n")
    assert elsewhere(connection.recv, 100).startswith(b"HTTP/1.1 400")
    connection.close()
    assert capfd.readouterr().err == ""


def test_a_connection_serves_one_request(served):
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    (connection,) = half_requests(served.probe.address, 1, 2 * request)
    answer = elsewhere(lambda: b"".join(iter(lambda: connection.recv(4096), b"")))
    assert answer.count(b"200 OK") == 1 and b"Connection: close" in answer
    connection.close()


def test_it_does_so_whatever_the_application_answers():
    def answer(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []

    bare = server.BoundedServer("127.0.0.1", 0, answer)
    bare.start()
    try:
        (connection,) = half_requests(f"127.0.0.1:{bare.server_port}", 1, 2 * b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answers = elsewhere(lambda: b"".join(iter(lambda: connection.recv(4096), b"")))
        assert answers.count(b"200 OK") == 1
        connection.close()
    finally:
        bare.stop()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8788", "127.0.0.1.evil.example", "[evil]", "a b"])
def test_a_port_of_this_machine_alone_answers_no_foreign_name(served, host):
    for path in served.probe._pages.by_path:
        assert served.request(path, Host=host)[0] == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8788", "LOCALHOST", "[::1]:8788", "10.0.0.7:8788"])
def test_addresses_and_localhost_are_answered(served, host):
    assert served.request("/stacks", Host=host)[0] == 200


def test_a_port_that_others_reach_answers_any_name_but_shows_no_stacks_to_it():
    served = Served("0.0.0.0:0")
    served.probe.address = served.probe.address.replace("0.0.0.0", "127.0.0.1")
    try:
        assert served.request("/livez", Host="gsched.example:8788")[0] == 200
        assert served.request("/stacks", Host="gsched.example:8788")[0] == 421
    finally:
        served.close()


def test_a_request_in_progress_when_the_probe_stops_is_answered(unstarted):
    answering, go_on = Event(), Event()

    def slow(_):
        answering.set()
        go_on.wait()
        return "200 OK", "text/plain", b"whole"

    unstarted.probe._pages.by_path["/slow"] = slow
    asked = gevent.spawn(unstarted.get, "/slow")
    answering.wait()
    stopping = gevent.spawn(unstarted.probe.stop)
    gevent.sleep(0)
    go_on.set()
    assert asked.get() == (200, "whole")
    stopping.join()
