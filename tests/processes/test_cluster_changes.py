"""Users change jobs while real nodes run them, and while their node is dead."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster.rig import SLACK, Cluster, report, wait_for_outcome
from waiting import wait_until

pytest_plugins = ["mongodb", "cluster.fixtures"]
pytestmark = pytest.mark.usefixtures("needs_mongod")


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


def test_runs_requested_while_no_node_lived_have_an_outcome_after_their_job_was_removed(
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


def test_a_run_whose_job_is_paused_or_removed_is_lost_with_its_node_and_not_silent(cluster: Cluster) -> None:
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


def test_no_run_in_progress_on_a_killed_node_is_silent_whatever_is_done_to_its_job_before_the_takeover(
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
