"""Jobs that are spread, on every store: which phases they get, and what moves them."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from gsched import BaseJobStore, CronTrigger, GeventScheduler, GschedError, IntervalTrigger
from gsched.policies.spreading import Numbers, Series
from gsched.testing import ManualClock

pytest_plugins = ["mongodb"]

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVERY_SIX: dict[str, Any] = {"trigger": "interval", "seconds": 6}


def poll() -> None:
    pass


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def scheduler(any_store: BaseJobStore, events: list[Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = ManualClock("2026-03-02 12:00")
    made = GeventScheduler(jobstores={"default": any_store}, timezone="UTC", clock=clock, modules=[__name__])
    monkeypatch.setattr(made._engine.bus, "emit", events.append)
    yield made
    made.close()


def add(scheduler: GeventScheduler, job_id: str, **options: Any) -> Any:
    return scheduler.add_job(poll, id=job_id, **options)


def add_many(scheduler: GeventScheduler, count: int, prefix: str = "", **options: Any) -> None:
    scheduler.add_jobs({"func": poll, "id": f"{prefix}{number:05}", **options} for number in range(count))


def phase_of(scheduler: GeventScheduler, job_id: str) -> int:
    phase: int = scheduler.get_job(job_id).trigger.phase_ms
    return phase


def all_phases(scheduler: GeventScheduler) -> dict[str, int]:
    return {job.id: job.trigger.phase_ms for job in scheduler.get_jobs()}


def due(scheduler: GeventScheduler, job_id: str) -> float:
    """Seconds after noon."""
    seconds: float = (scheduler.get_job(job_id).next_run_time - NOON).total_seconds()
    return seconds


# -- where jobs are put ---------------------------------------------------------------------------------------------


def test_three_jobs_of_one_call_are_a_third_of_the_interval_apart(scheduler):
    add_many(scheduler, 3, spread=True, **EVERY_SIX)
    assert [phase_of(scheduler, f"{number:05}") for number in range(3)] == [0, 2000, 4000]
    assert [due(scheduler, f"{number:05}") for number in range(3)] == [6, 2, 4]


def test_in_each_part_of_the_cycle_equally_many_of_ten_thousand_jobs_begin(scheduler, any_store):
    count = 10_000 if not any_store.shared else 2000
    scheduler.add_jobs(
        ({"func": poll, "id": f"{number:05}", "trigger": "interval", "seconds": 5} for number in range(count)),
        spread=True,
    )
    begin = {job.id: job.trigger.next_after(NOON) for job in scheduler.get_jobs()}
    parts = Counter(int((time - NOON).total_seconds() * 10 - 0.0001) for time in begin.values())
    assert len(parts) == 50
    assert set(parts.values()) <= set(range(count // 50 - 1, count // 50 + 2))


def test_one_more_job_moves_no_other(scheduler):
    add_many(scheduler, 10, spread=True, **EVERY_SIX)
    before = all_phases(scheduler)
    add(scheduler, "more", spread=True, **EVERY_SIX)
    after = all_phases(scheduler)
    assert after.pop("more") == round(10 * 0.6180339887498949 % 1 * 6000)
    assert after == before


def test_crons_that_are_added_one_by_one_have_delays_of_their_own(scheduler):
    times = [add(scheduler, f"job-{n}", trigger="0 2 * * *", spread="1h").next_run_time for n in range(3)]
    assert [f"{time:%H:%M:%S.%f}"[:-3] for time in times] == ["02:00:00.000", "02:37:04.922", "02:14:09.845"]


def test_a_delay_is_the_same_each_day_and_before_the_first_day_too(scheduler):
    add(scheduler, "first", trigger="0 2 * * *", spread="1h")
    trigger = add(scheduler, "second", trigger="0 2 * * *", spread="1h").trigger
    days = [trigger.next_after(datetime(2026, 3, day, tzinfo=UTC)) for day in (2, 3, 4)]
    assert {(each.hour, each.minute, each.second) for each in days} == {(2, 37, 4)}


def test_jobs_of_other_intervals_are_a_series_of_their_own(scheduler):
    definitions = [
        {"func": poll, "id": f"{seconds}-{n}", "trigger": "interval", "seconds": seconds, "spread": True}
        for n in range(2)
        for seconds in (6, 60)
    ]
    scheduler.add_jobs([*definitions, {"func": poll, "id": "plain", **EVERY_SIX}])
    found = {key: phase for key, phase in all_phases(scheduler).items() if key != "plain"}
    assert found == {"6-0": 0, "6-1": 3000, "60-0": 0, "60-1": 30_000}
    assert scheduler.get_job("plain").trigger.spread_ms is None


def test_a_batch_after_jobs_that_are_not_spread_is_spread_as_a_whole(scheduler):
    plain = ({"func": poll, "id": f"plain-{n}", **EVERY_SIX} for n in range(1000))
    spread = ({"func": poll, "id": f"spread-{n:04}", "spread": True, **EVERY_SIX} for n in range(1200))
    assert scheduler.add_jobs([*plain, *spread]) == 2200
    assert [phase_of(scheduler, f"spread-{n:04}") for n in (0, 1, 600, 1199)] == [0, 5, 3000, 5995]


def test_a_wrong_definition_among_those_that_are_spread_stores_none_of_them(scheduler):
    good = [{"func": poll, "id": f"{n}", "spread": True, **EVERY_SIX} for n in range(1500)]
    with pytest.raises(GschedError, match=r"job 1500 \('bad'\): spread: True: only an interval"):
        scheduler.add_jobs([*good, {"func": poll, "id": "bad", "trigger": "0 2 * * *", "spread": True}])
    assert scheduler.get_jobs() == []


# -- what keeps the phase, and what changes it ------------------------------------------------------------------------


def test_a_replaced_job_keeps_its_phase(scheduler):
    add_many(scheduler, 10, spread=True, **EVERY_SIX)
    before = all_phases(scheduler)
    definitions = [{"func": poll, "id": f"{n:05}", "args": [], "tags": ["new"], **EVERY_SIX} for n in range(10)]
    scheduler.add_jobs(definitions, spread=True, replace_existing=True)
    assert all_phases(scheduler) == before
    assert len(scheduler.get_jobs(tag="new")) == 10


def test_a_job_that_was_not_spread_is_so_when_it_is_replaced(scheduler):
    add(scheduler, "first", spread=True, **EVERY_SIX)
    add(scheduler, "job", **EVERY_SIX)
    again = add(scheduler, "job", spread=True, replace_existing=True, **EVERY_SIX)
    assert again.trigger.phase_ms == phase_of(scheduler, "job") == 3708


def test_modify_spreads_a_job_once_and_ends_that_without_moving_it(scheduler):
    add(scheduler, "first", spread=True, **EVERY_SIX)
    job = add(scheduler, "job", **EVERY_SIX)
    job.modify(spread=True)
    assert phase_of(scheduler, "job") == 3708
    job.modify(spread=True)
    assert phase_of(scheduler, "job") == 3708
    job.modify(spread=None)
    stored = scheduler.get_job("job").trigger
    assert (stored.spread_ms, stored.phase_ms) == (None, 3708)


def test_a_new_trigger_is_spread_if_that_is_said(scheduler):
    job = add(scheduler, "job", spread=True, **EVERY_SIX)
    job.modify(trigger="cron", hour=2, spread="1h")
    assert str(scheduler.get_job("job").trigger) == "spread[cron[hour='2'], 0:00:00 of 1:00:00]"
    job.reschedule("cron", hour=3, spread="1h")
    assert f"{scheduler.get_job('job').next_run_time:%H:%M:%S}" == "03:37:04"
    job.reschedule("cron", hour=3)
    assert scheduler.get_job("job").trigger == CronTrigger(hour=3, timezone="UTC")


def test_a_paused_job_is_spread_and_stays_paused(scheduler):
    add(scheduler, "first", spread=True, **EVERY_SIX)
    job = add(scheduler, "job", spread=True, next_run_time=None, **EVERY_SIX)
    assert (job.state, job.trigger.phase_ms) == ("paused", 3708)
    job.resume()
    assert due(scheduler, "job") == 3.708


def test_jitter_comes_on_top(scheduler):
    job = add(scheduler, "job", trigger="cron", hour=2, jitter=600, spread="1h")
    assert job.trigger.jitter_ms == 600_000
    nominal = job.trigger.next_after(NOON)
    assert 0 <= (job.next_run_time - nominal).total_seconds() <= 600


def test_an_imported_job_keeps_its_phase_and_later_jobs_get_others(scheduler):
    add_many(scheduler, 4, spread=True, **EVERY_SIX)
    add(scheduler, "daily", trigger="0 2 * * *", spread="1h")
    add(scheduler, "other", trigger="0 2 * * *", spread="1h")
    before, exported = all_phases(scheduler), io.StringIO()
    scheduler.export_jobs(exported)
    scheduler.remove_all_jobs()
    scheduler.import_jobs(io.StringIO(exported.getvalue()))
    assert all_phases(scheduler) == before
    add(scheduler, "new", spread=True, **EVERY_SIX)
    assert phase_of(scheduler, "new") not in before.values()


def test_two_phases_are_refused(scheduler):
    for options in (
        {"start_date": "2030-01-01", **EVERY_SIX},
        {"next_run_time": "now", **EVERY_SIX},
        {"anchor": NOON, **EVERY_SIX},
        {"between": "09:00-17:00", **EVERY_SIX},
    ):
        with pytest.raises(GschedError, match=r"spread: .* the phase already"):
            add(scheduler, "job", spread=True, **options)
    with pytest.raises(GschedError, match="spread: next_run_time sets the phase already; leave out one of them"):
        add(scheduler, "job", trigger="0 2 * * *", spread="1h", next_run_time=NOON)
    assert scheduler.get_jobs() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": "1h", **EVERY_SIX}, "spread '1h': an interval is spread over its own length; write spread=True"),
        ({"spread": 5, **EVERY_SIX}, "spread 5: an interval is spread over its own length; write spread=True"),
        ({"spread": True, "trigger": "0 2 * * *"}, r"spread: True: .* for cron, say over how long: spread='1h'"),
        ({"spread": "1x", "trigger": "0 2 * * *"}, "spread: '1x' is not a duration; write it as '90s'"),
        ({"spread": 0, "trigger": "0 2 * * *"}, "spread: must be at least a millisecond, got 0"),
        ({"spread": "9999d", "trigger": "0 2 * * *"}, "spread: expected at most 3650d, got '9999d'"),
        ({"spread": "1h", "trigger": "date", "run_date": NOON}, "spread: '1h': a date trigger is due once; give each"),
        ({"spread": "1h", "trigger": "@reboot"}, "spread: '1h': a reboot trigger is due once"),
    ],
)
def test_a_spread_that_does_not_fit_the_trigger_is_refused(scheduler, options, message):
    with pytest.raises(GschedError, match=message):
        add(scheduler, "job", **options)


# -- the counters -----------------------------------------------------------------------------------------------------


def test_numbers_are_never_given_twice(scheduler, any_store):
    six, hour = Series("interval", 6000), Series("delay", 3_600_000)
    assert any_store.take_numbers({six: 5, hour: 1}) == {six: Numbers(0, 0), hour: Numbers(0, 0)}
    assert any_store.take_numbers({six: 2}) == {six: Numbers(0, 5)}
    assert any_store.take_numbers({hour: 1, six: 1}) == {six: Numbers(0, 7), hour: Numbers(0, 1)}
    assert any_store.take_numbers({six: 0}) == {six: Numbers(0, 8)}


def test_groups_are_ranked_in_the_order_in_which_they_come(scheduler, any_store):
    a, b, c = (Series("interval", 6000, group) for group in ("a", "b", "c"))
    none, other = Series("interval", 6000), Series("interval", 7000, "b")
    assert any_store.take_numbers({a: 2, b: 3}) == {a: Numbers(1, 0), b: Numbers(2, 0)}
    assert any_store.take_numbers({c: 1, none: 1, b: 1, other: 1}) == {
        c: Numbers(3, 0), none: Numbers(0, 0), b: Numbers(2, 3), other: Numbers(1, 0)
    }  # fmt: skip


def test_each_group_is_even_for_itself_and_begins_at_a_phase_of_its_own(scheduler):
    definitions = [
        {"func": poll, "id": f"{group}-{n}", "group": group, "spread": True, **EVERY_SIX}
        for n in range(3)
        for group in "ab"
    ]
    scheduler.add_jobs(definitions)
    found, a, b = all_phases(scheduler), 0.7548776662466927 % 1, 2 * 0.7548776662466927 % 1
    for group, begin in (("a", round(a * 6000)), ("b", round(b * 6000))):
        assert [found[f"{group}-{n}"] for n in range(3)] == [(begin + n * 2000) % 6000 for n in range(3)]


def test_respread_may_be_for_one_group(scheduler):
    for job_id, group in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("c", None)):
        add(scheduler, job_id, group=group, **EVERY_SIX)
    assert scheduler.respread(group="a", dry_run=True) == 2
    assert scheduler.respread(group="a") == 2
    phases = all_phases(scheduler)
    assert abs(phases["a1"] - phases["a2"]) == 3000
    assert [scheduler.get_job(job_id).trigger.spread_ms for job_id in ("b1", "c")] == [None, None]
    assert scheduler.respread(group="unknown") == 0


# -- respread ---------------------------------------------------------------------------------------------------------


def test_jobs_that_share_a_phase_are_spread_evenly_and_then_none_moves(scheduler, events):
    add_many(scheduler, 12, tags=["poll"], **EVERY_SIX)
    add(scheduler, "other", **EVERY_SIX)
    other = scheduler.get_job("other").trigger
    events.clear()
    assert scheduler.respread(tag="poll", dry_run=True) == 12
    assert not events
    assert scheduler.respread(tag="poll") == 12
    assert sorted(job.trigger.phase_ms for job in scheduler.get_jobs(tag="poll")) == [n * 500 for n in range(12)]
    assert [event.name for event in events] == ["job.changed"] * 12
    assert scheduler.respread(tag="poll") == 0
    assert scheduler.get_job("other").trigger == other
    add(scheduler, "later", spread=True, **EVERY_SIX)
    assert phase_of(scheduler, "later") == round(12 * 0.6180339887498949 % 1 * 6000)


def test_after_jobs_were_removed_the_others_move_into_the_gaps_in_their_order(scheduler):
    add_many(scheduler, 12, spread=True, **EVERY_SIX)
    for number in range(6):
        scheduler.remove_job(f"{number:05}")
    before = all_phases(scheduler)
    assert scheduler.respread(everything=True) == 6
    after = all_phases(scheduler)
    assert sorted(after.values()) == [0, 1000, 2000, 3000, 4000, 5000]
    assert sorted(after, key=after.__getitem__) == sorted(before, key=before.__getitem__)


def test_respread_leaves_alone_what_cannot_be_spread(scheduler):
    add(scheduler, "dated", start_date="2030-01-01", **EVERY_SIX)
    add(scheduler, "window", between="09:00-17:00", **EVERY_SIX)
    add(scheduler, "cron", trigger="0 2 * * *")
    add(scheduler, "date", trigger="date", run_date="2030-01-01")
    assert scheduler.respread(everything=True) == 0
    assert scheduler.respread(ids=["cron", "dated", "unknown"]) == 0


def test_respread_moves_delays_within_their_hour(scheduler):
    for number in range(4):
        add(scheduler, f"job-{number}", trigger="0 2 * * *", spread="1h")
    assert scheduler.respread(ids=[f"job-{number}" for number in range(4)]) == 3
    times = sorted(f"{job.next_run_time:%H:%M}" for job in scheduler.get_jobs())
    assert times == ["02:00", "02:15", "02:30", "02:45"]


def test_a_paused_job_that_is_respread_stays_paused(scheduler):
    add_many(scheduler, 2, **EVERY_SIX)
    scheduler.pause_job("00001", reason="vendor down")
    assert scheduler.respread(prefix="0") == 2
    assert scheduler.get_job("00001").pause_info.reason == "vendor down"
    scheduler.resume_job("00001")
    assert due(scheduler, "00001") == 3


def test_respread_needs_one_way_to_name_the_jobs(scheduler):
    with pytest.raises(GschedError, match="name the jobs in one way"):
        scheduler.respread()
    with pytest.raises(GschedError, match="name the jobs in one way"):
        scheduler.respread(tag="a", prefix="b")


# -- the warning ------------------------------------------------------------------------------------------------------


def test_a_thousand_jobs_and_one_that_share_a_phase_are_warned_of_once(scheduler, events):
    add_many(scheduler, 1001, **EVERY_SIX)
    (warning,) = [event for event in events if event.name == "job.warned"]
    assert warning.reason == "1,001 jobs that were added together are all due at the same moments"
    assert "spread=True" in warning.remedy
    assert warning.job_id == "00000"


@pytest.mark.parametrize("options", [{"spread": True}, {"jitter": 3}])
def test_jobs_that_begin_at_times_of_their_own_are_not_warned_of(scheduler, events, options):
    add_many(scheduler, 1500, **options, **EVERY_SIX)
    assert not [event for event in events if event.name == "job.warned"]


def test_a_thousand_jobs_are_not_warned_of(scheduler, events):
    add_many(scheduler, 1000, **EVERY_SIX)
    add_many(scheduler, 1000, "more", trigger=IntervalTrigger(seconds=7))
    assert not [event for event in events if event.name == "job.warned"]
