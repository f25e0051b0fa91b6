"""Events: the catalogue, what listeners see, and in which order."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

import apscheduler.events
import gevent
import pytest
from gevent.event import Event

import gsched
from gsched import (
    EVENT_ALL,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MISSED,
    ConfigurationError,
    NotInRunError,
    current_run,
    events,
)
from gsched.events import CATALOGUE, SchedulerEvent
from gsched.events.bus import EventBus
from gsched.jobs.outcomes import Outcome
from gsched.testing import ManualClock

CONSTANTS = {name: value for name, value in vars(events).items() if name.startswith("EVENT_")}


# -- the catalogue --------------------------------------------------------------------------------------------------


def test_every_constant_is_in_the_catalogue_and_the_other_way_round():
    assert {value for name, value in CONSTANTS.items() if name != "EVENT_ALL"} == set(CATALOGUE)
    assert sum(CATALOGUE) == EVENT_ALL


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.name)
def test_every_kind_is_complete(kind):
    assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", kind.name)
    assert kind.level in ("debug", "info", "warning", "error")
    assert len(kind.meaning) > 10 and kind.meaning.endswith(".")
    assert kind.code.bit_count() == 1


def test_names_are_past_participles():
    irregular = {"lost", "left", "opened", "connected", "disconnected", "unsupported", "summary"}
    irregular |= {"not_patched", "drain_requested", "draining", "retrying", "overdue", "on_time_again", "slow"}
    for kind in CATALOGUE.values():
        verb = kind.name.partition(".")[2].split("_")[0]
        assert verb.endswith("ed") or {verb, kind.name.partition(".")[2]} & irregular or verb == "timed", kind.name


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_reported_by_an_event_of_its_name(outcome):
    name = "run.retrying" if outcome is Outcome.RETRIED else f"run.{outcome}"
    assert CATALOGUE[events.code_of(outcome)].name == name


def test_one_name_is_one_fact_but_for_the_two_ways_to_skip():
    counts = Counter(kind.name for kind in CATALOGUE.values())
    assert {name for name, count in counts.items() if count > 1} == {"run.skipped"}


@pytest.mark.parametrize("name", sorted(n for n in vars(apscheduler.events) if n.startswith("EVENT_")))
def test_apschedulers_masks_have_its_values(name):
    if name != "EVENT_ALL":
        assert getattr(gsched, name) == getattr(apscheduler.events, name)


def test_apschedulers_mask_for_everything_is_accepted(bench):
    heard = []
    bench.scheduler.add_listener(heard.append, apscheduler.events.EVENT_ALL)
    bench.add(id="job")
    bench.settle()
    assert {event.name for event in heard} >= {"job.added", "run.submitted", "run.succeeded"}


# -- what listeners see ---------------------------------------------------------------------------------------------


def test_events_have_apschedulers_attributes(bench):
    def fail():
        raise ValueError("no")

    bench.add(lambda: 42, "date", run_date="2026-03-02 12:00:03", id="good")
    bench.add(fail, "date", run_date="2026-03-02 12:00:03", id="bad")
    bench.add(None, "date", run_date="2026-03-02 11:00:00", id="late", misfire_grace_time=1)
    bench.advance(3)

    good = bench.driver.of(EVENT_JOB_EXECUTED)[0]
    assert (good.code, good.job_id, good.jobstore, good.retval) == (EVENT_JOB_EXECUTED, "good", "default", 42)
    assert (good.exception, good.traceback) == (None, None)
    assert good.scheduled_run_time == datetime(2026, 3, 2, 12, 0, 3, tzinfo=UTC)

    bad = bench.driver.of(EVENT_JOB_ERROR)[0]
    assert (bad.job_id, bad.retval, str(bad.exception)) == ("bad", None, "no")
    assert bad.traceback.startswith("Traceback") and "ValueError: no" in bad.traceback

    missed = bench.driver.of(EVENT_JOB_MISSED)[0]
    assert (missed.job_id, missed.retval, missed.exception, missed.traceback) == ("late", None, None, None)
    assert missed.scheduled_run_time == datetime(2026, 3, 2, 11, 0, tzinfo=UTC)

    submitted = bench.events("run.submitted")[0]
    assert submitted.scheduled_run_times == [datetime(2026, 3, 2, 12, 0, 3, tzinfo=UTC)]

    added = bench.events("job.added")[0]
    assert (added.job_id, added.jobstore, added.alias) == ("good", "default", None)


def test_events_of_parts_have_their_alias(bench):
    bench.scheduler.add_executor("greenlet", "more")
    bench.scheduler.add_jobstore("memory", "other")
    bench.scheduler.remove_executor("more")
    bench.scheduler.remove_jobstore("other")
    bench.settle()
    assert [(event.name, event.alias) for event in bench.driver.events if event.alias in ("more", "other")] == [
        ("executor.added", "more"), ("store.added", "other"), ("executor.removed", "more"), ("store.removed", "other"),
    ]  # fmt: skip


def test_a_field_that_an_event_lacks_is_an_attribute_error(bench):
    event = bench.events("scheduler.started")[0]
    with pytest.raises(AttributeError, match=r"scheduler\.started.* has no 'job_id'"):
        event.job_id  # noqa: B018
    assert not hasattr(event, "_private")


def test_every_event_can_be_printed_and_written(bench):
    bench.every(10, id="job", tags=["t"])
    bench.every(10, bench.wait, id="slow", timeout=1)
    bench.advance(30)
    bench.scheduler.remove_all_jobs()
    bench.settle()
    for event in bench.driver.events:
        assert event.name in repr(event)
        assert all(isinstance(key, str) for key in event.fields())


def test_a_run_is_submitted_then_started_then_ended(bench):
    bench.every(10, id="a")
    bench.every(10, id="b")
    bench.advance(20)
    for job_id in "ab":
        names = [event.name for event in bench.driver.events if getattr(event, "job_id", "") == job_id][1:]
        assert names == ["run.submitted", "run.started", "run.succeeded"] * 2


def test_a_job_is_in_its_store_when_its_event_comes(bench):
    seen = []
    bench.scheduler.add_listener(lambda event: seen.append(bench.scheduler.get_job(event.job_id).name),
                                 gsched.EVENT_JOB_ADDED | gsched.EVENT_JOB_MODIFIED)  # fmt: skip
    bench.every(10, name="old").modify(name="new")
    bench.settle()
    assert seen[-1] == "new"


def test_a_listener_hears_only_what_its_mask_says(bench):
    heard = []
    bench.scheduler.add_listener(lambda event: heard.append(event.name), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    bench.every(10)
    bench.advance(20)
    assert heard == ["run.succeeded"] * 2


@pytest.mark.parametrize("mask", [0, -1, 1 << 63, True, "all", None])
def test_a_mask_that_is_none_is_refused(bench, mask):
    with pytest.raises(ConfigurationError, match="mask"):
        bench.scheduler.add_listener(print, mask)


def test_a_listener_that_cannot_be_called_is_refused(bench):
    with pytest.raises(ConfigurationError, match="callable"):
        bench.scheduler.add_listener("print")


def test_removing_a_listener_that_does_not_listen_does_no_harm(bench):
    heard = []
    bench.scheduler.add_listener(heard.append)
    bench.scheduler.remove_listener(print)
    bench.add(id="job")
    bench.settle()
    assert "job.added" in [event.name for event in heard]


# -- the bus --------------------------------------------------------------------------------------------------------


def delivered(bus: EventBus) -> None:
    bus.attach(ManualClock())
    with gevent.Timeout(5):
        while not bus.at_rest():
            gevent.sleep(0)


def test_events_beyond_the_limit_are_counted_and_reported():
    bus, heard = EventBus(limit=3), []
    bus.add_listener(heard.append)
    for number in range(5):
        bus.emit(SchedulerEvent(events.EVENT_STORE_FAILED, number=number))
    delivered(bus)
    assert [event.name for event in heard] == ["store.failed"] * 3 + ["events.dropped"]
    assert (heard[-1].count, bus.dropped) == (2, 2)


def test_events_wait_until_the_bus_has_a_thread():
    bus, heard = EventBus(), []
    bus.add_listener(heard.append)
    bus.emit(SchedulerEvent(events.EVENT_SUMMARY))
    gevent.sleep(0)
    assert heard == []
    delivered(bus)
    assert len(heard) == 1


def test_events_without_a_listener_are_not_kept():
    bus = EventBus()
    bus.emit(SchedulerEvent(events.EVENT_SUMMARY))
    heard = []
    bus.add_listener(heard.append)
    delivered(bus)
    assert heard == []


class SlowListener:
    """Listens to one event until it is let go on."""

    def __init__(self):
        self.heard = []
        self.gate = Event()

    def __call__(self, event):
        self.gate.wait()
        self.heard.append(event)


def test_a_listener_that_hangs_keeps_nobody_else_from_hearing():
    bus, slow, heard = EventBus(), SlowListener(), []
    bus.add_listener(slow)
    bus.add_listener(heard.append)
    bus.attach(ManualClock())
    for number in range(3):
        bus.emit(SchedulerEvent(events.EVENT_STORE_FAILED, number=number))
    gevent.sleep(0)
    assert ([event.number for event in heard], slow.heard) == ([0, 1, 2], [])
    slow.gate.set()
    delivered(bus)
    assert [event.number for event in slow.heard] == [0, 1, 2]


def test_a_listener_that_is_busy_for_long_while_others_wait_is_reported_once():
    bus, clock, slow, stalled = EventBus(), ManualClock(), SlowListener(), []
    bus.add_listener(slow, events.EVENT_SUMMARY)
    bus.add_listener(stalled.append, events.EVENT_LISTENER_STALLED)
    bus.attach(clock)
    for _ in range(4):
        bus.emit(SchedulerEvent(events.EVENT_SUMMARY))
        gevent.sleep(0)
        clock.skip(6000)
    slow.gate.set()
    delivered(bus)
    assert [event.seconds for event in stalled] == [12.0]


def test_a_listener_that_is_removed_hears_nothing_more_not_even_what_waits():
    bus, heard = EventBus(), []
    bus.add_listener(heard.append)
    bus.attach(ManualClock())
    bus.emit(SchedulerEvent(events.EVENT_SUMMARY))
    bus.remove_listener(heard.append)
    delivered(bus)
    gevent.sleep(0)
    assert heard == []


def test_a_listener_that_is_too_slow_loses_events_and_others_do_not():
    bus, slow, heard = EventBus(limit=3), SlowListener(), []
    bus.add_listener(slow)
    bus.add_listener(heard.append)
    bus.attach(ManualClock())
    for number in range(6):
        bus.emit(SchedulerEvent(events.EVENT_STORE_FAILED, number=number))
        gevent.sleep(0)
    slow.gate.set()
    delivered(bus)
    assert [event.number for event in heard] == [*range(6)]
    assert [event.number for event in slow.heard[:-1]] == [0, 1, 2, 3]
    assert (slow.heard[-1].name, slow.heard[-1].count, bus.dropped) == ("events.dropped", 2, 2)


def test_an_error_that_cannot_say_what_it_is_loses_no_event(bench):
    class Speechless(Exception):
        def __str__(self):
            raise IndexError

    def fail():
        raise Speechless

    bench.add(fail)
    bench.settle()
    assert bench.driver.of(EVENT_JOB_ERROR)[0].fields()["error_message"] == "<its str() raised IndexError>"


# -- inside a run ---------------------------------------------------------------------------------------------------


def test_a_job_knows_its_run(bench):
    seen = []

    def look():
        run = current_run()
        seen.append((run.id, run.job_id, run.scheduled_at, run.started_at, run.attempt, run.fence, run.cancelled))

    bench.every(10, look, id="job")
    bench.advance(10)
    due = datetime(2026, 3, 2, 12, 0, 10, tzinfo=UTC)
    assert seen == [("job@2026-03-02T12:00:10.000Z", "job", due, due, 1, 0, False)]


def test_the_runs_id_is_the_one_in_its_events(bench):
    seen = []
    bench.every(0.25, lambda: seen.append(current_run().id), id="job")
    bench.advance(0.5)
    assert seen == [event.run_id for event in bench.driver.of(EVENT_JOB_EXECUTED)]
    assert seen == ["job@2026-03-02T12:00:00.250Z", "job@2026-03-02T12:00:00.500Z"]


def test_a_late_run_knows_when_it_was_due(bench):
    seen = []
    bench.add(lambda: seen.append(current_run().lateness), "date", run_date="2026-03-02 11:59:58")
    bench.settle()
    assert seen == [2.0]


def test_outside_a_run_there_is_none(bench):
    with pytest.raises(NotInRunError, match="outside a run"):
        current_run()
    bench.every(10)
    bench.advance(10)
    with pytest.raises(NotInRunError):
        current_run()


def test_runs_at_the_same_time_do_not_mix(bench):
    seen = []

    def look():
        before = current_run().job_id
        bench.gate.wait()
        seen.append((before, current_run().job_id))

    for name in "abc":
        bench.add(look, id=name)
    bench.settle()
    bench.open_gate()
    assert sorted(seen) == [("a", "a"), ("b", "b"), ("c", "c")]


def test_a_run_that_is_told_to_stop_can_see_it(bench):
    seen = []

    def look():
        try:
            bench.gate.wait()
        finally:
            seen.append(current_run().cancelled)

    bench.every(10, look, timeout=1)
    bench.advance(12)
    assert seen == [True]


# -- the summary ----------------------------------------------------------------------------------------------------


def test_a_summary_comes_every_minute(bench):
    bench.every(9, id="job")
    bench.every(25, lambda: 1 / 0, id="bad")
    bench.advance(125)
    summaries = bench.events("runs.summary")
    first, second = [(event.succeeded, event.failed) for event in summaries]
    assert first == (6, 2)
    assert second in [(7, 2), (7, 3)]  # the turn that publishes it begins a run, which may have ended by then
    assert [event.started for event in summaries] == [event.succeeded + event.failed for event in summaries]
    assert summaries[0].lateness_p99 is not None
