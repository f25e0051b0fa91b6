"""Real processes on a real MongoDB: what crashes, pauses, outages and clocks do to jobs that several nodes share."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from cluster.rig import Cluster, Mongod, Process, ReplicaSet, scratch
from ports import free_port
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from waiting import LONGEST_SECONDS, wait_until

from gsched import GeventScheduler, MongoDBJobStore
from gsched.errors import StoreAccessError, StoreUnreachableError
from gsched.stores.mongodb.partition import slot_of

pytest_plugins = ["mongodb"]
pytestmark = pytest.mark.usefixtures("needs_mongod")

TTL = 2.0
SLACK = 20.0  # what busy machines get on top of every promised time; load_tests measures how long it takes


@cache
def shared() -> ReplicaSet:
    """A one-node replica set for those tests that leave it alone."""
    holder = scratch()
    server = ReplicaSet(holder.__enter__())

    def end() -> None:
        server.end_at_once()
        holder.__exit__(None, None, None)

    atexit.register(end)
    return server


@pytest.fixture
def directory() -> Iterator[Path]:
    with scratch() as made:
        yield made


@pytest.fixture
def servers() -> Iterator[list[Mongod | ReplicaSet]]:
    """Servers of a test's own, to be ended after it."""
    made: list[Mongod | ReplicaSet] = []
    yield made
    for each in made:
        each.end_at_once()


