"""Documents that the store did not write, lost collections, and change feeds that break, among real nodes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import ObjectId
from cluster.rig import Cluster, report
from waiting import wait_until

from gsched import GeventScheduler, MongoDBJobStore
from gsched.stores.claims.partition import slot_of

pytest_plugins = ["mongodb", "cluster.fixtures"]
pytestmark = pytest.mark.usefixtures("needs_mongod")


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
    cluster.start_and_wait("newer")
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
    cluster.stop()


def test_jobs_whose_collection_is_dropped_or_takes_the_place_of_another_are_noticed_at_once(cluster: Cluster) -> None:
    cluster.start_and_wait("a")
    jobs = cluster.add_ticks(1)
    cluster.wait_until_all_run(jobs, time.time())
    copy = cluster.client[cluster.database]["copy"]
    copy.insert_one(cluster.documents().find_one({"_id": "tick-0"}))
    dropped = time.time()
    cluster.documents().drop()
    others = cluster.add_ticks(1, name="other")
    cluster.wait_for_start("other-0", dropped, 5)
    cluster.wait_until_all_run(others, dropped + 3)
    assert not cluster.starts("tick-0", since=dropped + 2)
    restored = time.time()
    copy.rename("jobs", dropTarget=True)
    cluster.wait_for_start("tick-0", restored, 5)
    cluster.stop()


def fail_next(cluster: Cluster, command: str, code: int) -> None:
    """Have the server fail the node's next such command on a stream of the database's changes."""
    stream = f"{cluster.database}.$cmd.aggregate"
    data = {"failCommands": [command], "errorCode": code, "appName": "a", "namespace": stream}
    cluster.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})


def test_a_database_that_is_dropped_is_made_anew_and_what_is_added_then_runs(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(5)
    cluster.wait_until_all_run(jobs, time.time())
    dropped = time.time()
    cluster.client.drop_database(cluster.database)
    for name in ("a", "b"):
        cluster.wait_for_event("node.joined", dropped, node_name=name)
    for event in ("feed.lost", "feed.opened"):  # the server closes the streams of a database that is dropped
        cluster.wait_for_event(event, dropped)
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
    assert [node.state for node in cluster.scheduler.admin.get_nodes()] == ["alive"]
    assert cluster.scheduler.admin.get_overview().nodes and cluster.scheduler.admin.get_statistics().oldest is not None
    cluster.start_and_wait("b")
    cluster.wait_until_all_run(jobs, time.time())
    assert {said["node_name"] for said in cluster.events.named("store.failed")} == {"a", "b"}
    assert len(cluster.events.named("store.failed")) == 6 and not cluster.first_event("store.disconnected")
    cluster.stop_and_check()
