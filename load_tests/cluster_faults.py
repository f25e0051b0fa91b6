"""What becomes of every instant when nodes and databases are killed, frozen and stopped at random, for minutes.

2, 4 and 8 nodes share jobs on a replica set of three. Every few seconds a node is killed (-9), frozen for longer or
shorter than the TTL, or ended, and another one is started; nodes crash at named points, have clocks that are an hour
wrong, lose their change streams and the collection of the jobs; the primary steps down, is killed, and is killed when
no other member has what it wrote; at last all of the database is away for 10 s and for 60 s. A checker compares the
triggers' arithmetic with what the runs wrote to a file, the history, and the events: each instant has to have run, or
to be reported as lost, missed, skipped or coalesced, and none may run twice unless its job is to be run again after a
crash.
Run: python load_tests/cluster_faults.py [--quick]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from harness import Results, percentile, promise, run

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from cluster.checker import Verdict
from cluster.rig import Cluster, ReplicaSet, scratch
from waiting import wait_until

TTL = 3.0
SEED = 20
JOBS = 60
# Where nodes can be told to crash: see tests/support/cluster/node.py.
POINTS = ("claim", "start", "run", "settle", "retry", "waits", "begin")
FEED_ERRORS = (286, 136, 43)  # history lost, position lost, cursor not found
WRONG = ("missing", "silent", "doubled", "repeated_attempts", "two_outcomes", "unrecorded", "not_in_history")


class Chaos:
    """Disturbs a cluster, and its database."""

    def __init__(self, cluster: Cluster, nodes: int, seed: int, servers: ReplicaSet | None = None) -> None:
        self._cluster = cluster
        if servers is not None:
            self._servers = servers
        self._random = Random(seed)
        self._names = (f"node{number}" for number in count())
        self._thaws: dict[str, float] = {}
        self.done: Counter[str] = Counter()
        self.jobs: list[str] = []  # those that have to run in the end
        cluster.start_and_wait(*(next(self._names) for _ in range(nodes)))

    def nodes(self, seconds: float) -> None:
        """Disturb nodes for a while, one every other second or so."""
        began = time.time()
        over = began + seconds
        upcoming = began
        while time.time() < over:
            self._thaw(time.time())
            if time.time() >= upcoming:
                upcoming = time.time() + self._random.uniform(1, 3)
                self._random.choice([self._kill, self._freeze, self._stop])(self._any())
            pause()
        self._thaw(over + 10 * TTL)

    def _any(self) -> str:
        return self._random.choice([name for name in self._alive() if name not in self._thaws] or self._alive())

    def _alive(self) -> list[str]:
        return sorted(name for name, node in self._cluster.nodes.items() if node.alive())

    def _kill(self, name: str) -> None:
        self._cluster.kill(name)
        self._thaws.pop(name, None)
        self._replace("killed")

    def _stop(self, name: str) -> None:
        self._cluster.nodes[name].ask_to_end()
        self._thaws.pop(name, None)
        self._replace("stopped")

    def _freeze(self, name: str) -> None:
        self._cluster.freeze(name)
        self._thaws.setdefault(name, time.time() + self._random.uniform(0.3, 1.7) * TTL)
        self.done["frozen"] += 1

    def _thaw(self, now: float) -> None:
        for name in [name for name, when in self._thaws.items() if when <= now]:
            self._cluster.nodes[name].thaw()
            del self._thaws[name]

    def _replace(self, what: str) -> None:
        self.done[what] += 1
        self._cluster.start(next(self._names))

    def crash_at_each_point(self, *more: str) -> None:
        """Nodes kill themselves at each named point, one after the other."""
        for point in (*POINTS, *more):
            name = next(self._names)
            self._cluster.start_and_wait(name, crash=point)
            # Of each kind; the third attempts are retries that waited in the database.
            wait_until(lambda name=name: self._cluster.starts(node=name, attempt=3), f"third attempts on {name}")
            self._cluster.nodes[name].arm()
            self._cluster.note_crash(name)
            self.done[f"crashed_at_{point}"] += 1

    def skew(self) -> None:
        """Two more nodes come whose clocks are an hour wrong, then others are disturbed."""
        for seconds in (3600, -3600):
            self._cluster.start_and_wait(next(self._names), skew_seconds=seconds)
            self.done[f"skewed_by_{seconds}_s"] += 1
        self.nodes(10)

    def break_feeds(self) -> None:
        """Each node's next look at its change stream fails, once with each error."""
        with self._primary().client() as client:
            for code in FEED_ERRORS:
                for name in self._alive():
                    data = {"failCommands": ["getMore"], "errorCode": code, "appName": name}
                    fail = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
                    client.admin.command(fail)
                    time.sleep(0.7)  # it looks every half a second
                    self.done[f"feed_error_{code}"] += 1
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})

    def lose_jobs(self) -> None:
        """The collection of the jobs is dropped, and then renamed; what is added afterwards has to run."""
        for what, lose in (("dropped", lambda jobs: jobs.drop()), ("renamed", lambda jobs: jobs.rename("elsewhere"))):
            lose(self._cluster.documents())
            self.done[what] += 1
            self.jobs = self._cluster.add_ticks(JOBS // 4, 1, name=f"after_{what}")
            self._cluster.wait_until_all_run(self.jobs, time.time())

    def _primary(self) -> Any:
        return wait_until(self._servers.primary, "a primary")

    def step_down(self) -> None:
        """The primary gives up, with nobody hurt."""
        self._note_outage("stepped_down")
        self._servers.step_down()
        wait_until(self._servers.primary, "a primary")

    def kill_primary(self) -> None:
        """kill -9 the primary; it comes back when there is a new one."""
        primary = self._primary()
        self._note_outage("primary_killed")
        primary.kill()
        wait_until(self._servers.primary, "a new primary")
        primary.start_again()

    def roll_back(self, seconds: float) -> None:
        """For a while no other member has what the primary writes; then that is lost.

        It comes back with nothing of its own: mongod's own rollback does the same, and sometimes never ends.
        """
        wait_until(self._servers.has_recovered, "all members")
        primary = self._primary()
        self._note_outage(f"rolled_back_{seconds:g}_s")
        self._servers.replicate(False, primary)
        time.sleep(seconds)
        self._note_outage("")
        primary.kill()
        self._servers.replicate(True, primary)
        wait_until(self._servers.primary, "a new primary")
        primary.start_anew()

    def outage(self, seconds: float) -> None:
        """All servers are killed, and start again after a while."""
        for each in self._servers.members:
            each.kill()
        self._note_outage(f"outage_{seconds:g}_s")
        over = time.time() + seconds
        wait_until(lambda: time.time() > over, "the outage to pass", seconds + 10)
        for each in self._servers.members:
            each.start_again()
        wait_until(self._servers.primary, "a primary")
        self._note_outage("")

    def _note_outage(self, what: str) -> None:
        self._cluster.ended.setdefault("database", []).append(time.time())
        if what:
            self.done[what] += 1


def pause() -> None:
    time.sleep(0.05)


def settle(cluster: Cluster, jobs: list[str]) -> Verdict:
    """Let everything recover, end the nodes and look."""
    cluster.wait_until_all_run(jobs, time.time(), 60)
    cluster.wait_until_balanced()
    return cluster.check(cluster.stop())


def add_jobs(cluster: Cluster) -> list[str]:
    """Jobs of all kinds, every second or two."""
    share = JOBS // 4
    jobs = cluster.add_ticks(share, 1, name="once")
    jobs += cluster.add_ticks(share, 1, name="again", recover=True)
    jobs += cluster.add_ticks(share, 2, name="each", coalesce=False, max_instances=100)
    jobs += cluster.add_ticks(share, 1, name="failing", func="cluster.jobs:fail")
    slow = {"func": "cluster.jobs:work", "args": [4.5], "max_instances": 5}
    jobs += cluster.add_ticks(share, 2, name="long", recover=True, **slow)
    return jobs + cluster.add_flaky(share)  # so many that each of nine nodes has some


def scenarios(quick: bool) -> Iterator[tuple[str, int, Callable[[Chaos], None]]]:
    """What is done to how many nodes."""
    seconds = 15 if quick else 40
    for nodes in (2,) if quick else (2, 4, 8):
        yield f"{nodes}_nodes", nodes, lambda chaos: chaos.nodes(seconds)
        yield f"{nodes}_nodes_crash_points", nodes, Chaos.crash_at_each_point
        yield f"{nodes}_nodes_skewed_clocks", nodes, Chaos.skew
        yield f"{nodes}_nodes_broken_feeds", nodes, Chaos.break_feeds
        yield f"{nodes}_nodes_lost_jobs", nodes, Chaos.lose_jobs

    def failovers(chaos: Chaos) -> None:
        for disturb in (chaos.step_down, chaos.kill_primary):
            disturb()
            chaos.nodes(5)

    def rollbacks(chaos: Chaos) -> None:
        for seconds in (1, TTL / 2, 2 * TTL):
            chaos.roll_back(seconds)
            chaos.nodes(5)

    yield "failovers", 2 if quick else 4, failovers
    yield "rollbacks", 2 if quick else 4, rollbacks
    yield "outage_10_s", 2, lambda chaos: chaos.outage(10)
    if not quick:
        yield "outage_60_s", 2, lambda chaos: chaos.outage(60)


def measure(quick: bool) -> Results:
    """All scenarios on one replica set, a database each."""
    total: Counter[str] = Counter()
    figures: dict[str, Any] = {"seed": SEED, "ttl": TTL}
    problems: list[str] = []
    with scratch() as directory:
        servers = ReplicaSet(directory, 3)
        try:
            for name, nodes, disturb in scenarios(quick):
                cluster = Cluster(servers.uri, made(directory / name), node_ttl=TTL)
                figures[name] = one(name, nodes, disturb, cluster, problems, servers)
                total.update(figures[name]["counts"])
                print(name, figures[name], problems[:5], file=sys.stderr, flush=True)
        finally:
            servers.end_at_once()
    figures["problems"] = problems[:50]
    figures["total"] = dict(total)
    return Results(promises_of(total), figures)


def promises_of(total: Counter[str]) -> list[dict[str, Any]]:
    """What became of all instants, and that nothing is wrong."""
    return [
        promise("instants under faults", total["instants"]),
        promise("that ran", total["run"]),
        promise("that were reported as lost, and were", total["lost"] + total["cut_lost"]),
        promise("that were reported as lost, and had ended", total["uncertain"]),
        promise("that ran again after a crash", total["recovered"]),
        *(promise(f"that are wrong: {what}", total[what], at_most=0) for what in WRONG),
    ]


def made(directory: Path) -> Path:
    """The directory, which is new."""
    directory.mkdir(mode=0o700)
    return directory


def one(
    name: str,
    nodes: int,
    disturb: Callable[[Chaos], None],
    cluster: Cluster,
    problems: list[str],
    servers: ReplicaSet | None = None,
    kind: type[Chaos] = Chaos,
) -> dict[str, Any]:
    """One scenario."""
    try:
        chaos = kind(cluster, nodes, SEED + nodes, servers)
        chaos.jobs = add_jobs(cluster)
        cluster.wait_until_all_run(chaos.jobs, time.time())
        disturb(chaos)
        verdict = settle(cluster, chaos.jobs)
    finally:
        cluster.close()
    problems += [f"{name}: {problem}" for problem in [*verdict.problems, *verdict.not_in_history]]
    said = Counter(event["name"] for event in cluster.events.all())
    return {
        "counts": dict(verdict.counts),
        "disturbances": dict(chaos.done),
        "events": {what: said[what] for what in ("node.died", "node.fenced", "feed.lost", "store.disconnected")},
        "lateness_s": {f"p{100 * share:g}": percentile(verdict.lateness, share) for share in (0.5, 0.99)},
    }


if __name__ == "__main__":
    run("cluster_faults", measure)
