"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
import structlog
from bench import Bench
from waiting import LONGEST_SECONDS

from gsched.stores import BaseJobStore, MemoryJobStore


@pytest.fixture(autouse=True)
def structlog_as_it_comes() -> Iterator[None]:
    """What a test does to structlog ends with it; `capture_logs`, too, leaves it configured, and then we log to it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    """Makes benches with settings of the test's own, and closes them."""
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(**settings))
        return made[-1]

    with gevent.Timeout(LONGEST_SECONDS):
        yield make
        for bench in made:
            bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A bench whose scheduler runs."""
    return make_bench().start()


@pytest.fixture
def unstarted(make_bench: Callable[..., Bench]) -> Bench:
    """A bench whose scheduler has not been started yet."""
    return make_bench()


@contextmanager
def memory_store() -> Iterator[BaseJobStore]:
    yield MemoryJobStore()


STORES = {"memory": memory_store}  # every store that must keep the contract


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[BaseJobStore]:
    """An empty store of each kind, not bound to a scheduler yet."""
    with STORES[request.param]() as made:
        yield made
