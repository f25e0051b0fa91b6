"""What became of runs: listed, counted and explained, by every store."""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import gevent
import pytest
from gevent.event import Event

from gsched import GeventScheduler, JobCounters, JobNotFoundError
from gsched.errors import ConfigurationError, StoreError
from gsched.events import EVENT_STORE_FAILED
from gsched.history.explain import explain
from gsched.history.explanation import Evidence, Question
from gsched.history.queries import RunInfo, RunQuery
from gsched.history.records import Record
from gsched.history.retention import RetentionPolicy
from gsched.history.traces import Trace
from gsched.jobs.document import UnreadableTrigger
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.outcomes import SUCCEEDED_WITH_NONE, Outcome, Result, Span
from gsched.jobs.run import Run
from gsched.stores import BaseJobStore, MemoryJobStore, MongoDBJobStore, SQLJobStore
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.claims.partition import slot_of
from gsched.times.clock import SystemClock
from gsched.times.instants import from_ms, to_ms
from gsched.triggers import IntervalTrigger

pytest_plugins = ["mongodb"]

LONGEST_SECONDS = 60.0
KINDS = ("memory", "sqlite", "mongodb")

# -- jobs that any process finds ---------------------------------------------------------------------------------------

gate = Event()


def succeed() -> None:
    """A job that does nothing."""


def fail() -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error


def wait_for_gate() -> None:
    gate.wait()


def run_for_three_seconds() -> None:
    gevent.sleep(3.1)  # what the job does, not what the test waits for


# -- both stores -------------------------------------------------------------------------------------------------------


class Rig:
    """A scheduler with one store, on the real clock."""

    def __init__(self, kind: str, name: str, address: str | None, directory: Path) -> None:
        self.kind, self._name, self._address, self._directory = kind, name, address, directory
        self.made: list[GeventScheduler] = []
        gate.clear()

    def store(self, **options: Any) -> BaseJobStore:
        if self.kind == "memory":
            return MemoryJobStore(**options)
        if self.kind == "sqlite":
            return SQLJobStore(f"sqlite:///{self._directory}/jobs.sqlite", modules=[__name__], **options)
        return MongoDBJobStore(self._address, database=self._name, modules=[__name__], **options)

    def scheduler(self, start: bool = True, **options: Any) -> GeventScheduler:
        made = GeventScheduler(jobstores={"default": self.store(**options)}, timezone="UTC", blocked_hub_after=None)
        self.made.append(made)
        if start:
            made.start()
        return made

    def until(self, condition: Callable[[], Any], seconds: float = LONGEST_SECONDS) -> Any:
        """What `condition` gives as soon as that is true."""
        with gevent.Timeout(seconds, False):
            while not (found := condition()):
                gevent.sleep(0.02)
            return found
        raise AssertionError(f"did not come true; {[str(run) for each in self.made for run in each.get_runs()]}")

    def explained(self, scheduler: GeventScheduler, job_id: str, instant: datetime, outcome: str) -> Any:
        """The explanation as soon as it says this."""
        said: list[Any] = [None]

        def says() -> bool:
            said[0] = scheduler.explain(job_id, instant)
            return said[0].outcome == outcome

        try:
            self.until(says)
        except AssertionError as error:
            raise AssertionError(str(said[0])) from error
        return said[0]

    def close(self) -> None:
        gate.set()
        for scheduler in self.made:
            if scheduler.running:
                scheduler.shutdown(wait=False)


