"""Real nodes on a real MongoDB come, go, crash and freeze."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster.counting_crash import check_kills_while_runs_are_counted
from cluster.overdue_crash import check_kill_before_jobs_are_overdue
from cluster.overlap_crash import check_kill_while_an_instant_waits
from cluster.retry_crashes import RETRY_POINTS, check_crash_while_retrying, check_freeze_while_retrying
from cluster.rig import SLACK, TTL, Cluster, Process, report, wait_for_outcome
from ports import free_port
from waiting import wait_until

pytest_plugins = ["mongodb", "cluster.fixtures"]
pytestmark = pytest.mark.usefixtures("needs_mongod")


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


def test_jobs_of_a_killed_node_continue_elsewhere_and_no_instant_is_silent_or_runs_twice(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20)
    jobs += cluster.add_ticks(10, 0.1, name="again", recover=True)
    jobs += cluster.add_ticks(10, 1, name="slow", recover=True, func="cluster.jobs:work", args=[0.8])
    jobs += cluster.add_ticks(10, 0.1, name="once", coalesce=False, max_instances=10)
    jobs += cluster.add_ticks(10, 0.1, name="failing", func="cluster.jobs:fail")
    old = one_shots(cluster, "old", 12)
    cluster.wait_until_all_run([*jobs, *old], 0)
    began = max(cluster.starts(job)[0]["time"] for job in old)
    wait_until(lambda: time.time() > began + 4, "runs so long that they are written down")
    young = one_shots(cluster, "young", 7)
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


def one_shots(cluster: Cluster, name: str, seconds: float) -> list[str]:
    """Jobs that run once, for so long, from now: half of them to be run again after a crash."""
    ids = [f"{name}-{kind}-{n}" for kind in ("again", "once") for n in range(8)]
    for job in ids:
        cluster.scheduler.add_job("cluster.jobs:work", args=[seconds], id=job, recover="again" in job)
    return ids


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


def test_runs_in_progress_on_a_node_that_is_killed_while_it_ends_are_not_silent(cluster: Cluster) -> None:
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
    woken = cluster.thaw("a")
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


@pytest.mark.parametrize("point", RETRY_POINTS)
def test_a_run_has_one_outcome_and_no_attempt_begins_twice_if_a_crash_comes_while_it_is_retried(
    cluster: Cluster, point: str
) -> None:
    check_crash_while_retrying(cluster, point)


@pytest.mark.parametrize("point", RETRY_POINTS)
def test_a_node_that_was_frozen_while_it_retried_a_run_adds_no_attempt_and_begins_none(
    cluster: Cluster, point: str
) -> None:
    check_freeze_while_retrying(cluster, point)


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


def test_four_gunicorn_workers_run_each_instant_once(cluster: Cluster, directory: Path) -> None:
    app = Path(__file__).parents[1] / "support" / "cluster" / "gunicorn_app.py"
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


def test_an_instant_that_waits_for_a_run_runs_elsewhere_when_the_node_is_killed(cluster: Cluster) -> None:
    check_kill_while_an_instant_waits(cluster)


def test_a_job_ends_after_so_many_runs_whatever_nodes_are_killed_meanwhile(cluster: Cluster) -> None:
    check_kills_while_runs_are_counted(cluster)


def test_the_node_that_takes_over_tells_once_of_jobs_that_become_overdue_after_a_kill(cluster: Cluster) -> None:
    check_kill_before_jobs_are_overdue(cluster)
