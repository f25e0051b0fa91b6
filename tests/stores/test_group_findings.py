"""What the doctor says about groups, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from store_bench import StoreBench

from gsched import CronTrigger
from gsched.monitoring.doctor import Finding
from gsched.stores import BaseJobStore
from gsched.stores.group_findings import rate_finding, share_finding

pytest_plugins = ["mongodb"]


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


def add(bench: StoreBench, group: str | None, jobs: int, **options: object) -> None:
    for number in range(jobs):
        bench.add(f"{group}-{number}", options.pop("trigger", "interval"), group=group, **options)


def test_a_group_that_is_due_more_often_than_its_rate_allows_is_named(bench):
    bench.scheduler.set_limit("host:*", concurrency=4, rate="10/s")
    add(bench, "host:x", 50, seconds=3)
    add(bench, "host:y", 30, seconds=3)
    add(bench, "other", 50, seconds=3)
    found = rate_finding(bench.store)
    assert (found.verdict, found.found) == ("warning", "host:x: 16.7/s due, 10/s allowed: 40 % are coalesced")
    bench.scheduler.pause_jobs(prefix="host:x-1")
    bench.scheduler.pause_jobs(prefix="host:x-2")
    assert rate_finding(bench.store) == Finding("group rates", "ok", "no group is due more often than its rate allows")


def test_a_group_whose_instants_all_run_grows(bench):
    bench.scheduler.set_limit("slow", rate="2/h")
    bench.add("job", CronTrigger(minute="*/5", timezone="UTC"), group="slow", coalesce=False)
    assert rate_finding(bench.store).found == "slow: 12/h due, 2/h allowed: what waits grows"


def test_a_group_that_is_due_as_often_as_its_rate_allows_is_not_named(bench):
    bench.scheduler.set_limit("*", rate="10/min")
    add(bench, "host:x", 10, minutes=1)
    assert rate_finding(bench.store).verdict == "ok"


def test_a_group_with_much_of_all_runs_is_named_if_several_processes_share_the_jobs(bench, monkeypatch):
    add(bench, "host:x", 4, seconds=10)
    add(bench, "host:y", 2, seconds=10)
    add(bench, None, 6, seconds=10)
    assert share_finding(bench.store).verdict == "ok"
    monkeypatch.setattr(bench.store, "nodes", lambda: [SimpleNamespace(runs_jobs=True)] * 2)
    found = share_finding(bench.store)
    assert found.verdict == "warning"
    assert found.found == "much of all runs is in one group, and one of 2 processes runs it: host:x (33 %)"
