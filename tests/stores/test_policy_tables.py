"""Retries, overlap and catch-up on every store, case by case: when attempts begin, and what the history says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from gevent.event import Event
from store_bench import SHORT_STEP_MS, StoreBench

from gsched import GiveUp, InvalidJobError, Retry, current_run
from gsched.stores import BaseJobStore
from gsched.times.instants import to_ms

pytest_plugins = ["mongodb"]

LATE = 0.75  # seconds by which a store may hand over a run late: three steps of the bench


class Act(NamedTuple):
    """What an attempt does: how many seconds it lasts, and the error that it ends with."""

    seconds: float = 0
    error: BaseException | None = None


NOTHING = Act()


class Stage:
    """What the attempts of the test's job do, in their order.

    :ivar last: what all others do
    :ivar begun: when each began, in seconds after the start; which instant it was; and its number
    """

    def __init__(self, bench: StoreBench) -> None:
        self.bench = bench
        self.acts: list[Act] = []
        self.last = NOTHING
        self.begun: list[tuple[float, float, int]] = []

    def seconds(self, instant: int) -> float:
        return (instant - self.bench.at(0)) / 1000


stage: Stage  # a stored job finds it here


def play() -> None:
    """A job that follows the acts of the stage."""
    run, bench = current_run(), stage.bench
    stage.begun.append((stage.seconds(bench.clock.now_ms()), stage.seconds(run.scheduled_ms), run.attempt))
    act = stage.acts.pop(0) if stage.acts else stage.last
    if act.seconds:
        ended = Event()
        bench.clock.call_later(act.seconds, ended.set)
        ended.wait()
    if act.error is not None:
        raise act.error


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    global stage
    made = StoreBench(any_store, monkeypatch, SHORT_STEP_MS)
    stage = Stage(made)
    made.scheduler._engine.allow_modules([__name__])
    yield made
    made.close()


def add(bench: StoreBench, *acts: Act, last: Act = NOTHING, trigger: Any = "interval", **options: Any) -> None:
    stage.acts, stage.last = list(acts), last
    bench.scheduler.add_job(play, trigger, id="job", **{"retry_jitter": 0.0, **options})


def advance(bench: StoreBench, until: float) -> None:
    """Move the clock to so many seconds after the start."""
    bench.until(lambda: bench.clock.now_ms() >= bench.at(until))


def history(bench: StoreBench, job_id: str = "job") -> list[Any]:
    """The records of the job, the oldest first."""
    return sorted(bench.scheduler.get_runs(job_id), key=lambda run: (run.scheduled_at, run.attempt))


def outcomes(bench: StoreBench) -> list[tuple[int, str, str | None]]:
    return [(run.attempt, run.outcome, run.reason) for run in history(bench)]


def last_of(bench: StoreBench, outcome: str) -> Any:
    """The history, as soon as its last record has this outcome."""
    return bench.until(lambda: (found := outcomes(bench)) and found[-1][1] == outcome and found)


# -- retries ----------------------------------------------------------------------------------------------------------

FAILS = Act(0.25, ValueError("no"))
EXHAUSTED = "failed", "retries_exhausted"

# The options of a job that fails -> how many seconds each attempt waits after the end of the one before.
WAITS: dict[str, tuple[dict[str, Any], list[float]]] = {
    "twice as long each time": ({"retries": 3, "retry_delay": 0.5}, [0.5, 1, 2]),
    "up to the longest": (
        {"retries": 7, "retry_delay": 0.3, "retry_max_delay": 6}, [0.3, 0.6, 1.2, 2.4, 4.8, 6, 6],
    ),
    "as a list says": ({"retry_delay": [0.1, 0.5, 3]}, [0.1, 0.5, 3]),
    "the last of a list repeats": ({"retry_delay": [0.1, 0.5, 1], "retries": 5}, [0.1, 0.5, 1, 1, 1]),
    "alike": ({"retries": 3, "retry_delay": 0.5, "retry_backoff": 1}, [0.5, 0.5, 0.5]),
}  # fmt: skip


def waits_of(bench: StoreBench, job_id: str = "job") -> list[float]:
    """How many seconds each attempt was to wait after the end of the one before."""
    ends = [run.finished_at for run in history(bench, job_id)]
    dues = [run.due_at for run in history(bench, job_id)][1:]
    return [(due - end).total_seconds() for due, end in zip(dues, ends, strict=False)]


@pytest.mark.parametrize(("options", "waits"), WAITS.values(), ids=WAITS)
def test_an_attempt_waits_in_every_store_as_long_as_its_number_says(bench, options, waits):
    bench.start()
    add(bench, last=FAILS, hours=1, next_run_time="now", **options)
    count = len(waits) + 1
    assert last_of(bench, "failed")[-1] == (count, *EXHAUSTED)
    bench.until(lambda: len(history(bench)) == count)
    assert outcomes(bench)[:-1] == [(number, "retried", None) for number in range(1, count)]
    assert waits_of(bench) == waits
    for (begun, _, _), record in zip(stage.begun, history(bench), strict=True):
        assert 0 <= begun - stage.seconds(to_ms(record.due_at)) <= LATE


def test_the_jitter_is_the_same_in_every_store(bench):
    bench.skip_to("2027-01-01 01:59:50")
    bench.start()
    stage.last = FAILS
    bench.scheduler.add_job(
        play, "interval", days=1, id="import", next_run_time="2027-01-01 02:00", retries=5, retry_delay=0.1
    )
    bench.until(lambda: len([run for run in history(bench, "import") if run.finished_at is not None]) == 6)
    assert history(bench, "import")[0].run_id == "import@2027-01-01T02:00:00.000Z"
    assert waits_of(bench, "import") == [0.098, 0.187, 0.366, 0.777, 1.56]


def test_a_retry_that_comes_after_the_next_instant_is_superseded_in_every_store(bench):
    bench.start()
    add(bench, Act(0.5, ValueError("no")), seconds=3, retries=3, retry_delay=4.5)
    assert last_of(bench, "failed") == [(1, "failed", "superseded")]
    advance(bench, 10)
    assert [attempt for _, _, attempt in stage.begun] == [1, 1, 1]


def test_without_coalesce_a_retry_waits_in_every_store_for_the_instant_that_runs(bench):
    bench.start()
    add(bench, Act(2, ValueError("no")), last=Act(2), seconds=3, coalesce=False, retries=3, retry_delay=4.5)
    advance(bench, 12)
    # Fails at 5; the retry is due at 9.5 and waits for the run of 9, which ends at 11.
    assert [begun[1:] for begun in stage.begun] == [(3, 1), (6, 1), (9, 1), (3, 2)]
    assert [round(begun[0]) for begun in stage.begun] == [3, 6, 9, 11]


def test_a_job_that_asks_for_two_attempts_succeeds_in_the_third_in_every_store(bench):
    bench.start()
    add(bench, Act(0, Retry(0.5)), Act(0, Retry(1)), days=1, next_run_time="now", retries=2)
    bench.until(lambda: len(stage.begun) == 3)
    bench.until(lambda: bench.scheduler.get_counters("job").runs == 3)
    advance(bench, 8)
    assert [outcome for outcome in outcomes(bench) if outcome[1] != "succeeded"] == [
        (1, "retried", None), (2, "retried", None),
    ]  # fmt: skip
    assert bench.scheduler.get_counters("job").failures == 0
    assert [event.run.attempt for event in bench.named("run.succeeded")] == [3]


def test_attempts_that_do_not_count_end_in_every_store_at_retry_within(bench):
    bench.start()
    add(bench, last=Act(0, Retry(0.5, count=False)), days=1, next_run_time="now", retry_within=3)
    found = last_of(bench, "failed")
    assert found[-1][2] == "retry_within"
    bench.until(lambda: len(outcomes(bench)) == len(stage.begun))
    last = history(bench)[-1]
    assert (last.due_at - last.scheduled_at).total_seconds() <= 3
    assert (last.finished_at - last.scheduled_at).total_seconds() > 2.5


ERRORS: dict[str, tuple[dict[str, Any], BaseException, str]] = {
    "an error to give up on": ({"retry_on": ["Exception"], "give_up_on": ["ValueError"]}, ValueError(), "failed"),
    "a subclass of one to retry": ({"retry_on": ["ConnectionError"]}, ConnectionResetError(), "retried"),
    "another than those to retry": ({"retry_on": ["ConnectionError"]}, ValueError(), "failed"),
    "GiveUp": ({"retry_on": ["Exception"]}, GiveUp("no such file"), "failed"),
}


@pytest.mark.parametrize(("options", "error", "outcome"), ERRORS.values(), ids=ERRORS)
def test_the_name_of_an_error_decides_in_every_store(bench, options, error, outcome):
    bench.start()
    add(bench, Act(0, error), days=1, next_run_time="now", retries=3, retry_delay="1h", **options)
    ended = (1, outcome, None if outcome == "retried" else "gave_up")
    bench.until(lambda: any(attempt == 1 and found != "running" for attempt, found, _ in outcomes(bench)))
    assert outcomes(bench)[0] == ended


def test_a_retry_that_is_later_than_the_grace_time_is_missed_in_every_store(bench):
    bench.start()
    add(bench, Act(0, ValueError()), days=1, next_run_time="now", retries=3, retry_delay=60, misfire_grace_time=5)
    bench.until(lambda: [outcome for _, outcome, _ in outcomes(bench)] == ["retried", "waiting"])
    bench.clock.skip(80_000)
    assert last_of(bench, "failed")[-1] == (2, "failed", "retry_missed")
    assert [attempt for _, _, attempt in stage.begun] == [1]


def test_a_job_that_was_paused_while_a_retry_waited_is_due_as_planned_in_every_store(bench):
    bench.start()
    add(bench, Act(0, ValueError()), seconds=10, retries=3, retry_delay=4)
    bench.until(lambda: [outcome for _, outcome, _ in outcomes(bench)] == ["retried", "waiting"])
    bench.scheduler.pause_job("job")
    assert last_of(bench, "failed")[-1] == (2, "failed", "removed_or_paused")
    bench.scheduler.resume_job("job")
    bench.until(lambda: len(stage.begun) == 2)
    assert stage.begun[1][1:] == (20, 1)


# -- overlap ----------------------------------------------------------------------------------------------------------

EACH = {"coalesce": False}

# A job that is due every 2.5 s. Its options, how long runs last -> the instants that run, each with when it begins;
# and how instants end without success.
Ends = list[tuple[float, str, str | None]]
OVERLAP: dict[str, tuple[dict[str, Any], list[float], list[tuple[float, float]], Ends]] = {
    "skip": (
        {}, [6.25], [(2.5, 2.5), (10, 10), (12.5, 12.5)],
        [(5, "skipped", "max_instances"), (7.5, "skipped", "max_instances")],
    ),
    "queue": (
        {"overlap": "queue"}, [6.25], [(2.5, 2.5), (7.5, 8.75), (10, 10), (12.5, 12.5)], [(5, "coalesced", None)],
    ),
    "queue, each": (
        {"overlap": "queue", **EACH}, [6.25], [(2.5, 2.5), (5, 8.75), (7.5, 9), (10, 10), (12.5, 12.5)], [],
    ),
    "queue, each, with a limit": (
        {"overlap": "queue", **EACH, "misfire_grace_time": 3}, [6.25],
        [(2.5, 2.5), (7.5, 8.75), (10, 10), (12.5, 12.5)], [(5, "missed", "waited")],
    ),
    "queue, two instances": (
        {"overlap": "queue", "max_instances": 2}, [8.75, 8.75],
        [(2.5, 2.5), (5, 5), (10, 11.25), (12.5, 12.5)], [(7.5, "coalesced", None)],
    ),
    "cancel": (
        {"overlap": "cancel"}, [6.25], [(2.5, 2.5), (5, 5), (7.5, 7.5), (10, 10), (12.5, 12.5)],
        [(2.5, "cancelled", "replaced")],
    ),
    "cancel, two instances": (
        {"overlap": "cancel", "max_instances": 2}, [6.25, 6.25],
        [(2.5, 2.5), (5, 5), (7.5, 7.5), (10, 10), (12.5, 12.5)], [(2.5, "cancelled", "replaced")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "seconds", "runs", "ends"), OVERLAP.values(), ids=OVERLAP)
def test_an_instant_at_the_limit_of_instances_is_skipped_waits_or_replaces_in_every_store(
    bench, options, seconds, runs, ends
):
    bench.start()
    add(bench, *map(Act, seconds), last=Act(0.25), seconds=2.5, **options)
    advance(bench, 14)
    assert [instant for _, instant, _ in stage.begun] == [instant for instant, _ in runs]
    for (begun, _, _), (instant, wanted) in zip(stage.begun, runs, strict=True):
        assert 0 <= begun - wanted <= LATE, instant
    assert unsuccessful(bench) == ends


def unsuccessful(bench: StoreBench) -> Ends:
    """How instants have ended without success, as the events tell."""
    found = []
    for event in bench.events:
        if event.name in ("run.skipped", "run.missed", "run.coalesced", "run.cancelled", "run.failed"):
            instant = event.run.scheduled_ms if hasattr(event, "run") else event.span.first
            found.append((stage.seconds(instant), event.name.removeprefix("run."), event.reason))
    return sorted(found)


def test_a_run_that_swallows_its_end_is_given_up_in_every_store_before_the_next_one_begins(bench):
    bench.start()
    bench.scheduler.add_job(swallow, "interval", seconds=10, id="job", overlap="cancel")
    bench.until(lambda: len(stage.begun) == 2)
    assert [event.step for event in bench.named("run.interrupted")] == ["raise", "kill", "abandon"]
    assert [instant for _, instant, _ in stage.begun] == [10, 20]
    assert stage.begun[1][0] == pytest.approx(22, abs=LATE)
    assert unsuccessful(bench) == [(10, "cancelled", "replaced")]


def swallow() -> None:
    """The first run goes on though it is to stop, until the test is over."""
    stage.begun.append((stage.seconds(stage.bench.clock.now_ms()), stage.seconds(current_run().scheduled_ms), 1))
    while len(stage.begun) == 1:
        try:
            Event().wait()
        except BaseException:
            if not stage.bench.scheduler.running:
                raise


# -- catch-up ---------------------------------------------------------------------------------------------------------

# A job that is due each second. The machine sleeps from 0.5 to 60.1. Its options -> which of the instants that came
# meanwhile run; and how the others end: outcome, reason, the first and how many.
CATCH_UP: dict[str, tuple[dict[str, Any], list[float], list[tuple[str, str | None, float, int]]]] = {
    "the last one": ({}, [60], [("coalesced", None, 1, 59)]),
    "all of them, in order": (EACH, [float(second) for second in range(1, 61)], []),
    "none": ({"misfire_grace_time": 0.25}, [], [("missed", None, 1, 60)]),
    "those of the last while": (
        {"misfire_grace_time": 10.95, **EACH}, [float(second) for second in range(50, 61)], [("missed", None, 1, 49)],
    ),
    "the last one of the last while": (
        {"misfire_grace_time": 10.95}, [60], [("coalesced", None, 50, 10), ("missed", None, 1, 49)],
    ),
    "at most so many, the last ones": (
        {"max_catchup": 10, **EACH}, [float(second) for second in range(51, 61)], [("missed", "max_catchup", 1, 50)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "runs", "ends"), CATCH_UP.values(), ids=CATCH_UP)
def test_of_the_instants_that_a_machine_slept_through_those_run_that_the_options_say(bench, options, runs, ends):
    bench.start()
    add(bench, seconds=1, max_instances=250, **options)
    bench.until(lambda: bench.clock.now_ms() >= bench.at(0.5))
    bench.clock.skip(59_600)
    advance(bench, 61.25)
    assert [instant for _, instant, _ in stage.begun if instant <= 60] == runs
    assert sorted(spans(bench)) == ends


def spans(bench: StoreBench) -> list[tuple[str, str | None, float, int]]:
    """What has ended without a run, as the events tell: outcome, reason, the first instant and how many."""
    ended = [event for event in bench.events if event.name in ("run.missed", "run.coalesced", "run.skipped")]
    return [
        (event.name.removeprefix("run."), event.reason, stage.seconds(event.span.first), instants(event))
        for event in ended
    ]


def instants(event: Any) -> int:
    job = event.job
    return sum(1 for _ in job.instants(event.span.first, event.span.end - 1))


def test_an_hour_of_seconds_is_caught_up_with_by_ten_runs_and_one_record_in_every_store(bench):
    bench.start()
    add(bench, seconds=1, max_instances=250, max_catchup=10, **EACH)
    go_away(bench, 3600)
    back = stage.seconds(bench.clock.now_ms())
    bench.until(lambda: len(stage.begun) >= 12)
    late = [instant for begun, instant, _ in stage.begun if begun - instant > LATE]
    assert len(late) in (9, 10) and min(late) >= back - 10
    (missed,) = bench.until(lambda: bench.scheduler.get_runs("job", outcome="missed"))
    assert (missed.reason, stage.seconds(to_ms(missed.scheduled_at))) == ("max_catchup", 1)
    assert stage.seconds(to_ms(missed.until)) == min(late)


def go_away(bench: StoreBench, seconds: float) -> None:
    """No scheduler runs for so long. Jobs in memory are paused instead: they end with their scheduler."""
    if not bench.store.shared:
        bench.scheduler.pause()
        bench.clock.skip(round(seconds * 1000))
        bench.scheduler.resume()
        return
    bench.close()
    bench.clock.skip(round(seconds * 1000))
    bench.restart([__name__])


def test_max_catchup_needs_instants_that_do_not_coalesce(bench):
    with pytest.raises(InvalidJobError, match="max_catchup: 10 needs coalesce=False"):
        add(bench, seconds=1, max_catchup=10)


def test_after_a_machine_has_slept_a_job_that_coalesces_runs_once(bench):
    add(bench, seconds=10)
    bench.start()
    bench.until(lambda: len(stage.begun) >= 1)
    bench.skip_to("2026-03-02 13:00:05")
    bench.until(lambda: len(stage.begun) >= 3)
    assert [round(instant) for _, instant, _ in stage.begun][1:3] == [3600, 3610]