def on_every_store(test: Callable[[Rig], None]) -> Callable[..., None]:
    """Run the test with a rig of each store."""

    @pytest.mark.parametrize("kind", [f"on_{kind}" for kind in KINDS])
    def wrapped(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        kind = kind.removeprefix("on_")
        address = request.getfixturevalue("uri") if kind == "mongodb" else None
        rig = Rig(kind, f"test_history_{os.getpid()}_{test.__name__}"[:63], address, tmp_path)
        with gevent.Timeout(LONGEST_SECONDS):
            try:
                test(rig)
            finally:
                rig.close()
                drop(rig)

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


def drop(rig: Rig) -> None:
    if rig.kind == "mongodb":
        from pymongo import MongoClient

        with MongoClient(rig._address) as client:
            client.drop_database(rig._name)


@on_every_store
def test_a_failure_is_recorded_with_its_error_and_counted(rig):
    scheduler = rig.scheduler()
    scheduler.add_job(fail, "interval", seconds=0.5, id="poll", name="Poll", tags=["prices"], end_date=soon(5))
    info = rig.until(lambda: scheduler.get_runs("poll"))[-1]
    assert (info.job_id, info.job_name, info.tags, info.outcome) == ("poll", "Poll", ("prices",), "failed")
    assert info.run_id.startswith("poll@") and info.attempt == 1 and info.request is None and info.until is None
    assert (info.error_type, info.error_message) == ("ValueError", "outer")
    assert "KeyError: 'inner'" in info.traceback and info.traceback.endswith("ValueError: outer\n")
    assert "the direct cause of the following" in info.traceback
    assert 0 <= info.lateness < 5 and 0 <= info.duration < 5 and info.started_at.tzinfo is UTC
    assert (info.node is None) == (rig.kind == "memory")
    said = scheduler.explain("poll", info.scheduled_at)
    assert said.recorded and said.outcome == "failed" and said.record == info
    assert "failed with ValueError: outer, started " in str(said)


@on_every_store
def test_successes_are_counted_but_not_recorded_unless_asked_for(rig):
    scheduler = rig.scheduler()
    handle = scheduler.add_job(succeed, "interval", seconds=0.3, id="poll")
    rig.until(lambda: scheduler.get_counters("poll").runs >= 2)
    assert scheduler.get_runs() == []
    run_id = handle.run()
    (asked_for,) = rig.until(lambda: scheduler.get_runs("poll", outcome="succeeded"))
    assert asked_for.run_id == run_id and asked_for.request and asked_for.outcome == "succeeded"


@on_every_store
def test_successes_are_recorded_on_demand_all_or_every_nth(rig):
    scheduler = rig.scheduler(history_successes="all")
    scheduler.add_job(succeed, "interval", seconds=0.2, id="poll")
    assert rig.until(lambda: scheduler.get_runs("poll", outcome="succeeded"))
    scheduler.remove_job("poll")  # else it would be among those of which every third is kept
    scheduler.shutdown()
    sampled = rig.scheduler(history_successes=3)
    sampled.add_job(succeed, "interval", seconds=0.1, id="sampled")
    rig.until(lambda: sampled.get_counters("sampled").runs >= 6 and sampled.get_runs("sampled"))
    assert len(sampled.get_runs("sampled")) < sampled.get_counters("sampled").runs


@on_every_store
def test_figures_tell_runs_failures_and_the_last_error(rig):
    scheduler = rig.scheduler()
    scheduler.add_job(fail, "interval", seconds=0.3, id="poll")
    assert scheduler.get_counters("poll") == JobCounters()
    figures = rig.until(lambda: (found := scheduler.get_counters("poll")).runs >= 2 and found)
    assert figures.failures == figures.runs and figures.last_error == "failed: ValueError: outer"
    assert figures.last_run.tzinfo is not None and 0 <= figures.last_duration < 5
    scheduler.modify_job("poll", name="Renamed")
    assert scheduler.get_counters("poll").runs >= figures.runs
    with pytest.raises(JobNotFoundError):
        scheduler.get_counters("other")


@on_every_store
def test_figures_go_with_their_job(rig):
    scheduler = rig.scheduler()
    scheduler.add_job(succeed, "interval", seconds=0.1, id="poll")
    rig.until(lambda: scheduler.get_counters("poll").runs)
    scheduler.remove_job("poll")
    scheduler.add_job(succeed, "interval", hours=1, id="poll")
    assert scheduler.get_counters("poll").runs == 0


@on_every_store
def test_instants_without_a_run_share_a_record_that_explains_each_of_them(rig):
    scheduler = rig.scheduler()
    handle = scheduler.add_job(wait_for_gate, "interval", seconds=0.25, id="poll")
    skipped = rig.until(lambda: scheduler.get_runs("poll", outcome="skipped"))[-1]
    assert (skipped.reason, skipped.attempt, skipped.started_at) == ("max_instances", 0, None)
    assert skipped.until > skipped.scheduled_at
    said = scheduler.explain("poll", handle.trigger.next_after(skipped.scheduled_at - timedelta(milliseconds=1)))
    assert said.recorded and said.outcome == "skipped" and "skipped (max_instances)" in said.sentence


@on_every_store
def test_missed_instants_are_recorded_as_one_span(rig):
    scheduler = rig.scheduler()
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    scheduler.add_job(succeed, "interval", minutes=1, id="late", next_run_time=long_ago, misfire_grace_time=90)
    (missed,) = rig.until(lambda: scheduler.get_runs("late", outcome="missed"))
    assert missed.scheduled_at == cut(long_ago) and missed.until > missed.scheduled_at + timedelta(minutes=57)
    within = scheduler.explain("late", missed.scheduled_at + timedelta(minutes=30))
    assert within.outcome == "missed" and "as everything due from" in within.sentence
    between = scheduler.explain("late", missed.scheduled_at + timedelta(minutes=30, seconds=1))
    assert scheduler.get_runs("late", since="1m", outcome="missed") == []
    assert scheduler.get_runs("late", since="30m", outcome="missed") == [missed], "it reaches into the period"
    assert between.outcome in ("not_due", "missed")


@on_every_store
def test_coalesced_instants_are_recorded_as_successes_are(rig):
    long_ago = datetime.now(UTC) - timedelta(hours=1)

    def coalesced(successes: str) -> list[Any]:
        scheduler = rig.scheduler(history_successes=successes)
        scheduler.add_job(succeed, "interval", minutes=5, id=successes, next_run_time=long_ago)
        rig.until(lambda: scheduler.get_counters(successes).runs)
        scheduler.shutdown()
        return scheduler.get_runs(successes, outcome="coalesced")

    assert coalesced("none") == []
    (span,) = coalesced("all")
    assert span.scheduled_at == cut(long_ago) and span.until > cut(long_ago) + timedelta(minutes=50)


@on_every_store
def test_a_long_run_is_listed_while_it_runs_and_recorded_when_it_succeeds(rig):
    scheduler = rig.scheduler()
    scheduler.add_job(run_for_three_seconds, "date", id="long", name="Long", tags=["slow"])
    running = rig.until(lambda: scheduler.get_runs("long", outcome="running"))[0]
    assert (running.job_name, running.tags, running.finished_at) == ("Long", ("slow",), None)
    assert [run.job_id for run in scheduler.get_runs(tag="slow")] == ["long"]
    assert scheduler.get_runs(tag="other") == []
    assert scheduler.explain("long", running.scheduled_at).outcome == "running"
    (ended,) = rig.until(lambda: scheduler.get_runs("long", outcome="succeeded"))
    assert ended.duration > 3 and scheduler.get_runs("long") == [ended]


@on_every_store
def test_runs_are_listed_newest_first_page_by_page_and_by_what_they_are(rig):
    scheduler = rig.scheduler()
    scheduler.add_job(fail, "interval", seconds=0.2, id="a", tags=["x", "y"], coalesce=False, end_date=soon(1.2))
    scheduler.add_job(fail, "date", id="b", tags=["y"])
    rig.until(lambda: scheduler.get_job("a") is None and scheduler.get_job("b") is None)
    runs = scheduler.get_runs()
    assert {run.job_id for run in runs} == {"a", "b"} and len(runs) >= 4
    assert runs == sorted(runs, key=lambda run: run.scheduled_at, reverse=True)
    assert scheduler.get_runs(limit=2) == runs[:2] and scheduler.get_runs(limit=2, skip=1) == runs[1:3]
    assert scheduler.get_runs(tag="x") == scheduler.get_runs("a") == [run for run in runs if run.job_id == "a"]
    assert scheduler.get_runs(outcome="lost") == []
    middle = runs[2].scheduled_at
    assert scheduler.get_runs(since=middle) == [run for run in runs if run.scheduled_at >= middle]
    assert scheduler.get_runs(until=middle) == [run for run in runs if run.scheduled_at < middle]
    assert scheduler.get_runs(since="1h") == scheduler.get_runs(since=timedelta(hours=1)) == runs


@on_every_store
def test_an_instant_that_ended_without_a_record_is_inferred_to_have_succeeded(rig):
    scheduler = rig.scheduler(history_recent=0)
    handle = scheduler.add_job(succeed, "interval", seconds=0.5, id="poll", coalesce=False)
    rig.until(lambda: scheduler.get_counters("poll").runs)
    first = handle.trigger.next_after(datetime.now(UTC))
    said = rig.explained(scheduler, "poll", first, "succeeded")
    assert not said.recorded and said.record is None
    assert "no record: successes are not kept (history_successes='none')" in said.sentence
    assert "ended without complaint, so it succeeded." in said.sentence, "it does not coalesce"


@on_every_store
def test_explain_does_not_infer_a_run_from_an_instant_at_which_the_job_was_paused(rig):
    scheduler = rig.scheduler()
    handle = scheduler.add_job(succeed, "interval", seconds=0.5, id="poll")
    rig.until(lambda: scheduler.get_counters("poll").runs)
    handle.pause()
    due = handle.trigger.next_after(datetime.now(UTC))
    rig.until(lambda: datetime.now(UTC) > due + timedelta(milliseconds=20))  # the change is not of the same instant
    handle.resume()
    resumed = datetime.now(UTC)
    rig.until(lambda: scheduler.get_counters("poll").last_run > resumed)
    assert "the job was changed later" in rig.explained(scheduler, "poll", due, "unknown").sentence
    rig.explained(scheduler, "poll", handle.trigger.next_after(resumed), "succeeded")


@on_every_store
def test_an_instant_at_which_a_run_began_was_due_though_the_job_was_changed_later(rig):
    scheduler = rig.scheduler()
    due = soon(0.5)
    handle = scheduler.add_job(succeed, "interval", hours=1, next_run_time=due, start_date=due, id="poll")
    rig.until(lambda: scheduler.get_counters("poll").runs)
    handle.pause()
    handle.resume()
    rig.explained(scheduler, "poll", due, "succeeded")


@on_every_store
def test_no_node_is_said_to_have_claimed_what_was_due_before_it_came(rig):
    scheduler = rig.scheduler(history_recent=0)
    handle = scheduler.add_job(succeed, "interval", seconds=0.5, id="poll")
    rig.until(lambda: scheduler.get_counters("poll").runs)
    due = handle.trigger.next_after(datetime.now(UTC))
    rig.explained(scheduler, "poll", due, "succeeded")
    scheduler.shutdown()
    runs = scheduler.get_counters("poll").runs
    scheduler.start()
    rig.until(lambda: scheduler.get_counters("poll").runs > runs)
    assert "it was claimed and ended without complaint" in scheduler.explain("poll", due).sentence


@on_every_store
def test_instants_around_the_life_of_a_job_are_explained(rig):
    scheduler = rig.scheduler()
    start = datetime(2020, 1, 1, tzinfo=UTC)
    scheduler.add_job(succeed, "interval", hours=1, start_date=start, id="poll")
    explain = functools.partial(scheduler.explain, "poll")
    due = scheduler.get_job("poll").next_run_time
    upcoming = explain(due)
    assert upcoming.outcome == "upcoming" and upcoming.after == due + timedelta(hours=1)
    between = explain(due + timedelta(minutes=1))
    assert between.outcome == "not_due" and (between.before, between.after) == (due, due + timedelta(hours=1))
    assert "the due instant before it is" in between.sentence and "the next one is" in between.sentence
    assert "the job was added later" in explain(due - timedelta(hours=3)).sentence
    scheduler.pause_job("poll")
    assert explain(due).outcome == "paused" and "the job is paused" in explain(due).sentence
    scheduler.remove_job("poll")
    with pytest.raises(JobNotFoundError, match=r"no job has the id 'poll', and there is no record of one: .*successes"):
        explain(due)


@on_every_store
def test_an_instant_before_the_job_was_added_was_run_late_if_its_next_run_time_said_so(rig):
    scheduler = rig.scheduler()
    rig.until(lambda: rig.kind == "memory" or scheduler.admin.get_nodes())  # else it was late for want of a node
    first = datetime.now(UTC) - timedelta(minutes=150)
    early = {"hours": 1, "next_run_time": first}
    scheduler.add_job(succeed, "interval", id="each", coalesce=False, **early)
    scheduler.add_job(succeed, "interval", id="coalescing", **early)
    for job_id in ("each", "coalescing"):
        said = rig.explained(scheduler, job_id, first + timedelta(hours=2), "succeeded")
        assert said.recorded or "late, for the job was added at" in said.sentence
        for not_due in (first - timedelta(hours=1), first + timedelta(minutes=1)):
            assert "not due: the job was added later" in scheduler.explain(job_id, not_due).sentence
    rig.explained(scheduler, "each", first, "succeeded")
    said = rig.explained(scheduler, "coalescing", first, "coalesced")
    assert "into the run of" in said.sentence and "with an earlier next run time" in said.sentence


def test_a_late_run_of_an_added_job_is_not_forgotten_when_it_has_ended(unstarted):
    due, added, later = unstarted.at(0), unstarted.at(150), unstarted.at(300)
    handle = unstarted.every(100, id="poll", next_run_time=from_ms(due))
    job = handle.definition.evolve(next_run_ms=later)  # as it is stored by then
    known = Evidence("none", 0, added=added, begins=due, decided=later, ended=later)
    said = [explain(Question("poll", instant, later, job, known, ())) for instant in (due, unstarted.at(100), due - 1)]
    assert [each.outcome for each in said] == ["coalesced", "succeeded", "not_due"]


@on_every_store
def test_runs_of_a_removed_job_are_still_explained(rig):
    scheduler = rig.scheduler()
    scheduler.add_job(fail, "date", id="once")
    (info,) = rig.until(lambda: scheduler.get_job("once") is None and scheduler.get_runs("once"))
    assert scheduler.explain("once", info.scheduled_at).outcome == "failed"
    assert scheduler.explain("once", info.scheduled_at + timedelta(hours=1)).outcome == "unknown"


@on_every_store
def test_a_job_that_is_due_while_nobody_runs_it_waits(rig):
    scheduler = rig.scheduler(start=False)
    due = datetime.now(UTC)
    scheduler.add_job(succeed, "date", run_date=due, id="once")
    said = rig.explained(scheduler, "once", due, "waiting")
    assert "waiting to run" in said.sentence and not said.recorded
    assert scheduler.get_runs() == []


@on_every_store
def test_a_parked_job_says_why(rig):
    scheduler = rig.scheduler()
    due = soon(3)  # on a busy machine, it takes a while until the executor is gone
    scheduler.add_job(succeed, "date", run_date=due, id="once")
    scheduler.remove_executor("default")
    said = rig.explained(scheduler, "once", due, "parked")
    assert "the job is parked now (unknown executor 'default')" in said.sentence


def test_a_record_is_shown_in_the_zone_of_its_trigger_without_a_period_for_a_single_instant(unstarted):
    paris = ZoneInfo("Europe/Paris")
    job = unstarted.scheduler.add_job(succeed, "cron", minute="*/10", timezone=paris, id="poll").definition
    noon = datetime(2027, 1, 1, 12, tzinfo=paris)

    def said(minutes: int) -> str:
        records = [Record.of_span(job, Span(Outcome.MISSED, to_ms(noon), to_ms(noon) + minutes * 60_000), None).info()]
        question = Question("poll", to_ms(noon), to_ms(noon) + 3_600_000, job, Evidence("none", 0), records)
        return explain(question).sentence

    assert said(5) == "missed (later than misfire_grace_time)."
    assert said(25).endswith("as everything due from 2027-01-01 12:00:00+01:00 until before 2027-01-01 12:25:00+01:00.")


def test_explain_cannot_tell_whether_a_job_with_an_unreadable_trigger_was_due(unstarted):
    job = unstarted.every(1, id="poll").definition.evolve(trigger=UnreadableTrigger("rubbish"), parked="trigger: ...")
    said = explain(Question("poll", 1000, 2000, job, Evidence("none", 0), ()))
    assert said.outcome == "parked" and "parked now (trigger: ...)" in said.sentence


class Exiting(IntervalTrigger):
    """Ends the program when it is asked."""

    def next_ms(self, after: int) -> int | None:
        sys.exit("enough")


def test_a_trigger_that_exits_does_not_end_who_asks_for_an_explanation(unstarted):
    job = unstarted.every(1, id="poll").definition.evolve(trigger=Exiting(seconds=1), next_run_ms=500)
    said = explain(Question("poll", 1000, 2000, job, Evidence("none", 0), ()))
    assert said.outcome == "unknown" and "its trigger raised SystemExit('enough')" in said.sentence


@on_every_store
def test_wrong_arguments_are_named(rig):
    scheduler = rig.scheduler(start=False)
    for arguments, message in (
        ({"outcome": "failled"}, "did you mean 'failed'"),
        ({"outcome": "x"}, "one of succeeded"),
        ({"limit": 0}, "limit: expected a whole number from 1"),
        ({"limit": True}, "limit"),
        ({"skip": -1}, "skip"),
        ({"job_id": 3}, "job_id: expected a text"),
        ({"tag": ["x"]}, "tag"),
        ({"since": 3600}, "since: expected a datetime, a timedelta or text"),
        ({"since": "yesterday"}, "since: 'yesterday' is not a duration"),
        ({"since": "2026-13-01"}, "since"),
        ({"since": "1h", "until": "2h"}, "since: must be before until"),
        ({"jobstore": "other"}, "'other' is unknown"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            scheduler.get_runs(**arguments)
    with pytest.raises(ConfigurationError, match="instant"):
        scheduler.explain("x", "noon")


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def cut(instant: datetime) -> datetime:
    return from_ms(to_ms(instant))


# -- the rule, and records ---------------------------------------------------------------------------------------------


def a_run(bench_job: Any, result: Result = SUCCEEDED_WITH_NONE, at: int = 1_000_000, took: int = 5) -> Run:
    run = Run(bench_job, at, owner=None)  # type: ignore[arg-type]
    run.started_ms, run.finished_ms = at + 1, at + 1 + took
    return run


@pytest.mark.parametrize("wrong", ["some", 0, -1, True, 1.5, None])
def test_the_option_for_successes_is_checked(wrong):
    with pytest.raises(ConfigurationError, match="history_successes"):
        MemoryJobStore(history_successes=wrong)


@pytest.mark.parametrize("wrong", ["many", -1, True, None])
def test_the_size_of_the_history_is_checked(wrong):
    with pytest.raises(ConfigurationError, match="history_size"):
        MemoryJobStore(history_size=wrong)


def test_long_repeated_and_requested_successes_are_kept_always(unstarted):
    job, keeping = unstarted.every(1).definition, RetentionPolicy("none")
    assert not keeping.keeps(a_run(job), SUCCEEDED_WITH_NONE)
    assert keeping.keeps(a_run(job, took=3000), SUCCEEDED_WITH_NONE)
    again, asked_for = a_run(job), a_run(job)
    again.attempt, asked_for.request = 2, "x"
    assert keeping.keeps(again, SUCCEEDED_WITH_NONE) and keeping.keeps(asked_for, SUCCEEDED_WITH_NONE)
    for outcome in Outcome:
        ends_well = outcome in (Outcome.SUCCEEDED, Outcome.COALESCED)
        assert keeping.keeps(a_run(job), Result(outcome)) == (outcome is not Outcome.SUCCEEDED)
        assert keeping.keeps_span(Span(outcome, 1, 2)) or ends_well


def test_a_trace_is_what_python_prints_and_keeps_nothing_alive():
    import traceback
    import weakref

    class Big:
        pass

    def deep(big: Big) -> None:
        try:
            [][1]
        except IndexError:
            raise TypeError(f"no {type(big).__name__}") from None

    big = Big()
    alive = weakref.ref(big)
    try:
        deep(big)
    except TypeError as error:
        trace, printed = Trace(error), "".join(traceback.format_exception(error))
    del big
    without_marks = "".join(line for line in printed.splitlines(True) if set(line.strip()) - set("^~"))
    assert trace.text() == without_marks and alive() is None


def test_an_error_that_cannot_be_printed_is_recorded_all_the_same():
    class Rude(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "its str() raised RuntimeError" in Trace(Rude()).text()
    assert Trace(ValueError("\ud800")).text() == "ValueError: ?\n"


# -- retries -----------------------------------------------------------------------------------------------------------

AT = 1_800_000_000_000
FIRST = RunRecord("poll", slot_of("poll"), AT)
SECOND = FIRST._replace(attempt=2, tries=1, is_retry=True)
RETRIED, NO = Result(Outcome.RETRIED, error=ValueError("no")), Result(Outcome.FAILED, error=KeyError("no"))


class Retrying:
    """A store with the job "poll", whose first attempt failed; the second one waits."""

    def __init__(self, store: BaseJobStore) -> None:
        self.store = store
        store.bind("default", SystemClock(), AllowedFunctions([__name__]))
        trigger = IntervalTrigger(hours=1, timezone="UTC")
        self.job = Job("poll", fail, trigger, f"{__name__}:fail", name="Poll", tags=("x",), next_run_ms=AT)
        store.add([self.job], replace=False)
        answers = store.answers()
        self.records, self.claims = answers.records, answers.claims(lambda *complaint: None)
        self.claims.prepare()
        self.claims.join("n1", AT)
        self.claims.record_runs("n1", [FIRST])
        self.claims.add_waiting("n1", [WaitingRun(SECOND, AT + 60_000)], [])
        self.write(1, RETRIED)

    def write(self, attempt: int, result: Result) -> None:
        """Write how an attempt ended that began 5 ms after it was due."""
        run = Run(self.job, AT, None, attempt=attempt)
        run.started_ms = AT + 60_000 * (attempt - 1) + 5
        run.finished_ms = run.started_ms + 20
        self.records.write([Record.of_run(run, result, "n1")])

    def runs(self, **query: Any) -> list[RunInfo]:
        found: list[RunInfo] = self.store.runs(RunQuery(**query))
        return found


@pytest.fixture(params=["sqlite", "mongodb"])
def retrying(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Retrying]:
    if request.param == "sqlite":
        store: BaseJobStore = SQLJobStore(f"sqlite:///{tmp_path}/jobs.sqlite")
    else:
        database = request.getfixturevalue("database").name
        store = MongoDBJobStore(request.getfixturevalue("uri"), database=database)
    yield Retrying(store)
    store.close()


def test_a_retry_that_waits_is_listed_before_the_attempt_that_failed_with_the_time_when_it_is_due(retrying):
    waits, failed = retrying.runs(job_id="poll")
    assert (waits.outcome, waits.attempt, waits.started_at, waits.node) == ("waiting", 2, None, None)
    assert (waits.scheduled_at, waits.due_at) == (from_ms(AT), from_ms(AT + 60_000))
    assert (waits.job_name, waits.tags, waits.run_id) == ("Poll", ("x",), failed.run_id)
    assert (failed.outcome, failed.attempt, failed.error_type, failed.node) == ("retried", 1, "ValueError", "n1")
    assert failed.due_at == failed.scheduled_at == from_ms(AT)


def test_runs_that_wait_and_attempts_that_were_retried_are_listed_by_outcome_and_tag(retrying):
    waits, failed = retrying.runs()
    for query in ({}, {"tag": "x"}, {"job_id": "poll"}):
        assert retrying.runs(outcome="waiting", **query) == [waits]
        assert retrying.runs(outcome="retried", **query) == [failed]
        assert retrying.runs(outcome="running", **query) == []
    assert retrying.runs(tag="x") == [waits, failed] and retrying.runs(tag="y") == []
    assert retrying.runs(run_id=waits.run_id, limit=1) == [waits]


def test_a_retry_that_has_ended_is_late_by_its_own_time_and_is_still_known_as_a_retry(retrying):
    retrying.claims.begin_waiting("n1", [SECOND])
    retrying.write(2, NO)
    ended, failed = retrying.runs()
    assert (ended.outcome, ended.lateness, failed.lateness) == ("failed", 0.005, 0.005)
    assert [*retrying.claims.later_attempts([SECOND.slot], AT)] == [SECOND]


def test_a_later_attempt_that_is_lost_is_on_record_as_that_attempt(retrying):
    retrying.claims.begin_waiting("n1", [SECOND])
    retrying.records.write([Record.of_span(retrying.job, Span(Outcome.LOST, AT, AT + 1, attempt=2))])
    assert [(run.attempt, run.outcome) for run in retrying.runs()] == [(2, "lost"), (1, "retried")]


def test_an_attempt_that_is_called_lost_after_it_was_retried_stays_retried(retrying):
    span = Span(Outcome.LOST, AT, AT + 1)
    retrying.records.write([Record.of_span(retrying.job, span)])
    assert [run.outcome for run in retrying.runs()] == ["waiting", "retried"]


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.RETRIED])
def test_an_attempt_whose_node_is_dead_ends_on_record_as_its_successor_says(retrying, outcome):
    retrying.claims.begin_waiting("n1", [SECOND])
    retrying.claims.end_runs([FIRST, SECOND], outcome)
    ended, failed = retrying.runs()
    assert (ended.outcome, ended.job_name, ended.tags) == (outcome, "Poll", ("x",))
    assert (failed.outcome, failed.error_type) == ("retried", "ValueError"), "its first record stays"


def test_an_instant_whose_retry_waits_is_explained_by_the_attempt_that_failed(retrying):
    question = Question("poll", AT, AT + 10, retrying.job, Evidence("none", 0), retrying.runs())
    said = explain(question)
    assert (said.outcome, said.recorded) == ("waiting", True)
    assert said.sentence == "attempt 1 failed (ValueError: no); attempt 2 is due at 2027-01-15 08:01:00+00:00."


# -- the memory store --------------------------------------------------------------------------------------------------


def test_a_retry_that_succeeds_is_on_record_in_memory():
    store = MemoryJobStore()
    store.bind("default", SystemClock(), AllowedFunctions())
    (job,) = store.add([Job("poll", fail, IntervalTrigger(hours=1, timezone="UTC"), next_run_ms=AT)], replace=False)
    for attempt, due in ((1, AT), (2, AT + 2000)):
        run = Run(job, AT, None, attempt=attempt)
        run.due_ms, run.started_ms, run.finished_ms = due, due + 1000, due + 1500
        store.settle(run, RETRIED if attempt == 1 else SUCCEEDED_WITH_NONE)
    ended, failed = store.runs(RunQuery("poll"))
    assert (ended.outcome, ended.attempt, ended.lateness) == ("succeeded", 2, 1.0)
    assert (failed.outcome, failed.attempt, failed.lateness) == ("retried", 1, 1.0)


def test_the_history_in_memory_is_bounded_and_says_so(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(history_size=3, history_recent=0)}).start()
    bench.every(10, fail, id="poll")
    bench.advance(60)
    assert [to_ms(run.scheduled_at) for run in bench.scheduler.get_runs()] == [bench.at(s) for s in (60, 50, 40)]
    said = bench.scheduler.explain("poll", from_ms(bench.at(20)))
    assert said.outcome == "unknown" and "the history reaches back to" in said.sentence


def test_a_history_of_size_zero_keeps_nothing(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(history_size=0)}).start()
    bench.every(10, fail, id="poll")
    bench.advance(30)
    assert bench.scheduler.get_runs() == [] and bench.scheduler.get_counters("poll").failures == 3


