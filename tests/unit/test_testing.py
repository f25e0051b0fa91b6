"""gsched.testing: the clock, the driver and the ledger; and with them, that every due instant has one outcome."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import gevent
import pytest
from gevent.event import Event

from gsched import EVENT_JOB_EXECUTED, ConfigurationError, GeventScheduler, GreenletPoolExecutor
from gsched.events import JobExecutionEvent, JobSubmissionEvent
from gsched.jobs.job import Job
from gsched.testing import Driver, ManualClock, mismatches
from gsched.triggers import IntervalTrigger

# -- the clock ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["2026-03-01 12:00", datetime(2026, 3, 1, 12, tzinfo=UTC), 1772366400])
def test_the_clock_shows_what_it_was_set_to_and_stands_still(start):
    clock = ManualClock(start)
    assert clock.now == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert clock.now_ms() == 1_772_366_400_000
    assert clock.monotonic() == clock.monotonic() == 0


def turn():
    gevent.sleep(0)
    gevent.sleep(0)


def test_timers_go_off_in_order_when_the_clock_passes_them():
    clock, gone = ManualClock(), []
    clock.call_later(2, gone.append, "two")
    clock.call_later(1, gone.append, "one")
    clock.call_later(1, gone.append, "one again")
    moved = []
    while (step := clock.step(5000)) is not None:
        moved.append(step)
        turn()
    assert (gone, moved) == (["one", "one again", "two"], [1000, 0, 1000])
    assert clock.monotonic() == 2


def test_a_timer_beyond_the_step_does_not_go_off():
    clock, gone = ManualClock(), []
    clock.call_later(2, gone.append, "two")
    assert clock.step(1999) is None
    turn()
    assert (gone, clock.monotonic()) == ([], 0)


def test_a_cancelled_timer_does_not_go_off():
    clock, gone = ManualClock(), []
    clock.call_later(1, gone.append, "one").cancel()
    assert clock.step(5000) is None
    late = clock.call_later(1, gone.append, "late")
    clock.step(5000)
    late.cancel()  # its time has come, the loop has not turned yet
    turn()
    assert gone == []


def test_a_timer_for_never_does_no_harm():
    clock, gone = ManualClock(), []
    clock.call_later(float("inf"), gone.append, "never")
    assert clock.step(10**15) is None


def test_a_jump_moves_the_wall_clock_only():
    clock = ManualClock("2026-03-01")
    clock.jump(-90)
    assert (clock.now, clock.monotonic()) == (datetime(2026, 2, 28, 23, 58, 30, tzinfo=UTC), 0)


# -- the driver -----------------------------------------------------------------------------------------------------


def test_the_example_in_the_documentation_works():
    clock = ManualClock("2026-03-01 12:00")
    scheduler = GeventScheduler(clock=clock, timezone="UTC")
    scheduler.add_job(lambda: None, "interval", seconds=10)
    with Driver(scheduler, clock) as driver:
        driver.advance(seconds=9)
        assert driver.names() == []
        driver.advance(seconds=1)
        assert driver.names() == ["run.succeeded"]
        assert [event.job_id for event in driver.of(EVENT_JOB_EXECUTED)] == [scheduler.get_jobs()[0].id]
    assert not scheduler.running


def test_the_driver_shuts_down_at_once_even_what_is_in_progress():
    clock = ManualClock()
    scheduler = GeventScheduler(clock=clock, timezone="UTC")
    scheduler.add_job(Event().wait)
    with gevent.Timeout(1), Driver(scheduler, clock) as driver:
        driver.settle()
    assert not scheduler.running
    assert driver.names() == ["run.cancelled"]


def test_the_driver_goes_through_every_instant_on_the_way():
    clock, seen = ManualClock("2026-03-01"), []
    scheduler = GeventScheduler(clock=clock, timezone="UTC")
    scheduler.add_job(lambda: seen.append(clock.now.second), "interval", seconds=10)
    with Driver(scheduler, clock) as driver:
        driver.advance(minutes=1)
    assert seen == [10, 20, 30, 40, 50, 0]


def test_the_driver_says_what_happened_when_a_condition_does_not_come_true(bench):
    with pytest.raises(TimeoutError, match=r"did not come true; events: \[\]"):
        bench.driver.wait_for(lambda: False, timeout_seconds=0.01)


# -- the ledger -----------------------------------------------------------------------------------------------------


def test_a_perfect_match_has_no_mismatches():
    assert mismatches([1000, 2000], [(2000, "missed"), (1000, "succeeded")]) == []


def test_missing_unexpected_and_double_outcomes_are_found():
    recorded = [(1000, "succeeded"), (3000, "failed"), (3000, "succeeded"), (4000, "x")]
    assert mismatches([1000, 2000, 3000], recorded) == [
        "1970-01-01T00:00:02.000+00:00 has no outcome",
        "1970-01-01T00:00:04.000+00:00 was never due, but ['x']",
        "1970-01-01T00:00:03.000+00:00 has 2 outcomes: ['failed', 'succeeded']",
    ]


def test_an_unexpected_instant_with_two_outcomes_is_found():
    assert mismatches([], [(1000, "a"), (1000, "b")]) != []


def test_the_ledger_finds_what_a_scheduler_left_out_and_did_twice(bench):
    job = bench.every(10, id="job").definition
    bench.advance(30)
    assert bench.ledger.problems(job, bench.at(10), bench.at(30)) == []
    (missing,) = bench.ledger.problems(job, bench.at(10), bench.at(40))
    assert missing == "job: 2026-03-02T12:00:40.000+00:00 has no outcome"
    assert len(bench.ledger.problems(job, bench.at(20), bench.at(30))) == 1  # 10 was never due, says this one

    (again,) = (event for event in bench.driver.of(EVENT_JOB_EXECUTED) if event.run.scheduled_ms == bench.at(10))
    bench.ledger._record(again)
    assert "has 2 outcomes" in bench.ledger.problems(job, bench.at(10), bench.at(30))[0]


def test_the_ledger_counts_outcomes(bench):
    bench.every(10, id="job", misfire_grace_time=1)
    bench.advance(10)
    bench.clock.skip(25_000)
    bench.scheduler._engine.wake()
    bench.settle()
    assert bench.ledger.outcomes("job") == {"succeeded": 1, "missed": 1}


def test_runs_on_request_are_no_due_instants(bench):
    job = bench.every(10, bench.wait, id="job")
    asked = [job.run(), job.run()]
    bench.settle()
    assert [event.run_id for event in bench.events("run.skipped")] == asked[1:]
    bench.open_gate()
    bench.advance(10)
    assert bench.ledger.problems(job.definition, bench.at(10), bench.at(10)) == []


# -- every due instant has one outcome ------------------------------------------------------------------------------


@dataclass
class Segment:
    """A job was due at the instants of `job` from `first`, until it was changed."""

    job: Job
    first: int
    until: int | None = None

    def instants(self, now: int) -> list[int]:
        found, instant = [], self.first
        while instant is not None and instant <= (now if self.until is None else self.until):
            found.append(instant)
            instant = self.job.next_ms(instant)
        return found


class Chaos:
    """A scheduler in which things go wrong by chance, and a record of what was due and of what became of it."""

    def __init__(self, make_bench: Any, seed: int) -> None:
        self.random = random = Random(seed)
        self.bench = make_bench(
            executors={"default": GreenletPoolExecutor(random.randint(1, 6), max_waiting=random.randint(0, 6))},
            run_events="none",
        ).start()
        self.bench.scheduler.add_listener(self._record)
        self.segments: dict[str, list[Segment]] = defaultdict(list)
        self.recorded: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.latest = self.bench.clock.now_ms()  # it may go back
        self.ahead = 0
        self.hurry = False
        for number in range(random.randint(1, 8)):
            self.add(str(number))

    def _record(self, event: object) -> None:
        if isinstance(event, JobExecutionEvent) and event.result is not None and event.run.request is None:
            self.recorded[event.job_id].append((event.run.scheduled_ms, str(event.result.outcome)))
        elif isinstance(event, JobSubmissionEvent) and event.name != "run.submitted" and event.request is None:
            instant = event.span.first
            while instant is not None and instant < event.span.end:
                self.recorded[event.job_id].append((instant, str(event.span.outcome)))
                instant = event.job.next_ms(instant)

    def work(self) -> None:
        match self.random.randrange(4):
            case 0:
                raise ValueError("by chance")
            case 1 if not self.hurry:
                done = Event()
                self.bench.clock.call_later(self.random.uniform(0.1, 15), done.set)
                done.wait()
            case 2 if not self.hurry:
                gevent.sleep(0)

    def options(self) -> dict[str, Any]:
        choice = self.random.choice
        return {
            "coalesce": choice([True, False]),
            "max_instances": choice([1, 1, 2, 5]),
            "misfire_grace_time": choice([None, None, 0.5, 4, 20]),
            "timeout": choice([None, None, 2.5]),
        }

    def trigger(self) -> IntervalTrigger:
        choice = self.random.choice
        return IntervalTrigger(seconds=choice([0.7, 1, 2, 3.5, 9]), jitter=choice([None, None, 0.4]), timezone="UTC")

    def add(self, job_id: str) -> None:
        job = self.bench.add(self.work, self.trigger(), id=job_id, **self.options())
        self.segments[job_id].append(Segment(job.definition, job.definition.next_run_ms))

    # -- what happens ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        random, scheduler = self.random, self.bench.scheduler
        job_id = random.choice(list(self.segments))
        match random.randrange(14):
            case 0:
                scheduler.pause()
            case 1 | 2:
                scheduler.resume()
            case 3:
                scheduler.modify_job(job_id, **self.options())
            case 4:
                self.jump(random.uniform(0, 40))
            case 5:
                self.jump(-random.uniform(0, 20))
            case 6:
                scheduler.cancel_runs(job_id)
            case 7:
                scheduler.run_job(job_id)
            case 8:
                self.change(job_id, lambda: scheduler.reschedule_job(job_id, trigger=self.trigger()))
            case 9:
                self.change(job_id, lambda: scheduler.pause_job(job_id))
            case 10:
                self.change(job_id, lambda: scheduler.resume_job(job_id))
            case 11:
                self.bench.clock.skip(random.randrange(20_000))
            case _:
                self.bench.advance(random.uniform(0, 12))
        self.bench.settle()
        self.latest = max(self.latest, self.bench.clock.now_ms() + self.ahead)

    def jump(self, seconds: float) -> None:
        """Intervals go on by elapsed time when the clock is set back: what is decided is ahead of it then."""
        self.ahead = max(0, self.ahead - round(seconds * 1000))
        self.bench.driver.jump(seconds)

    def change(self, job_id: str, change: Any) -> None:
        """Change when a job is due, at a moment when everything so far is decided."""
        self.bench.scheduler._engine.wake()
        self.bench.settle()
        now = self.bench.clock.now_ms()
        if self.bench.scheduler.state != 1 or now < self.latest or self.waits(job_id):
            return
        before = self.bench.scheduler.get_job(job_id).definition
        after = change().definition
        if after.paused == before.paused and after.trigger is before.trigger:
            return
        if not before.paused:
            self.segments[job_id][-1].until = now
        if not after.paused:
            self.segments[job_id].append(Segment(after, after.next_run_ms))

    def waits(self, job_id: str) -> bool:
        entry = self.bench.scheduler._engine.hub._lanes["default"].entries.get(job_id)
        return entry is not None and entry.held is not None

    def calm_down(self) -> None:
        self.hurry = True
        self.bench.scheduler.resume()
        self.jump((self.latest + 1000 - self.bench.clock.now_ms()) / 1000)
        self.bench.advance(200)
        assert not any(map(self.waits, self.segments))
        assert self.bench.scheduler.get_running() == []

    def problems(self) -> list[str]:
        now = self.bench.clock.now_ms()
        return [
            f"{job_id}: {problem}"
            for job_id, segments in self.segments.items()
            for problem in mismatches((i for s in segments for i in s.instants(now)), self.recorded[job_id])
        ]


@pytest.mark.parametrize("seed", range(12))
def test_every_due_instant_has_exactly_one_outcome_whatever_happens(make_bench, seed):
    chaos = Chaos(make_bench, seed)
    for _ in range(60):
        chaos.step()
    chaos.calm_down()
    assert chaos.problems() == []
    assert any(chaos.recorded.values())
    assert chaos.bench.events("store.failed") == chaos.bench.events("listener.failed") == []


def test_chance_brings_about_every_outcome(make_bench):
    seen = set()
    for seed in range(3):
        chaos = Chaos(make_bench, seed)
        for _ in range(60):
            chaos.step()
        chaos.calm_down()
        seen |= {outcome for outcomes in chaos.recorded.values() for _, outcome in outcomes}
    assert seen == {"succeeded", "failed", "timed_out", "cancelled", "missed", "skipped", "coalesced"}


def test_a_driver_refuses_a_scheduler_that_has_another_clock():
    with pytest.raises(ConfigurationError, match=r"make it with GeventScheduler\(clock=clock\)"):
        Driver(GeventScheduler(), ManualClock())
