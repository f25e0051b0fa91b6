"""Groups: one dead slow host beside hundreds of healthy ones, and what limits cost.

- "hosts": 5,000 URLs on 500 hosts, each polled every 10 s, at most 4 requests at once per host. In every second case
  the requests to one host take 30 s. How late the polls of the other hosts begin, with that host and without it.
- "nodes": the same on MongoDB with three nodes, one of which is killed and replaced every few seconds. Each node notes
  when a request begins and ends: how many of the slow host's were in progress at once. What a killed node had in
  progress has ended with it.
- "no-op": CPU time of a run in a group that has a limit beside one in no group, in paired rounds.
- "held": 10,000 jobs of one group on MongoDB that come due far faster than its rate allows: how many documents the
  server updates for each run that begins.
Run: python load_tests/groups.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import logging
import random
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import gevent
import groups_jobs
from harness import Results, Stopwatch, fresh, percentile, promise, run
from mongodb_cluster import Cluster, Node, Server, mongodb
from mongodb_jobs import fetched
from mongodb_throughput import in_mongodb
from retries import documents_written
from workload import counted, freeze, runs_so_far

from gsched import GeventScheduler

URLS, HOSTS, EVERY_SECONDS = 5000, 500, 10.0
LIMIT = 4  # requests at once per host
SLOW_SECONDS = 30.0
HELD_JOBS, HELD_RATE = 10_000, 100  # jobs of one group, and how many may begin in a second
NO_OP_JOBS = 2000


def measure(quick: bool) -> Results:
    rounds = 1 if quick else 3
    pairs = [(fresh(__file__, "healthy", quick), fresh(__file__, "slow", quick)) for _ in range(rounds)]
    healthy, slow = ([pair[kind] for pair in pairs] for kind in (0, 1))
    costs = [(fresh(__file__, "ungrouped", quick), fresh(__file__, "grouped", quick)) for _ in range(2 * rounds + 1)]
    ratio = median(ungrouped["cpu_us"] / grouped["cpu_us"] for ungrouped, grouped in costs)
    with mongodb() as server:
        nodes = on_nodes(server, quick)
        held = in_one_group(server, quick)
    return Results(
        [
            promise("requests at once to the slow host", max(each["most"] for each in slow), at_most=LIMIT),
            promise(
                "lateness p99 of the others beside it: median of the rounds",
                median(each["p99"] for each in slow), at_most=max(each["p99"] for each in healthy), unit="ms",
            ),
            promise("the same without it", median(each["p99"] for each in healthy), unit="ms"),
            promise("requests at once to it, with nodes that are killed", nodes["most"], at_most=LIMIT),
            promise("its requests that began there", nodes["starts"], at_least=LIMIT),
            promise("rate of grouped no-op runs beside ungrouped ones", 100 * ratio, at_least=85, unit="%"),
            promise("documents updated per start, 10,000 held jobs", held["updated"] / held["starts"], at_most=1),
        ],
        {"healthy": healthy, "slow": slow, "costs": costs, "nodes": nodes, "held": held},
    )  # fmt: skip


# -- one node, in memory ----------------------------------------------------------------------------------------------


def healthy(quick: bool) -> dict[str, float]:
    return hosts(None, quick)


def slow(quick: bool) -> dict[str, float]:
    return hosts(SLOW_SECONDS, quick)


def hosts(slow_seconds: float | None, quick: bool) -> dict[str, float]:
    """How late the requests to healthy hosts began, and how many were made at once to the first host."""
    with scheduler() as polling:
        polling.set_limit("host:*", concurrency=LIMIT)
        urls = groups_jobs.definitions(groups_jobs.fetch, URLS, HOSTS, EVERY_SECONDS, slow_seconds)
        polling.add_jobs(urls)
        freeze()
        gevent.sleep(EVERY_SECONDS + 2)
        groups_jobs.late_ms.clear()
        gevent.sleep(10 if quick else 30)
        late = list(groups_jobs.late_ms)
    return {"p50": median(late), "p99": percentile(late, 0.99), "most": groups_jobs.most_at_once["host:0"]}


def ungrouped(quick: bool) -> dict[str, float]:
    return no_op(None, quick)


def grouped(quick: bool) -> dict[str, float]:
    return no_op("host:{}", quick)


def no_op(group: str | None, quick: bool) -> dict[str, float]:
    """The CPU time of a run that does nothing."""
    with scheduler() as running:
        running.set_limit("host:*", concurrency=1000)
        running.add_jobs(
            {"func": counted, "trigger": "interval", "seconds": 1, "spread": True, "id": f"job-{number}",
             "group": None if group is None else group.format(number % 100)}
            for number in range(NO_OP_JOBS)
        )  # fmt: skip
        freeze()
        gevent.sleep(2)
        watch, before = Stopwatch(), runs_so_far()
        gevent.sleep(3 if quick else 8)
        runs = runs_so_far() - before
        return {"cpu_us": 1e6 * watch.read()[1] / runs, "runs": runs}


class scheduler:
    """A started scheduler with its jobs in memory."""

    def __enter__(self) -> GeventScheduler:
        logging.disable(logging.ERROR)
        self._scheduler = GeventScheduler(timezone="UTC")
        self._scheduler.start()
        return self._scheduler

    def __exit__(self, *error: object) -> None:
        self._scheduler.shutdown(wait=False)


# -- several nodes ----------------------------------------------------------------------------------------------------


def on_nodes(server: Server, quick: bool) -> dict[str, Any]:
    """How many requests to the slow host were in progress at once, while nodes are killed."""
    killed: dict[Node, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(server.uri, "groups", Path(directory))
        try:
            cluster.scheduler.set_limit("host:*", concurrency=LIMIT)
            urls = groups_jobs.definitions(fetched, URLS // 10, HOSTS // 10, EVERY_SECONDS, 8.0)
            cluster.scheduler.add_jobs(urls)
            settings = {"at_once": True, "node_ttl": 2.0}
            nodes = [cluster.start_node(**settings) for _ in range(3)]
            cluster.wait_until_balanced(*nodes)
            over = time.monotonic() + (20 if quick else 90)
            while time.monotonic() < over:
                gevent.sleep(random.uniform(3, 8))
                victim = nodes.pop(random.randrange(len(nodes)))
                killed[victim] = victim.kill()
                nodes.append(cluster.start_node(**settings))
            cluster.stop()
            ends = {node: killed.get(node, time.time()) for node in cluster.nodes}
            spans = [span for node in cluster.nodes for span in spans_of(node, ends[node])]
        finally:
            cluster.close()
    return {"most": most_at_once(spans), "starts": len(spans), "killed": len(killed)}


def spans_of(node: Node, end: float) -> Iterable[tuple[float, float]]:
    """When the node's requests to the slow host began and ended. `value` is 0 in lines of beginnings."""
    begun: dict[tuple[str, float], float] = {}
    for line in node.starts():
        if int(line.job.removeprefix("url-")) % (HOSTS // 10) == 0:
            if line.value == 0:
                begun[line.job, line.due] = line.began
            elif (began := begun.pop((line.job, line.due), None)) is not None:
                yield began, line.began
    yield from ((began, end) for began in begun.values())


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """How many of the spans overlapped."""
    changes = sorted(change for began, ended in spans for change in ((began, 1), (ended, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def in_one_group(server: Server, quick: bool) -> dict[str, Any]:
    """What the server writes while far more jobs of a group are due than may begin."""
    with in_mongodb(server) as store:
        running = GeventScheduler(jobstores={"default": store}, timezone="UTC")
        running.set_limit("all", rate=HELD_RATE)
        running.start()
        try:
            running.add_jobs(
                {"func": counted, "trigger": "interval", "seconds": 5, "spread": True, "id": f"job-{number}",
                 "group": "all"}
                for number in range(HELD_JOBS)
            )  # fmt: skip
            gevent.sleep(15)
            written, before = documents_written(server), runs_so_far()
            gevent.sleep(5 if quick else 20)
            updated = documents_written(server)["updated"] - written["updated"]
            return {"starts": runs_so_far() - before, "updated": updated}
        finally:
            running.shutdown(wait=False)


if __name__ == "__main__":
    run("groups", measure, {each.__name__: each for each in (healthy, slow, ungrouped, grouped)})