def test_instants_during_a_pause_of_the_scheduler_are_explained_as_coalesced(bench):
    bench.every(10, id="poll")
    bench.advance(10)
    bench.scheduler.pause()
    bench.advance(35)
    waiting = bench.scheduler.explain("poll", from_ms(bench.at(20)))
    assert waiting.outcome == "waiting" and "the scheduler is paused" in waiting.sentence
    bench.scheduler.resume()
    bench.advance(10)
    said = bench.scheduler.explain("poll", from_ms(bench.at(20)))
    assert said.outcome == "coalesced" and not said.recorded
    assert "into the run of 2026-03-02 12:00:40+00:00" in said.sentence
    assert bench.scheduler.explain("poll", from_ms(bench.at(40))).outcome == "succeeded"
    assert bench.scheduler.explain("poll", from_ms(bench.at(10))).outcome == "succeeded"


def test_instants_right_after_missed_ones_are_explained_as_coalesced_with_them(bench):
    bench.every(10, id="poll", misfire_grace_time=25)
    bench.advance(10)
    bench.driver.jump(95)  # to 12:01:45: 20 to 70 are too late, 80 and 90 and 100 are not
    bench.settle()
    assert bench.scheduler.explain("poll", from_ms(bench.at(70))).outcome == "missed"
    said = bench.scheduler.explain("poll", from_ms(bench.at(90)))
    assert said.outcome == "coalesced" and not said.recorded and "together with what was missed" in said.sentence
    assert bench.scheduler.explain("poll", from_ms(bench.at(100))).outcome == "succeeded"


