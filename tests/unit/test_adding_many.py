"""Adding many jobs: what other greenlets do meanwhile, and what jobs share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bench import Bench

from gsched.stores import memory


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Has this be done after jobs are stored, before the hub hears of the first."""

    def arrange(action: Callable[[], Any]) -> None:
        def interrupted(items: Iterable[Any]) -> Iterator[Any]:
            monkeypatch.undo()
            action()
            yield from items

        monkeypatch.setattr(memory, "paced", interrupted)

    return arrange


def add_three(bench: Bench) -> None:
    bench.scheduler.add_jobs(
        {"func": bench.note, "args": [job_id], "id": job_id, "trigger": "interval", "seconds": 10} for job_id in "abc"
    )


def test_a_job_that_is_removed_while_others_are_added_never_runs(bench, meanwhile):
    meanwhile(lambda: bench.scheduler.remove_job("b"))
    add_three(bench)
    bench.advance(10)
    assert sorted(bench.ran) == [(10, "a"), (10, "c")]


def test_a_job_that_is_changed_while_others_are_added_runs_as_it_is_then(bench, meanwhile):
    meanwhile(lambda: bench.scheduler.modify_job("b", args=["new"]))
    add_three(bench)
    bench.advance(10)
    assert sorted(bench.ran) == [(10, "a"), (10, "c"), (10, "new")]


def test_a_job_that_is_rescheduled_while_others_are_added_runs_once_at_its_new_time(bench, meanwhile):
    meanwhile(lambda: bench.scheduler.reschedule_job("b", trigger="interval", seconds=4))
    add_three(bench)
    bench.advance(9)
    assert bench.ran == [(4, "b"), (8, "b")]


def test_a_job_that_is_paused_while_others_are_added_does_not_run(bench, meanwhile):
    meanwhile(lambda: bench.scheduler.pause_job("b"))
    add_three(bench)
    bench.advance(10)
    assert sorted(bench.ran) == [(10, "a"), (10, "c")]
    bench.scheduler.resume_job("b")
    bench.advance(10)
    assert (20, "b") in bench.ran


def test_an_interval_begins_when_its_job_is_added_however_many_had_it_before(bench):
    first, second = bench.every(10), bench.every(10)
    assert first.trigger is second.trigger
    bench.advance(3)
    third = bench.every(10)
    assert (third.next_run_time - first.next_run_time).total_seconds() == 3


def test_equal_times_in_other_zones_make_other_triggers(bench):
    noon = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
    zones = [UTC, timezone(timedelta(hours=2))]
    jobs = [bench.every(10, start_date=noon.astimezone(zone), timezone=None) for zone in zones]
    assert [job.next_run_time.utcoffset() for job in jobs] == [timedelta(0), timedelta(hours=2)]
