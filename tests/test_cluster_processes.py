"""Real processes on a real MongoDB: what crashes, pauses, outages and clocks do to jobs that several nodes share."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cluster.rig import Cluster, ReplicaSet, scratch, wait_until

from gsched.embedded import EmbeddedMongoError, find_mongod

TTL = 2.0
SLACK = 1.5  # what busy machines get on top of every promised time
SECOND_HALF = 0.5


@pytest.fixture(autouse=True)
def _needs_mongod() -> None:
    """Without one, tests are skipped at home, and fail on CI."""
    try:
        find_mongod()
    except EmbeddedMongoError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no mongod: {error}")


@cache
def shared() -> ReplicaSet:
    """A one-node replica set for those tests that leave it alone."""
    holder = scratch()
    server = ReplicaSet(holder.__enter__())

    def end() -> None:
        server.end()
        holder.__exit__(None, None, None)

    atexit.register(end)
    return server


@pytest.fixture
def directory() -> Iterator[Path]:
    with scratch() as made:
        yield made


@pytest.fixture
def make_cluster(directory: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters of no nodes yet, and ends them."""
    made: list[Cluster] = []

    def make(uri: str | None = None, **options: Any) -> Cluster:
        made.append(Cluster(uri or shared().uri, directory, node_ttl=TTL, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    return make_cluster()


# -- nodes come and go ------------------------------------------------------------------------------------------------


def test_two_nodes_share_the_jobs_and_each_instant_runs_once(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20)
    cluster.wait_until_all_run(jobs, time.time() + 2)
    verdict = cluster.stop_and_check()
    assert verdict.counts["run"] == verdict.counts["instants"] >= 20 * 3
    assert {line["node"] for line in cluster.starts()} == {"a", "b"}
    report("lateness, two nodes", max=max(verdict.lateness))


def test_the_jobs_of_a_killed_node_continue_and_none_runs_twice(cluster: Cluster) -> None:
    cluster.start_and_wait("a", "b")
    jobs = cluster.add_ticks(20)
    cluster.wait_until_all_run(jobs, time.time())
    theirs = cluster.jobs_of("a", jobs)
    assert theirs
    killed = cluster.kill("a")
    continued = cluster.wait_until_all_run(theirs, killed + 0.5) - killed
    report("takeover after kill -9", seconds=continued, ttl=TTL)
    cluster.wait_until_all_run(jobs, time.time())
    verdict = cluster.stop_and_check()
    report("kill -9", **verdict.counts)
    assert continued <= TTL + 1 + SLACK


def report(what: str, **figures: Any) -> None:
    """Figures for people: shown by pytest -s."""
    print(what, {name: round(value, 3) for name, value in figures.items()})