@pytest.fixture
def make_cluster(directory: Path, servers: list[Mongod | ReplicaSet]) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters of no nodes yet, and ends them."""
    made: list[Cluster] = []

    def make(uri: str | None = None, **options: Any) -> Cluster:
        made.append(Cluster(uri or shared().uri, directory, node_ttl=TTL, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    return make_cluster()


# -- nodes come and go ------------------------------------------------------------------------------------------------


def test_two_nodes_share_the_jobs_and_hand_them_over_when_one_ends(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20, coalesce=False, max_instances=10)
    cluster.wait_until_all_run(jobs, time.time() + 1)
    theirs = cluster.jobs_of("a", jobs)
    assert {line["node"] for line in cluster.starts()} == {"a", "b"}
    stopped = cluster.stop("a")
    cluster.wait_until_all_run(jobs, time.time() + 1)
    verdict = cluster.stop_and_check()
    assert verdict.counts["run"] == verdict.counts["instants"]
    late = [line["time"] - line["at"] / 1000 for line in cluster.starts(since=stopped) if line["job"] in theirs]
    report("handover on a clean stop", lateness=max(late), otherwise=sorted(verdict.lateness)[len(late)])
    assert max(late) <= 1 + SLACK


def test_a_job_whose_owner_changes_while_it_runs_is_not_started_beside_itself(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(20, 0.3, func="cluster.jobs:work", args=[1.5])
    cluster.wait_until_all_run(jobs, 0)
    cluster.start_and_wait("b")
    moved = wait_until(lambda: cluster.jobs_of("b", jobs), "jobs that b runs")
    cluster.stop("a")
    cluster.wait_until_all_run(jobs, time.time() + 1)
    cluster.stop_and_check()
    assert moved
    for job in jobs:
        lines = sorted((line["time"], line["what"], line["node"]) for line in cluster.runs.all() if line["job"] == job)
        assert [what for _, what, _ in lines] == ["start", "end"] * (len(lines) // 2), (job, lines)


def test_what_a_killed_node_had_continues_and_nothing_is_silent_or_runs_twice(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20)
    jobs += cluster.add_ticks(10, 0.1, name="again", recover=True)
    jobs += cluster.add_ticks(10, 1, name="slow", recover=True, func="cluster.jobs:work", args=[0.8])
    jobs += cluster.add_ticks(10, 0.1, name="once", coalesce=False, max_instances=10)
    jobs += cluster.add_ticks(10, 0.1, name="failing", func="cluster.jobs:fail")
    old = one_shots(cluster, "old")
    cluster.wait_until_all_run([*jobs, *old], 0)
    began = max(cluster.starts(job)[0]["time"] for job in old)
    wait_until(lambda: time.time() > began + 4, "runs so long that they are written down")
    young = one_shots(cluster, "young")
    cluster.wait_until_all_run(young, 0)
    doomed = {line["job"] for line in cluster.starts(node="a")} & {*old, *young}
    killed = cluster.kill("a")
    continued = cluster.wait_until_all_run(jobs, killed + 0.5) - killed
    report("takeover after kill -9", seconds=continued, ttl=TTL)
    assert {job.split("-")[0] for job in doomed} == {"old", "young"}
    for job in sorted(doomed):
        if "again" in job:
            assert cluster.wait_for_start(job, killed, attempt=2)["node"] == "b"
        else:
            wait_for_outcome(cluster, job, "lost")
            assert len(cluster.starts(job)) == 1
    verdict = cluster.stop_and_check(jobs)
    report("kill -9", **verdict.counts)
    assert verdict.counts["not_in_history"] == 0
    assert continued <= TTL + 1 + SLACK


def one_shots(cluster: Cluster, name: str) -> list[str]:
    """Jobs that run once, for long, from now: half of them to be run again after a crash."""
    ids = [f"{name}-{kind}-{n}" for kind in ("again", "once") for n in range(8)]
    for job in ids:
        cluster.scheduler.add_job("cluster.jobs:work", args=[7], id=job, recover="again" in job)
    return ids


def wait_for_outcome(cluster: Cluster, job: str, outcome: str) -> None:
    """Until the history of a job has it."""
    wait_until(
        lambda: outcome in [run.get("outcome") for run in cluster.history(job)],
        lambda: f"{job} to be {outcome}: {cluster.history(job)}\n{cluster.problems_said()}",
    )


def test_a_failure_whose_record_was_not_written_when_its_node_was_killed_is_lost_and_not_silent(
    cluster: Cluster,
) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(10, 0.2, name="failing", func="cluster.jobs:fail")
    cluster.wait_until_all_run(jobs, time.time())
    with slow_history(cluster):
        cluster.wait_until_all_run(jobs, time.time() + 3)
        cluster.kill("a")
    cluster.start_and_wait("b")
    cluster.wait_until_all_run(jobs, time.time())
    verdict = cluster.stop_and_check(jobs)
    assert verdict.counts["uncertain"] > 0


@contextmanager
def slow_history(cluster: Cluster) -> Iterator[None]:
    """The database takes four seconds to insert into the history."""
    namespace = f"{cluster.database}.jobs.runs"
    slow = {"failCommands": ["insert"], "namespace": namespace, "blockConnection": True, "blockTimeMS": 4000}
    cluster.client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": slow})
    try:
        yield
    finally:
        cluster.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_what_is_in_progress_on_a_node_that_is_killed_while_it_ends_is_not_silent(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    every = {"trigger": "interval", "minutes": 1, "start_date": datetime.now(UTC) + timedelta(seconds=1)}
    jobs = [f"{kind}-{n}" for kind in ("again", "once") for n in range(8)]
    for job in jobs:
        cluster.scheduler.add_job("cluster.jobs:work", args=[5], id=job, recover="again" in job, **every)
    cluster.wait_until_all_run(jobs, 0)
    theirs = [line["job"] for line in cluster.starts(node="a")]
    cluster.nodes["a"].ask_to_end()
    wait_until(lambda: not cluster.jobs_of("a", theirs), "the node to hand its jobs over")
    killed = cluster.kill("a")
    for job in theirs:
        if "again" in job:
            cluster.wait_for_start(job, killed, attempt=2)
        else:
            wait_for_outcome(cluster, job, "lost")
    cluster.stop_and_check()


def test_a_node_that_was_frozen_is_fenced_and_joins_again(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20, 0.2)
    jobs += cluster.add_ticks(10, 0.2, name="again", recover=True)
    cluster.wait_until_all_run(jobs, time.time())
    frozen = cluster.freeze("a")
    cluster.wait_until_all_run(jobs, frozen + 1)
    woken = cluster.nodes["a"].thaw()
    cluster.wait_for_event("node.fenced", woken, node_name="a")
    joined = cluster.wait_for_event("node.joined", woken, node_name="a")["time"]
    wait_until(lambda: cluster.starts(since=joined, node="a"), "runs on the node that was frozen")
    cluster.wait_until_all_run(jobs, time.time())
    verdict = cluster.stop_and_check()
    report("frozen", rejoined=joined - woken, **verdict.counts)


def test_a_crash_at_any_point_leaves_no_instant_without_an_outcome(cluster: Cluster) -> None:
    points = ("claim", "start", "run", "settle")
    for point in points:
        cluster.start(point, crash=point)
    cluster.start_and_wait("survivor")
    jobs = cluster.add_ticks(30, 0.3)
    jobs += cluster.add_ticks(30, 0.3, name="again", recover=True)
    jobs += cluster.add_ticks(30, 0.3, name="failing", func="cluster.jobs:fail")
    cluster.wait_until_all_run(jobs, time.time())
    for point in points:
        cluster.nodes[point].arm()
    crashed = max(cluster.note_crash(point) for point in points)
    cluster.wait_until_all_run(jobs, crashed + 0.5)
    verdict = cluster.stop_and_check()
    report("crash points", **verdict.counts)
    assert verdict.counts["lost"] + verdict.counts["cut_lost"] > 0 and verdict.counts["recovered"] > 0
    started, ended = ({(r["job"], r["at"]) for r in cluster.runs.all() if r["what"] == w} for w in ("start", "end"))
    assert len(started - ended) <= 1, "more than the run in which a node crashed was cut"


# -- changes ----------------------------------------------------------------------------------------------------------


def test_changes_made_in_another_process_take_effect(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    scheduler, took = cluster.scheduler, {}

    def effect(what: str, job: str, change: Callable[[], object], **wanted: Any) -> None:
        began = time.time()
        change()
        took[what] = cluster.wait_for_start(job, began, **wanted)["time"] - began

    def add(job: str) -> None:
        effect(f"added-{job}", job, lambda: scheduler.add_job("cluster.jobs:tick", id=job))

    for n in range(9):
        add(f"new-{n}")
    far = {"trigger": "interval", "hours": 1}
    scheduler.add_job("cluster.jobs:tick", id="job", **far)
    effect("modified", "job", lambda: scheduler.modify_job("job", next_run_time=datetime.now(UTC)))
    effect("rescheduled", "job", lambda: scheduler.reschedule_job("job", trigger="interval", seconds=0.1))
    took["paused"] = ceases(cluster, "job", lambda: scheduler.pause_job("job"))
    effect("resumed", "job", lambda: scheduler.resume_job("job"))
    request = uuid.uuid4().hex
    effect("run", "job", lambda: request_run(cluster, "job", request), request=request)
    took["removed"] = ceases(cluster, "job", lambda: scheduler.remove_job("job"))
    added = sorted(value for what, value in took.items() if what.startswith("added"))
    report("latency of", added_median=added[4], added_max=added[-1], **{w: v for w, v in took.items() if "-" not in w})
    assert max(took.values()) < SLACK, took


def test_runs_that_were_asked_for_while_no_node_was_there_have_an_outcome_though_their_job_is_gone(
    cluster: Cluster,
) -> None:
    options = {"trigger": "interval", "hours": 1, "max_instances": 1000}
    for job in ("stays", "removed"):
        cluster.scheduler.add_job("cluster.jobs:tick", id=job, **options)
        for _ in range(150):
            cluster.scheduler.run_job(job)
    cluster.scheduler.remove_job("removed")
    cluster.start_and_wait("a")
    for job, outcome in (("stays", "succeeded"), ("removed", "skipped")):
        wait_until(
            lambda job=job: len([run for run in cluster.history(job) if run["state"] == "ended"]) == 150,
            lambda job=job: f"outcomes of {job}: {cluster.history(job)[:3]}",
        )
        assert {run["outcome"] for run in cluster.history(job)} == {outcome}
    assert not cluster.starts("removed")


def request_run(cluster: Cluster, job: str, request: str) -> None:
    cluster.store.request_run(cluster.store.get(job), request)


def ceases(cluster: Cluster, job: str, change: Callable[[], object]) -> float:
    """How long after a change the last run of a job of every 0.1 s started."""
    began = time.time()
    change()

    def last() -> float:
        return max(began, *(run["time"] for run in cluster.starts(job)))

    wait_until(lambda: time.time() > last() + 1, f"{job} to cease")
    return last() - began


def test_clocks_that_are_an_hour_wrong_make_nobody_late(cluster: Cluster) -> None:
    cluster.start("fast", skew_seconds=3600)
    cluster.start("slow", skew_seconds=-3600)
    cluster.wait_until_balanced()
    jobs = cluster.add_ticks(20, coalesce=False, max_instances=100)
    cluster.wait_until_all_run(jobs, time.time() + 1)
    for name, skew in (("fast", 3600), ("slow", -3600)):
        said = cluster.wait_for_event("clock.skewed", node_name=name)
        assert said["seconds"] == pytest.approx(skew, abs=SLACK)
    verdict = cluster.stop_and_check()
    assert {line["node"] for line in cluster.starts()} == {"fast", "slow"}
    assert verdict.counts["run"] == verdict.counts["instants"]
    report("lateness with skewed clocks", min=min(verdict.lateness), max=max(verdict.lateness))
    assert min(verdict.lateness) > -0.1 and max(verdict.lateness) < SLACK


# -- what is in the database ------------------------------------------------------------------------------------------


def test_documents_that_cannot_be_run_are_parked_and_disturb_nobody(cluster: Cluster) -> None:
    cluster.start("old", without=["vanishing"])
    cluster.wait_until_balanced()
    jobs = cluster.add_ticks(10)
    every = {"trigger": "interval", "seconds": 0.2}
    cluster.scheduler.add_job("cluster.jobs:vanishing", id="vanished", **every)
    for job in ("evil", "garbage", "executor", "exiting", "program"):
        cluster.scheduler.add_job("cluster.jobs:tick", id=job, **every)
    documents = cluster.documents()
    for job, change in {
        "evil": {"func": "os:system", "args": ["touch evil"]},
        "garbage": {"trigger": {"type": 17}, "args": "x", "max_instances": -3, "next_run_time": "soon"},
        "executor": {"executor": "nowhere"},
        "exiting": {"func": "cluster.jobs:exiting"},
        "program": {"func": "cluster.jobs.__main__:main"},
    }.items():
        documents.update_one({"_id": job}, {"$set": change, "$inc": {"rev": 1}})
    documents.insert_many([{"_id": "bare"}, {"_id": ObjectId()}, {"_id": 5, "slot": "x", "rev": None}])
    for job, reason in {
        "evil": "os:system", "garbage": "trigger", "executor": "nowhere", "vanished": "vanishing",
        "exiting": "SystemExit", "program": "would run that program",
    }.items():  # fmt: skip
        assert reason in cluster.wait_for_event("job.parked", job_id=job)["reason"]
    cluster.wait_until_all_run(jobs, time.time())
    began = time.time()
    cluster.scheduler.add_job("cluster.jobs:tick", id="later")
    cluster.wait_for_start("later", began, 5)
    cluster.stop("old")
    cluster.start_and_wait("new")
    cluster.wait_for_start("vanished", began)
    cluster.wait_for_event("job.healed", job_id="vanished")
    assert "got int" in cluster.wait_for_event("job.parked", job_id="int:5")["reason"]
    cluster.start_and_wait("newer")
    assert len([said for said in cluster.events.named("job.parked") if said["job_id"] == "int:5"]) == 1
    assert not cluster.first_event("store.disconnected") and not cluster.first_event("store.failed")
    assert documents.count_documents({}) == 10 + 6 + 3
    verdict = cluster.stop_and_check(jobs)
    assert verdict.counts["run"] + verdict.counts["coalesced"] == verdict.counts["instants"]


def test_a_job_that_was_spoilt_and_mended_goes_on_where_it_was(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(3, 0.2, coalesce=False, max_instances=100)
    waiting = cluster.add_ticks(1, 0.2, name="waiting", func="cluster.jobs:work", args=[0.5], coalesce=False)
    cluster.wait_until_all_run([*jobs, *waiting], time.time() + 1)
    spoilt = time.time()
    for job, good in (jobs[0], "cluster.jobs:tick"), (waiting[0], "cluster.jobs:work"):
        for func, event in ("os:system", "job.parked"), (good, "job.healed"):
            cluster.documents().update_one({"_id": job}, {"$set": {"func": func}, "$inc": {"rev": 1}})
            cluster.wait_for_event(event, job_id=job)
    stranger = GeventScheduler(jobstores={"default": MongoDBJobStore(cluster.uri, database=cluster.database)})
    for job in jobs[:2]:
        stranger.modify_job(job, tags=["seen"])
    stranger.close()
    cluster.wait_until_all_run(jobs, time.time() + 1)
    ended = cluster.stop()
    assert not cluster.check(ended, waiting).counts["two_outcomes"]
    verdict = cluster.check(ended, jobs)
    assert not verdict.problems and verdict.counts["run"] == verdict.counts["instants"]
    assert not [said for said in cluster.events.named("run.coalesced") if said["time"] > spoilt]


def test_a_backlog_does_not_hold_back_what_other_jobs_are_known_to_have_ended(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(5)
    backlog = {"trigger": "interval", "seconds": 0.2, "coalesce": False, "id": "backlog"}
    cluster.scheduler.add_job("cluster.jobs:work", args=[0.6], **backlog)
    began = cluster.wait_for_start("backlog", 0)["time"]
    nodes = cluster.client[cluster.database]["jobs.nodes"]
    wait_until(lambda: nodes.find_one()["acked"].timestamp() > began + 5, "what has ended to be known")
    killed = cluster.kill("a")
    cluster.start_and_wait("b")
    cluster.wait_until_all_run([*jobs, "backlog"], killed)
    lost = [said for said in cluster.events.named("run.lost") if said["job_id"] in jobs]
    assert not [said for said in lost if said["first"] < (killed - 3) * 1000]
    verdict = cluster.stop_and_check(jobs)
    assert verdict.counts["run"] > 0


def test_what_was_in_progress_when_its_job_was_paused_is_lost_with_its_node_and_not_silent(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    for job in ("paused", "removed"):
        soon = {"trigger": "interval", "minutes": 5, "next_run_time": datetime.now(UTC)}
        cluster.scheduler.add_job("cluster.jobs:work", args=[20], id=job, recover=True, **soon)
        cluster.wait_for_start(job, 0)
    cluster.scheduler.pause_job("paused")
    cluster.scheduler.remove_job("removed")
    runs = cluster.client[cluster.database]["jobs.runs"]
    wait_until(lambda: len(runs.distinct("job_id", {"state": "running"})) == 2, "them to be noted", 1.5)
    cluster.kill("a")
    cluster.start_and_wait("b")
    for job in ("paused", "removed"):
        wait_for_outcome(cluster, job, "lost")


def test_what_a_killed_node_had_in_progress_is_not_silent_whatever_is_done_to_its_jobs_before_others_take_over(
    cluster: Cluster,
) -> None:
    scheduler, later = cluster.scheduler, {"trigger": "interval", "hours": 1}

    def add(job: str, **options: Any) -> None:
        scheduler.add_job("cluster.jobs:work", args=[20], id=job, recover="again" in job, **options)

    def add_anew(job: str) -> None:
        scheduler.remove_job(job)
        add(job, **later)

    changes: dict[str, Callable[[str], object]] = {
        "paused": scheduler.pause_job,
        "resumed": lambda job: (scheduler.pause_job(job), scheduler.resume_job(job)),
        "moved": lambda job: scheduler.modify_job(job, next_run_time=datetime.now(UTC) + timedelta(hours=1)),
        "rescheduled": lambda job: scheduler.reschedule_job(job, **later),
        "replaced": lambda job: add(job, replace_existing=True, **later),
        "removed": scheduler.remove_job,
        "added anew": add_anew,
    }
    jobs = {f"{change}-{kind}": do for change, do in changes.items() for kind in ("again", "once")}
    cluster.start_and_wait("a")
    for job in jobs:
        add(job, trigger="interval", minutes=5, next_run_time=datetime.now(UTC))
    cluster.wait_until_all_run(list(jobs), 0)
    killed = cluster.kill("a")
    for job, do in jobs.items():
        do(job)
    cluster.start_and_wait("b")
    for job in jobs:
        if "again" in job and job.split("-")[0] not in ("paused", "removed"):
            assert cluster.wait_for_start(job, killed, attempt=2)["node"] == "b"
        else:
            wait_for_outcome(cluster, job, "lost")
            assert len(cluster.starts(job)) == 1


def test_whatever_people_write_into_documents_stops_nobody(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(10, coalesce=False, max_instances=100)
    cluster.wait_until_all_run(jobs, 0)
    documents = cluster.documents()
    tick = documents.find_one({"_id": "tick-0"})
    strange: list[dict[str, Any]] = [{"admitted": value} for value in (1, 0, "no", {}, [True], False)]
    strange += [{"slot": value, "admitted": False} for value in (-1, 256, "x", 1.5, [1], {}, True, (slot_of("tick-1")))]
    copies = [f"copy-{number}" for number in range(len(strange))]
    fresh = {"rev": 1, "next_run_time": datetime.now(UTC)}
    documents.insert_many([{**tick, **fresh, **each, "_id": job} for job, each in zip(copies, strange)])
    # As large as can be, and without what admission adds.
    full = {key: value for key, value in tick.items() if key != "late_until"}
    documents.insert_one(sized({**full, **fresh, "admitted": False, "_id": "huge"}, 16 * 1024 * 1024))
    assert "is larger than" in cluster.wait_for_event("job.parked", job_id="huge")["reason"]
    cluster.wait_until_all_run([*jobs, *copies], time.time())
    for job in copies:
        cluster.scheduler.modify_job(job, name="renamed")
    cluster.wait_until_all_run([*jobs, *copies], time.time())
    stored = {document["_id"]: document for document in documents.find({"_id": {"$in": copies}})}
    assert {job: stored[job]["slot"] for job in copies} == {job: slot_of(job) for job in copies}
    cluster.stop_and_check(jobs)
    starts = Counter((line["job"], line["at"]) for line in cluster.starts())
    assert max(starts.values()) == 1
    assert not [said for name in ("node.fenced", "node.died", "store.failed") for said in cluster.events.named(name)]


def sized(document: dict[str, Any], size: int) -> dict[str, Any]:
    """The document, with so many bytes."""
    lacks = size - len(bson.encode({**document, "padding": ""}))
    return {**document, "padding": "x" * lacks}


def test_a_change_feed_that_breaks_is_opened_again_and_misses_nothing(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(5)
    for code, is_reported in ((286, True), (136, True), (43, False)):
        began = time.time()
        fail_next(cluster, "getMore", code)
        if is_reported:
            cluster.wait_for_event("feed.lost", began)
            cluster.wait_for_event("feed.opened", began)
        cluster.scheduler.add_job("cluster.jobs:tick", id=f"after-{code}")
        cluster.wait_for_start(f"after-{code}", began, 5)
    cluster.wait_until_all_run(jobs, time.time())
    dropped = time.time()
    cluster.documents().drop()
    cluster.wait_for_event("feed.lost", dropped)
    cluster.wait_for_event("feed.opened", dropped)
    cluster.scheduler.add_job("cluster.jobs:tick", id="after-drop")
    cluster.wait_for_start("after-drop", dropped, 5)
    assert not cluster.starts("tick-0", since=dropped + 2)
    cluster.stop()


def test_a_database_that_is_dropped_is_made_anew_and_what_is_added_then_runs(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(5)
    cluster.wait_until_all_run(jobs, time.time())
    dropped = time.time()
    cluster.client.drop_database(cluster.database)
    for name in ("a", "b"):
        cluster.wait_for_event("node.joined", dropped, node_name=name)
    cluster.scheduler.add_job("cluster.jobs:tick", id="after")
    took = {"database": cluster.wait_for_start("after", dropped, 10)["time"] - dropped}
    wait_until(lambda: "slot_next_run_time" in cluster.documents().index_information(), "indexes")
    jobs = cluster.add_ticks(5, name="slots")
    cluster.wait_until_all_run(jobs, time.time())
    dropped = time.time()
    cluster.client[cluster.database]["jobs.slots"].drop()
    wait_until(lambda: len(cluster._slots()) == 256, cluster.problems_said, 60)
    took["slots"] = time.time() - dropped
    cluster.wait_until_balanced()
    cluster.wait_until_all_run(jobs, time.time())
    dropped = time.time()
    cluster.client[cluster.database]["jobs.nodes"].drop()
    for name in ("a", "b"):
        cluster.wait_for_event("node.joined", dropped, node_name=name)
    cluster.wait_until_balanced()
    took["nodes"] = time.time() - dropped
    cluster.wait_until_all_run(jobs, time.time())
    report("dropped", **took)
    cluster.stop()


def test_strange_documents_of_nodes_and_runs_are_left_out_and_said_once(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(10)
    cluster.wait_until_all_run(jobs, time.time())
    collections = cluster.client[cluster.database]
    strange = [{"_id": "x", "hello": 1}, {"_id": ObjectId(), "state": "alive"}, {"_id": "y", "state": "dead"}]
    collections["jobs.nodes"].insert_many(strange)
    collections["jobs.runs"].insert_many([{"_id": "z", "hello": 1}, {"_id": 5, "state": "running", "job_id": 7}])
    wait_until(lambda: len(cluster.events.named("store.failed")) == 3, cluster.problems_said)
    assert {run.outcome for run in cluster.scheduler.get_runs()} <= {"succeeded", "coalesced"}
    assert [node.state for node in cluster.scheduler.get_nodes()] == ["alive"]
    assert cluster.scheduler.get_overview().nodes and cluster.scheduler.get_statistics().oldest is not None
    cluster.start_and_wait("b")
    cluster.wait_until_all_run(jobs, time.time())
    assert {said["node_name"] for said in cluster.events.named("store.failed")} == {"a", "b"}
    assert len(cluster.events.named("store.failed")) == 6 and not cluster.first_event("store.disconnected")
    cluster.stop_and_check()


def fail_next(cluster: Cluster, command: str, code: int) -> None:
    """Have the server fail the node's next such command on the jobs."""
    jobs = f"{cluster.database}.{cluster.documents().name}"
    data = {"failCommands": [command], "errorCode": code, "appName": "a", "namespace": jobs}
    cluster.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})


