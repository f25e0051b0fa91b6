"""What holds if a node crashes at a point between a failed attempt and the attempt that follows, on every database."""

from __future__ import annotations

import time

from cluster.rig import SLACK, TTL, Cluster, report
from waiting import wait_until

RETRY_POINTS = ("retry", "waits", "begin")  # see node.Settings


def check_crash_while_retrying(cluster: Cluster, point: str) -> None:
    """One of two nodes crashes there: the other one begins what waited, and each instant has one outcome."""
    cluster.start_and_wait("survivor")
    jobs = cluster.add_flaky(4)
    cluster.start_and_wait("doomed", crash=point)
    wait_until(lambda: cluster.starts(node="doomed", attempt=3), "third attempts on the doomed node")
    cluster.nodes["doomed"].arm()
    crashed = cluster.note_crash("doomed")
    cluster.wait_until_all_run(jobs, crashed + 2)
    verdict = cluster.stop_and_check()
    report(f"crash at {point}", **verdict.counts)
    assert verdict.counts["retried"] and not verdict.counts["recovered_though_ended"]
    moved = attempts_that_moved(cluster, crashed)
    assert moved and max(moved) < TTL + SLACK


def attempts_that_moved(cluster: Cluster, crashed: float) -> list[float]:
    """The retries of runs that failed on the node that crashed: how long after the crash they began elsewhere, in
    seconds."""
    failed = {(line["job"], line["at"]) for line in cluster.starts(node="doomed")}
    begun = cluster.starts(node="survivor", since=crashed)
    return [line["time"] - crashed for line in begun if line["attempt"] > 1 and (line["job"], line["at"]) in failed]


def check_freeze_while_retrying(cluster: Cluster, point: str) -> None:
    """A node is frozen there for longer than the TTL: when it goes on, it adds no retry and begins none."""
    cluster.start_and_wait("survivor")
    jobs = cluster.add_flaky(4)
    cluster.start_and_wait("frozen", crash=point, freezes=True)
    wait_until(lambda: cluster.starts(node="frozen", attempt=3), "third attempts on the node")
    frozen = cluster.freeze_at_its_point("frozen")
    cluster.wait_for_event("node.died", since=frozen, node_name="survivor")
    cluster.wait_until_all_run(jobs, time.time())
    thawed = cluster.thaw("frozen")
    cluster.wait_for_event("node.fenced", since=thawed, node_name="frozen")
    joined = cluster.wait_for_event("node.joined", since=thawed, node_name="frozen")["time"]
    cluster.wait_until_all_run(jobs, joined + 1)
    verdict = cluster.stop_and_check()
    report(f"frozen at {point}", **verdict.counts)
    begun = [line for line in cluster.starts(node="frozen", since=thawed) if line["time"] < joined]
    assert not begun, "begun by a node that was dead"