def test_an_instant_before_the_last_change_is_not_judged_by_the_new_trigger(bench):
    bench.every(10, id="poll")
    bench.advance(35)
    bench.scheduler.reschedule_job("poll", trigger="interval", seconds=7)
    said = bench.scheduler.explain("poll", from_ms(bench.at(20)))
    assert said.outcome == "not_due" and "was changed later" in said.sentence


def test_a_job_with_a_first_time_of_its_own_was_not_due_before_it(bench):
    bench.add(trigger="cron", second="*/10", id="poll", next_run_time=from_ms(bench.at(60)))
    bench.advance(70)
    said = bench.scheduler.explain("poll", from_ms(bench.at(30)))
    assert said.outcome == "not_due" and "first due instant was set to 2026-03-02 12:01:00" in said.sentence
    assert bench.scheduler.explain("poll", from_ms(bench.at(60))).outcome == "succeeded"


def test_no_neighbours_are_named_from_before_the_time_at_which_the_job_begins(bench):
    bench.every(10, id="poll", next_run_time=from_ms(bench.at(70)))
    said = bench.scheduler.explain("poll", from_ms(bench.at(40)))
    assert (said.outcome, said.before, said.after) == ("not_due", None, from_ms(bench.at(70)))
    assert "12:00:30" not in said.sentence and "12:00:50" not in said.sentence
    bench.advance(100)
    said = bench.scheduler.explain("poll", from_ms(bench.at(75)))
    assert (said.before, said.after) == (from_ms(bench.at(70)), from_ms(bench.at(80)))
    said = bench.scheduler.explain("poll", from_ms(bench.at(65)))
    assert (said.before, said.after) == (None, from_ms(bench.at(70)))


