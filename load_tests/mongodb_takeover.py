"""How long jobs do not run when the nodes change: one joins, one is killed (kill -9), one is stopped in good order.

100 jobs that recur every half second, none coalesced, on two nodes. Runs are noted by the nodes in files, at once.
Afterwards every instant of every job is compared with its trigger's arithmetic: none may have run twice, and those that
have not run may only be the ones that a killed node had claimed, at most half a second ahead.
- killed: from the kill until each of its jobs has started on another node
- stopped, joined: by how much an instant that was due since then started late
- gaps: between two starts of a job, beyond its half second
Run: python load_tests/mongodb_takeover.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import gevent
from harness import Results, bars, promise, run, spread
from mongodb_cluster import Cluster, Node, Start, mongodb

JOBS = 100
EVERY_MS = 500
AHEAD_MS = 500  # how far ahead, at most, a node has claimed what is due
BEHIND_MS = 1000  # how far back, at most, what has ended is not known to have
SETTLED_SECONDS = 2.0  # to see that all is well, after a change


def measure(quick: bool) -> Results:
    """Some rounds, each: a node joins, and either of the two ends, killed and stopped in turns."""
    ttl, rounds = (2.0, 2) if quick else (10.0, 4)
    changes: dict[str, list[float]] = {"joined": [], "killed": [], "stopped": []}
    with mongodb() as server, server.cluster("takeover") as cluster:
        options = {"at_once": True, "node_ttl": ttl}
        keeper = cluster.start_node(**options)
        cluster.wait_until_balanced(keeper)
        first = add_jobs(cluster)
        kills: list[float] = []
        for number in range(2 * rounds):
            joining = time.time()
            other = cluster.start_node(**options)
            cluster.wait_until_balanced(keeper, other)
            gevent.sleep(SETTLED_SECONDS + number * 0.137)  # at different moments of a tick
            changes["joined"].append(latest(cluster, joining, time.time() - 0.5))
            goes, stays = (keeper, other) if number % 4 < 2 else (other, keeper)
            if number % 2:
                changes["stopped"].append(stop(cluster, goes, stays))
            else:
                kills.append(time.time())
                changes["killed"].append(kill(cluster, goes, stays, ttl))
            keeper = stays
        last = round(time.time() * 1000)
        gevent.sleep(1)
        cluster.stop()
        doubled, lost, missing = compare(cluster.starts(), first, last, kills)
        gaps = gaps_of(cluster.starts())
    return Results(
        [
            promise("killed: all its jobs go on, beyond the TTL", max(changes["killed"]) - ttl, at_most=1, unit="s"),
            promise("stopped: handover, longest lateness", max(changes["stopped"]), at_most=1, unit="s"),
            promise("a node joins: longest lateness", max(changes["joined"]), unit="s"),
            promise("instants that ran twice", doubled, at_most=0),
            promise("instants that did not run, killed nodes' claims aside", missing, at_most=0),
            promise("instants that were lost, per kill", lost / len(kills)),
        ],
        {"ttl_seconds": ttl, "kills": len(kills), "lost": lost, **changes, "gaps_seconds": spread(gaps)},
        bars(
            f"Longest delay of a job when nodes change (TTL {ttl:g} s)",
            "seconds",
            {f"gsched, a node {name}": max(seconds) for name, seconds in changes.items()},
            ttl + 1,
        ),
    )


def add_jobs(cluster: Cluster) -> int:
    """Out of step with each other; the first instant of the first, in milliseconds."""
    first = round(time.time() + 1) * 1000
    recurring = {"func": "mongodb_jobs:noted", "trigger": "interval", "seconds": EVERY_MS / 1000}
    limits = {"coalesce": False, "max_instances": 1000}
    starts = (datetime.fromtimestamp((first + n * EVERY_MS // JOBS) / 1000, UTC) for n in range(JOBS))
    cluster.scheduler.add_jobs(
        {**recurring, **limits, "start_date": start, "id": f"job-{n}"} for n, start in enumerate(starts)
    )
    return first


def kill(cluster: Cluster, goes: Node, stays: Node, ttl: float) -> float:
    """Seconds until all jobs of the node have started on the other."""
    owner = cluster.owner_of({node.popen.pid: node for node in (goes, stays)})
    when = goes.kill()
    theirs = {job for job, node in owner.items() if node is goes}
    seen = wait_for_all(stays, theirs, when, ttl + 20)
    cluster.wait_until_balanced(stays)
    gevent.sleep(SETTLED_SECONDS)
    return seen - when


def wait_for_all(node: Node, jobs: set[str], since: float, seconds: float) -> float:
    """When the last of the jobs first started there."""
    give_up = time.monotonic() + seconds
    while True:
        began: dict[str, float] = {}
        for start in node.starts():
            if start.job in jobs and start.began >= since:
                began.setdefault(start.job, start.began)
        if began.keys() == jobs:
            return max(began.values())
        if time.monotonic() > give_up:
            raise TimeoutError(f"{len(jobs - began.keys())} jobs have not gone on within {seconds:g} s")
        gevent.sleep(0.05)


def stop(cluster: Cluster, goes: Node, stays: Node) -> float:
    """Seconds by which what was due since then was late at most."""
    when = goes.stop()
    cluster.wait_until_balanced(stays)
    gevent.sleep(SETTLED_SECONDS)
    return latest(cluster, when, time.time() - 0.5)


def latest(cluster: Cluster, since: float, until: float) -> float:
    """The longest lateness, in seconds, of what was due in this time; `compare` looks for what has not run at all."""
    return max(start.late_ms / 1000 for start in cluster.starts() if since <= start.due <= until)


def compare(starts: Sequence[Start], first: int, last: int, kills: Sequence[float]) -> tuple[int, int, int]:
    """How many instants from `first` to `last` ran more than once; did not, claimed by a killed node; did not."""
    ran = Counter((start.job, round(start.due * 1000)) for start in starts)
    doubled = sum(count - 1 for count in ran.values())
    due = {
        (f"job-{n}", instant)
        for n in range(JOBS)
        for instant in range(first + n * EVERY_MS // JOBS, last + 1, EVERY_MS)
    }
    missing = [instant for job, instant in due - ran.keys()]
    lost = sum(any(-BEHIND_MS <= instant - when * 1000 <= AHEAD_MS for when in kills) for instant in missing)
    return doubled, lost, len(missing) - lost


def gaps_of(starts: Sequence[Start]) -> list[float]:
    """Seconds between two starts of the same job, less its interval."""
    began: dict[str, list[float]] = {}
    for start in starts:
        began.setdefault(start.job, []).append(start.began)
    return [max(0.0, b - a - EVERY_MS / 1000) for times in began.values() for a, b in pairwise(sorted(times))]


if __name__ == "__main__":
    run("mongodb_takeover", measure)
