"""What a job's first runs are, where its trigger has jitter; and that a program may wait for nothing but its jobs."""

from __future__ import annotations

import pytest

from gsched import GeventScheduler
from gsched.testing import Driver, ManualClock

BEGIN_MS = 1_772_366_400_000  # 2026-03-01 12:00 UTC


def a_jittered_job(runs: list[int], **options: object) -> tuple[GeventScheduler, ManualClock]:
    clock = ManualClock("2026-03-01 12:00")
    scheduler = GeventScheduler(clock=clock, timezone="UTC")
    scheduler.add_job(lambda: runs.append(clock.now_ms() - BEGIN_MS), id="polled", **options)
    return scheduler, clock


@pytest.mark.parametrize(
    "trigger",
    [
        {"trigger": "interval", "seconds": 10, "jitter": 4},
        {"trigger": "cron", "second": "*/10", "jitter": 4},
    ],
    ids=["interval", "cron"],
)
def test_the_first_run_is_delayed_as_any_other_and_comes_once(trigger: dict[str, object]) -> None:
    runs: list[int] = []
    scheduler, clock = a_jittered_job(runs, **trigger)
    with Driver(scheduler, clock) as driver:
        driver.advance(seconds=99)
    periods = [run // 10_000 for run in runs]
    assert periods == list(range(periods[0], 10)) and periods[0] <= 1
    assert all(run % 10_000 <= 4_000 for run in runs)
    assert len({run % 10_000 for run in runs}) > 1


def test_rescheduling_gives_the_first_run_its_delay_too() -> None:
    runs: list[int] = []
    scheduler, clock = a_jittered_job(runs, trigger="interval", hours=1)
    scheduler.reschedule_job("polled", trigger="interval", seconds=10, jitter=4)
    with Driver(scheduler, clock) as driver:
        driver.advance(seconds=50)
    assert [run // 10_000 for run in runs] == [1, 2, 3, 4]


@pytest.mark.parametrize("jitter", [4, 10, 60])
def test_an_explicit_next_run_time_is_exact_and_the_run_does_not_come_again_delayed(jitter: int) -> None:
    runs: list[int] = []
    scheduler, clock = a_jittered_job(runs, trigger="interval", seconds=10, jitter=jitter)
    scheduler.modify_job("polled", next_run_time="2026-03-01 12:00:05")
    with Driver(scheduler, clock) as driver:
        driver.advance(seconds=45)
    assert runs[0] == 5_000
    assert len(runs) == 5
    assert all(5_000 + 10_000 * (number - 1) < run <= 5_000 + 10_000 * number for number, run in enumerate(runs))


def test_a_program_may_wait_for_nothing_but_its_jobs() -> None:
    scheduler = GeventScheduler(blocked_hub_after=None)
    scheduler.add_job(scheduler.shutdown, "date", run_date=(scheduler.clock.now_ms() + 30) / 1000)
    assert scheduler.start().join() is None  # and no LoopExit; that would come at once, so no time limit is needed
    assert not scheduler.running
