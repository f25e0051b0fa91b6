"""What becomes of every instant when nodes on one SQLite file are killed, frozen and stopped at random, for minutes.

Three and four nodes share the file. Every few seconds a node is killed (-9), frozen for longer or shorter than the TTL,
or ended, and another one is started; nodes crash at named points, also inside a write transaction; another program
holds the lock of the file for longer than the nodes wait for it. The checker is that of cluster_faults.py.
Run: python load_tests/sqlite_faults.py [--quick]
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cluster_faults import SEED, TTL, Chaos, made, one, promises_of
from harness import Results, run

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from cluster.rig import SQLiteCluster, scratch
from waiting import wait_until


class FileChaos(Chaos):
    """Disturbs nodes, and holds the lock of their file."""

    def hold_lock(self, seconds: float) -> None:
        """Another program writes for so long; the nodes wait for at most 5 s at a time."""
        shell = sqlite3.connect(self._cluster.directory / "jobs.sqlite", isolation_level=None, timeout=30)
        shell.execute("BEGIN IMMEDIATE")
        over = time.time() + seconds
        self._note_outage(f"locked_{seconds:g}_s")
        wait_until(lambda: time.time() > over, "the lock to be held", seconds + 10)
        shell.execute("ROLLBACK")
        shell.close()
        self._note_outage("")


def scenarios(quick: bool) -> Iterator[tuple[str, int, Callable[[Any], None]]]:
    """What is done to how many nodes."""
    for nodes in (3,) if quick else (3, 4):
        yield f"{nodes}_nodes", nodes, lambda chaos: chaos.nodes(20 if quick else 240)
        yield f"{nodes}_nodes_crash_points", nodes, lambda chaos: chaos.crash_at_each_point("transaction")
    yield "locked", 3, lambda chaos: chaos.hold_lock(8 if quick else 60)


def measure(quick: bool) -> Results:
    """All scenarios, on a file each."""
    total: Counter[str] = Counter()
    figures: dict[str, Any] = {"seed": SEED, "ttl": TTL}
    problems: list[str] = []
    with scratch() as directory:
        for name, nodes, disturb in scenarios(quick):
            cluster = SQLiteCluster(made(directory / name), node_ttl=TTL)
            figures[name] = one(name, nodes, disturb, cluster, problems, kind=FileChaos)
            total.update(figures[name]["counts"])
            print(name, figures[name], problems[:5], file=sys.stderr, flush=True)
    figures["problems"] = problems[:50]
    figures["total"] = dict(total)
    return Results(promises_of(total), figures)


if __name__ == "__main__":
    run("sqlite_faults", measure)