def test_removing_a_job_while_it_runs_leaves_nothing_behind(bench):
    store = bench.scheduler.stores["default"]
    bench.every(10, bench.wait, id="poll")
    bench.advance(10)
    bench.scheduler.remove_job("poll")
    bench.open_gate()
    assert not store._counters and not store._written


def test_runs_of_several_stores_are_one_list(make_bench):
    bench = make_bench(jobstores={"default": MemoryJobStore(), "other": MemoryJobStore()}).start()
    bench.every(10, fail, id="a")
    bench.every(15, fail, id="b", jobstore="other")
    bench.advance(30)
    assert len(bench.scheduler.get_runs()) == 5
    times = [run.scheduled_at for run in bench.scheduler.get_runs()]
    assert times == sorted(times, reverse=True)
    assert bench.scheduler.get_runs(skip=1, limit=2) == bench.scheduler.get_runs()[1:3]
    assert {run.job_id for run in bench.scheduler.get_runs(jobstore="other")} == {"b"}


# -- writing to MongoDB ------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(uri: str, database: Any, unstarted: Any) -> Iterator[Any]:
    """The writing side alone, on a database of its own."""
    from gsched.stores.durable.outcomes import OutcomeWriter
    from gsched.stores.mongodb.claims.database import MongoClaimDatabase
    from gsched.stores.mongodb.documents.jobs import JobReader
    from gsched.stores.mongodb.driver.connection import Connection
    from gsched.stores.mongodb.history.records import MongoRecords
    from gsched.stores.mongodb.operations.overdue import MongoExpectations

    connection = Connection(uri=uri, client=None, database=database.name, collection="jobs", address={}, options={})
    MongoClaimDatabase(connection, lambda: None).prepare()  # type: ignore[arg-type, return-value]
    events: list[Any] = []
    records = MongoRecords(connection, SystemClock(), timedelta(days=1))
    writer = OutcomeWriter(
        records,
        MongoExpectations(connection, lambda: JobReader(AllowedFunctions([]), "default")),
        SystemClock(),
        events.append,
        retention=RetentionPolicy("none"),
        change_many=lambda ids, change: [],
    )
    job = unstarted.every(1, id="poll", tags=["x"]).definition
    yield types.SimpleNamespace(
        writer=writer, connection=connection, events=events, job=job, runs=database.jobs.runs, jobs=database.jobs
    )
    connection.close()