# -- other servers ----------------------------------------------------------------------------------------------------


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


def test_certificates_that_are_renewed_are_read_again(
    directory: Path, servers: list[Mongod | ReplicaSet], make_cluster: Callable[..., Cluster]
) -> None:
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    make_certificate(certificate, key)
    key.write_text(key.read_text() + certificate.read_text())
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(key))
    query = f"&tls=true&tlsCAFile={certificate}"
    server = ReplicaSet(directory / "tls", 1, *options, "--tlsAllowConnectionsWithoutCertificates", query=query)
    servers.append(server)
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
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    make_certificate(certificate, key)
    key.write_text(key.read_text() + certificate.read_text())
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(key))
    query = f"&tls=true&tlsCAFile={certificate}"
    server = ReplicaSet(directory / "tls", 1, *options, "--tlsAllowConnectionsWithoutCertificates", query=query)
    servers.append(server)
    plain = MongoClient(server.uri.replace(query, ""), serverSelectionTimeoutMS=500)
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


# -- web servers ------------------------------------------------------------------------------------------------------


def test_four_gunicorn_workers_run_each_instant_once(cluster: Cluster, directory: Path) -> None:
    app = Path(__file__).parent / "cluster" / "gunicorn_app.py"
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "4", "-b", f"127.0.0.1:{free_port()}"]
    command += ["--chdir", str(app.parent), "-c", str(app), "--graceful-timeout", "10", "gunicorn_app:app"]
    gunicorn = Process(command, directory / "gunicorn.log", {"NODE": json.dumps(cluster.settings())})
    try:
        wait_until(lambda: len(cluster.events.named("node.joined")) == 4, cluster.problems_said)
        jobs = cluster.add_ticks(40, coalesce=False, max_instances=10)
        cluster.wait_until_all_run(jobs, time.time())
        wait_until(lambda: len({line["node"] for line in cluster.starts()}) == 4, "all workers to run jobs")
        until = time.time()
        gunicorn.end()
        verdict = cluster.check(until)
        assert not verdict.problems, verdict.problems[:20]
        report("four gunicorn workers", **verdict.counts)
        assert verdict.counts["run"] == verdict.counts["instants"]
    finally:
        gunicorn.end_at_once()


def report(what: str, **figures: Any) -> None:
    """Figures for people: shown by pytest -s."""
    print(what, {name: round(value, 3) for name, value in figures.items()})
