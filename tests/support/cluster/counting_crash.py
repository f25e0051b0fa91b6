"""Nodes that are killed while the runs of their jobs are counted, with every database."""

from __future__ import annotations

import time

from cluster.rig import Cluster, report
from waiting import wait_until

from gsched.times.instants import to_ms

MOST = 60  # runs of each job: more than can begin before the second kill, also on a busy machine
EVERY_MS = 250


def check_kills_while_runs_are_counted(cluster: Cluster) -> None:
    """Two nodes are killed one after the other. Each job ends after so many runs, lost ones among them."""
    cluster.start_and_wait("a", "b")
    policy = {"max_runs": MOST, "coalesce": False, "max_instances": 20}
    jobs = [
        *cluster.add_ticks(12, EVERY_MS / 1000, name="once", **policy),
        *cluster.add_ticks(12, EVERY_MS / 1000, name="again", recover=True, **policy),
    ]
    cluster.wait_until_all_run(jobs, time.time() + 0.5)
    cluster.kill("a")
    cluster.start_and_wait("c")
    cluster.wait_until_all_run(jobs, time.time())
    cluster.kill("b")
    wait_until(lambda: not cluster.scheduler.get_jobs(), lambda: f"all jobs to end: {cluster.scheduler.get_jobs()}")
    cluster.stop()
    begun: dict[str, set[int]] = {job: set() for job in jobs}
    for line in cluster.starts():
        begun[line["job"]].add(line["at"])
    lost: dict[str, set[int]] = {job: set() for job in jobs}
    for record in cluster.records(outcome="lost"):
        first = to_ms(record["scheduled_at"])
        end = to_ms(record["until"]) if record.get("until") else first + 1
        lost[record["job_id"]].update(range(first, end, EVERY_MS))
    counted = {job: len(begun[job] | lost[job]) for job in jobs}
    report("kills while runs are counted", begun=sum(map(len, begun.values())), begun_or_lost=sum(counted.values()))
    assert max(map(len, begun.values())) <= MOST
    assert min(counted.values()) >= MOST