FAILED = Result(Outcome.FAILED, error=ValueError("no"))


def test_everything_that_was_written_expires(desk):
    desk.writer.settle(a_run(desk.job), FAILED, "n1")
    desk.writer.settle_span(desk.job, Span(Outcome.MISSED, 2000, 5000), "n1")
    desk.writer.flush()
    assert all(run["expires_at"] > datetime.now(UTC) for run in desk.runs.find())
    assert desk.runs.count_documents({}) == 2
    assert desk.runs.index_information()["expires_at"]["expireAfterSeconds"] == 0


def test_a_run_that_was_written_down_in_progress_is_overwritten(desk):
    from gsched.stores.claims.database import RunRecord
    from gsched.stores.mongodb.claims.database import MongoClaimDatabase

    cluster = MongoClaimDatabase(desk.connection, lambda: None)  # type: ignore[arg-type, return-value]
    cluster.join("n1", 1_000_000)
    cluster.record_runs("n1", [RunRecord("poll", 1, 1_000_000)])
    desk.writer.settle(a_run(desk.job, took=2600), SUCCEEDED_WITH_NONE, "n1")  # written down, maybe unknown to it
    desk.writer.flush()
    (stored,) = desk.runs.find()
    assert (stored["state"], stored["outcome"], stored["job_name"]) == ("ended", "succeeded", desk.job.name)
    cluster.record_runs("n1", [RunRecord("poll", 1, 1_000_000)])
    assert desk.runs.find_one()["state"] == "ended", "what has ended is not in progress again"


