"""A node that is killed while its jobs are about to be overdue, with every database."""

from __future__ import annotations

import time
from collections import Counter

from cluster.rig import SLACK, Cluster, report
from waiting import wait_until

from gsched.stores.overdue_watch import EVERY_SECONDS

SOON, LATER = 1.0, 12.0  # seconds within which jobs are to succeed


def check_kill_before_jobs_are_overdue(cluster: Cluster) -> None:
    """The node that takes the jobs over tells of them, once: not of those that the dead node has told of, nor of jobs
    that go on."""
    cluster.start_and_wait("a", "b")
    busy = cluster.add_ticks(12, name="busy", expect_success_every=SLACK)
    early = cluster.add_ticks(12, 1_000_000.0, name="early", expect_success_every=SOON)
    cluster.wait_until_all_run([*busy, *early], 0)  # also those that are due once only
    wait_until(lambda: set(early) <= told(cluster).keys(), lambda: f"{early} to be overdue\n{cluster.problems_said()}")
    late = cluster.add_ticks(12, 1_000_000.0, name="late", expect_success_every=LATER)
    added = time.time()
    cluster.wait_until_all_run(late, 0)
    orphans = cluster.jobs_of("a", late)
    killed = cluster.kill("a")
    wait_until(lambda: set(late) <= told(cluster).keys(), lambda: f"{late} to be overdue\n{cluster.problems_said()}")
    took = max(said["time"] for said in cluster.events.named("job.overdue")) - added - LATER
    time.sleep(EVERY_SECONDS + 1)  # whoever tells twice has done so by then
    cluster.stop()
    report("overdue after a kill", told_late=took)
    assert set(told(cluster).values()) == {1}
    assert told(cluster).keys() == {*early, *late}
    by = {said["job_id"]: said["node_name"] for said in cluster.events.named("job.overdue") if said["time"] > killed}
    assert orphans and {by[job] for job in orphans} == {"b"}


def told(cluster: Cluster) -> Counter[str]:
    """How often it was told of each job that it is overdue."""
    return Counter(said["job_id"] for said in cluster.events.named("job.overdue"))
