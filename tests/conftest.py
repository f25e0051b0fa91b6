"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import structlog
from bench import Bench
from hypothesis import HealthCheck, settings
from waiting import LONGEST_SECONDS

from gsched.stores import BaseJobStore, MemoryJobStore, MongoDBJobStore, SQLJobStore

pytest.register_assert_rewrite("cluster")  # assertions in what nodes' tests share say their values, too

# What configures the gsched of whoever runs the tests is not for the tests.
for name in [name for name in os.environ if name.startswith("GSCHED_") and name != "GSCHED_MONGOD"]:
    del os.environ[name]
os.environ.pop("NO_COLOR", None)

# A shell starts what runs in the background with SIGINT ignored, and the programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Properties are tried on the same examples in every run, so that a change is what makes a test fail. scripts/soak tries
# others, and more of them. No example has a deadline: the machine may be busy with something else.
busy = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **busy)
settings.register_profile("soak", max_examples=2000, **busy)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def structlog_as_it_comes() -> Iterator[None]:
    """What a test does to structlog ends with it; `capture_logs`, too, leaves it configured, and then we log to it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def children_are_their_parents() -> Iterator[None]:
    """Once a command has run, gevent's event loop reaps all child processes: those of the next test would have no exit
    status left."""
    yield
    if hasattr(signal, "SIGCHLD"):  # not on Windows
        gevent.get_hub().loop.reset_sigchld()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


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


@pytest.fixture(params=["memory", "sqlite", "mongodb"])
def any_store(request: pytest.FixtureRequest) -> Iterator[BaseJobStore]:
    """An empty store of each kind that must keep the contract, not bound to a scheduler yet."""
    if request.param == "memory":
        yield MemoryJobStore()
        return
    if request.param == "sqlite":
        kept = SQLJobStore(f"sqlite:///{request.getfixturevalue('tmp_path')}/jobs.sqlite")
        yield kept
        kept.close()
        return
    made = MongoDBJobStore(request.getfixturevalue("uri"), database=request.getfixturevalue("emptied_database").name)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "mongodb"])
def make_store(request: pytest.FixtureRequest) -> Callable[[], BaseJobStore]:
    """Makes stores that share the jobs of one database: one for each scheduler of a test."""
    if request.param == "sqlite":
        path = request.getfixturevalue("tmp_path") / "jobs.sqlite"
        return lambda: SQLJobStore(f"sqlite:///{path}")
    uri, name = request.getfixturevalue("uri"), request.getfixturevalue("emptied_database").name
    return lambda: MongoDBJobStore(uri, database=name)