def test_a_node_that_others_took_for_dead_writes_nothing_down(desk):
    from gsched.stores.claims.database import FencedError, RunRecord
    from gsched.stores.mongodb.claims.database import MongoClaimDatabase

    cluster = MongoClaimDatabase(desk.connection, lambda: None)  # type: ignore[arg-type, return-value]
    cluster.join("n1", 2000)
    (node,) = cluster.nodes()
    assert cluster.bury("n1", node.beat)
    with pytest.raises(FencedError):
        cluster.record_runs("n1", [RunRecord("poll", 1, 2000)])
    assert desk.runs.find_one() is None


def test_lost_does_not_replace_what_a_node_said_itself(desk):
    desk.writer.settle(a_run(desk.job, at=2000), FAILED, "n1")
    desk.writer.flush()
    for at in (2000, 3000):
        desk.writer.settle_span(desk.job, Span(Outcome.LOST, at, at + 1), "n2")
    desk.writer.flush()
    assert sorted((run["outcome"], run.get("node")) for run in desk.runs.find()) == [("failed", "n1"), ("lost", None)]
    assert not desk.events


def test_lost_does_not_replace_what_this_node_is_still_to_write(desk):
    desk.writer.settle_span(desk.job, Span(Outcome.LOST, 2000, 2001), "n2")
    desk.writer.settle(a_run(desk.job, at=2000), FAILED, "n1")
    desk.writer.settle_span(desk.job, Span(Outcome.LOST, 2000, 2001), "n2")
    desk.writer.flush()
    (stored,) = desk.runs.find()
    assert stored["outcome"] == "failed" and stored["error_message"] == "no"


def test_an_outcome_that_comes_late_replaces_lost(desk):
    desk.writer.settle_span(desk.job, Span(Outcome.LOST, 2000, 2001), "n2")
    desk.writer.flush()
    desk.writer.settle(a_run(desk.job, at=2000), FAILED, None)
    desk.writer.flush()
    (stored,) = desk.runs.find()
    assert stored["outcome"] == "failed" and stored["error_message"] == "no" and "until" not in stored


def test_a_run_that_was_lost_expires_and_is_listed_once(desk):
    from gsched.stores.claims.database import RunRecord
    from gsched.stores.mongodb.claims.database import MongoClaimDatabase

    cluster = MongoClaimDatabase(desk.connection, lambda: None)  # type: ignore[arg-type, return-value]
    cluster.join("n1", 2000)
    record = RunRecord("poll", 1, 2000)
    cluster.record_runs("n1", [record])
    cluster.end_runs([record], Outcome.LOST)
    assert desk.runs.find_one()["expires_at"] > datetime.now(UTC) + timedelta(days=13)
    desk.writer.settle_span(desk.job, Span(Outcome.LOST, 2000, 2001), "n2")
    desk.writer.flush()
    (stored,) = desk.runs.find()
    assert (stored["outcome"], stored["node"], stored["tags"]) == ("lost", "n1", ["x"])


def test_the_buffer_is_bounded_and_what_it_loses_is_reported(desk, monkeypatch):
    monkeypatch.setattr("gsched.stores.durable.record_buffer.MOST_BUFFERED", 10)
    for second in range(25):
        desk.writer.settle(a_run(desk.job, at=second * 1000), FAILED, "n1")
    assert desk.writer._try_to_flush()
    assert [run["scheduled_at"] for run in desk.runs.find()] == [from_ms(s * 1000) for s in range(15, 25)]
    (event,) = desk.events
    assert event.code == EVENT_STORE_FAILED and "lacks 15 records" in event.error_message


def test_a_full_buffer_loses_first_what_leaves_no_run_in_progress_for_ever(desk, monkeypatch):
    monkeypatch.setattr("gsched.stores.durable.record_buffer.MOST_BUFFERED", 10)
    for second in range(20):
        run = a_run(desk.job, at=second * 1000)
        run.recorded = second < 4
        desk.writer.settle(run, FAILED, "n1")
    buffer = desk.writer.buffer
    assert {instant for _, instant in buffer.unwritten()} == {s * 1000 for s in (0, 1, 2, 3, *range(14, 20))}
    for second in range(20, 40):
        run = a_run(desk.job, at=second * 1000)
        run.recorded = True
        desk.writer.settle(run, FAILED, "n1")
    assert [instant for _, instant in buffer.unwritten()] == [s * 1000 for s in range(30, 40)], "and is bounded"


