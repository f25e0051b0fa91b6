"""Nodes that are killed while an instant waits for the end of a run, with every database."""

from __future__ import annotations

import time

from cluster.rig import Cluster, wait_for_outcome
from waiting import wait_until

from gsched.times.instants import from_ms


def check_kill_while_an_instant_waits(cluster: Cluster) -> None:
    """An instant waits behind a long run; their node is killed: the run is lost, and the instant runs elsewhere."""
    cluster.start_and_wait("a")
    soon = from_ms(round(time.time() * 1000) + 1000)
    every = {"trigger": "interval", "seconds": 2, "start_date": soon, "overlap": "queue", "id": "queued"}
    cluster.scheduler.add_job("cluster.jobs:work_long_on", args=["a"], **every)
    first = cluster.wait_for_start("queued", 0)
    wait_until(lambda: time.time() > first["time"] + 9, "instants that have waited for some seconds")
    killed = cluster.kill("a")
    cluster.start_and_wait("b")
    second = cluster.wait_for_start("queued", killed)
    assert second["node"] == "b"
    assert first["at"] + 6000 < second["at"] < second["time"] * 1000
    wait_for_outcome(cluster, "queued", "lost")
    cluster.stop_and_check()
