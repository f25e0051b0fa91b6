"""Fixtures: clusters of real processes on real databases.

A test module that needs them says `pytest_plugins = ["mongodb", "cluster.fixtures"]`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cluster.rig import TTL, Cluster, Mongod, ReplicaSet, scratch


@cache
def shared() -> ReplicaSet:
    """A one-node replica set for those tests that leave it alone."""
    holder = scratch()
    server = ReplicaSet(holder.__enter__())

    def end() -> None:
        server.end_at_once()
        holder.__exit__(None, None, None)

    atexit.register(end)
    return server


@pytest.fixture
def directory() -> Iterator[Path]:
    with scratch() as made:
        yield made


@pytest.fixture
def servers() -> Iterator[list[Mongod | ReplicaSet]]:
    """Servers of a test's own, to be ended after it."""
    made: list[Mongod | ReplicaSet] = []
    yield made
    for each in made:
        each.end_at_once()


@pytest.fixture
def make_cluster(directory: Path, servers: list[Mongod | ReplicaSet]) -> Iterator[Callable[..., Cluster]]:
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