def test_records_that_the_database_did_not_take_are_written_later_in_order(desk, monkeypatch):
    for second in range(5):
        desk.writer.settle(a_run(desk.job, at=second * 1000), FAILED, "n1")
    desk.writer.end(desk.job)
    with monkeypatch.context() as patch:
        patch.setattr("gsched.stores.mongodb.history.records.write_all", raise_store_error)
        assert not desk.writer._try_to_flush()
    assert desk.runs.count_documents({}) == 0 and len(desk.writer.buffer) == 5 and desk.writer._over
    desk.writer.settle(a_run(desk.job, at=9000), FAILED, "n1")
    assert desk.writer._try_to_flush()
    assert desk.runs.count_documents({}) == 6 and not desk.writer._over


def test_a_job_that_ends_while_the_history_is_written_is_removed_with_the_next_write(desk, monkeypatch):
    desk.jobs.insert_one({"_id": "poll", "rev": desk.job.rev})
    desk.writer.settle(a_run(desk.job, at=1000), FAILED, "n1")
    write_batch = desk.writer._write_batch

    def end_meanwhile(*args: Any) -> None:
        monkeypatch.undo()
        write_batch(*args)
        desk.writer.settle(a_run(desk.job, at=2000), FAILED, "n1")
        desk.writer.end(desk.job)

    monkeypatch.setattr(desk.writer, "_write_batch", end_meanwhile)
    desk.writer.flush()
    assert (desk.runs.count_documents({}), desk.jobs.count_documents({})) == (1, 1)
    desk.writer.flush()
    assert (desk.runs.count_documents({}), desk.jobs.count_documents({})) == (2, 0)


def raise_store_error(*args: Any) -> Any:
    raise StoreError("gone")


def test_a_record_that_the_database_refuses_does_not_keep_the_others_from_being_written(desk):
    desk.runs.database.command("collMod", "jobs.runs", validator={"scheduled_at": {"$ne": from_ms(2000)}})
    for at in (1000, 2000, 3000):
        desk.writer.settle(a_run(desk.job, at=at), FAILED, "n1")
    assert desk.writer._try_to_flush()
    assert desk.runs.count_documents({}) == 2 and not desk.writer.buffer
    assert "refuses records of the history of 1 job (poll)" in desk.events[0].error_message


@pytest.mark.parametrize("strange", [None, "x", 5])
def test_figures_that_the_database_refuses_are_dropped_and_those_of_others_counted_once(desk, strange):
    desk.jobs.insert_many([{"_id": "odd", "figures": strange}, {"_id": "poll"}])
    for flush in range(2):
        for job in (desk.job.evolve(id="odd"), desk.job):
            desk.writer.settle(a_run(job, at=1000 * flush), FAILED, "n1")
        assert desk.writer._try_to_flush() and not desk.writer._counters
    assert {job["_id"]: job["figures"] for job in desk.jobs.find()}["poll"]["runs"] == 2
    assert desk.jobs.find_one({"_id": "odd"})["figures"] == strange
    (event,) = desk.events
    assert event.code == EVENT_STORE_FAILED and "refuses the figures of 1 job (odd)" in event.error_message


def test_figures_that_could_not_be_written_add_up(desk, monkeypatch):
    desk.jobs.insert_one({"_id": "poll"})
    desk.writer.settle(a_run(desk.job), FAILED, "n1")
    with monkeypatch.context() as patch:
        patch.setattr("gsched.stores.mongodb.history.records._counting", raise_store_error)
        assert not desk.writer._try_to_flush()
    desk.writer.settle(a_run(desk.job, at=5_000_000), SUCCEEDED_WITH_NONE, "n1")
    assert desk.writer._try_to_flush()
    figures = desk.jobs.find_one()["figures"]
    assert (figures["runs"], figures["failures"], figures["last_error"]) == (2, 1, "failed: ValueError: no")
    assert figures["last_run"] == from_ms(5_000_001)


def test_explain_ignores_a_slot_document_that_it_cannot_read(desk):
    from gsched.stores.mongodb.history.reader import _claims

    jobs = desk.connection.jobs()
    assert _claims(jobs, 5).owner is None
    jobs.slots.update_one({"_id": 5}, {"$set": {"watermark": "x"}, "$unset": {"owner": ""}})
    assert _claims(jobs, 5) is None


def test_queries_use_the_indexes(desk):
    from gsched.history.queries import RunQuery
    from gsched.stores.mongodb.history.reader import _filters

    for second in range(300):
        desk.writer.settle(a_run(desk.job, at=second * 1000), FAILED, "n1")
    desk.writer.flush()
    rare = desk.job.evolve(id="rare", tags=("rare",))  # the oldest of all: only an index leads there at once
    desk.writer.settle(a_run(rare, at=0), Result(Outcome.CANCELLED), "n1")
    desk.writer.flush()
    few = (RunQuery("rare"), RunQuery(tag="rare"), RunQuery(outcome="cancelled"))
    for query in (RunQuery(), RunQuery(since=9000), *few):
        for wanted in _filters(query):
            plan = desk.runs.find(wanted, sort=[("scheduled_at", -1)], limit=10).explain()
            assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), wanted
            assert plan["executionStats"]["totalDocsExamined"] <= 50, wanted


def test_a_lost_span_is_on_record_beside_a_missed_one_that_begins_at_the_same_instant(desk):
    for span in (Span(Outcome.MISSED, 2000, 3000), Span(Outcome.LOST, 2000, 9000), Span(Outcome.LOST, 2000, 9500)):
        desk.writer.settle_span(desk.job, span, "n2")
        desk.writer.flush()
    said = [(run["outcome"], to_ms(run["until"])) for run in desk.runs.find(sort=[("until", 1)])]
    assert said == [("missed", 3000), ("lost", 9500)]
