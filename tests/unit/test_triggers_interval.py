"""Intervals: integer arithmetic on elapsed time."""

import math
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.interval import IntervalTrigger as TheirIntervalTrigger
from hypothesis import given, settings, strategies as st
from trigger_oracles import instants

from gsched.errors import InvalidTriggerError
from gsched.times.instants import to_ms
from gsched.triggers import IntervalTrigger, trigger_fields, trigger_from_fields


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({}, "at least 1 ms \\(nothing given\\)"),
        ({"seconds": 0}, "at least 1 ms"),
        ({"seconds": 0.0004}, "at least 1 ms \\(seconds=0.0004\\)"),
        ({"minutes": -5}, "minutes -5: must not be negative"),
        ({"hours": 1, "minutes": -5}, "minutes -5: must not be negative"),
        ({"seconds": math.nan}, "seconds nan: expected a finite number"),
        ({"seconds": math.inf}, "seconds inf: expected a finite number"),
        ({"seconds": "10"}, "seconds '10': expected a number"),
        ({"days": True}, "days True: expected a number"),
        ({"hours": Decimal(5)}, r"hours Decimal\('5'\): expected a number"),
        ({"hours": ""}, "hours '': expected a number"),
        ({"seconds": 10**400}, "expected a finite number"),
        ({"seconds": Fraction(10**400)}, "expected a finite number"),
        ({"seconds": 10, "jitter": 10**400}, "jitter 1000.*expected a finite number"),
        ({"weeks": None}, "weeks None: expected a number"),
        ({"seconds": 10**300}, "longer than 1,000 years"),
        ({"weeks": 52 * 9000}, "weeks=468000: the interval is longer than 1,000 years"),
        ({"seconds": 10, "start_date": "soon"}, "start_date: 'soon'"),
        ({"seconds": 10, "end_date": object()}, "end_date"),
        ({"seconds": 10, "timezone": "Mars/Base"}, "'Mars/Base' is not in the time zone database"),
        ({"seconds": 10, "jitter": -1}, "jitter -1: must not be negative"),
    ],
)
def test_a_distance_that_cannot_work_is_refused_by_name(parts, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        IntervalTrigger(**{"timezone": "UTC", **parts})


def test_numbers_that_are_not_pythons_own_do_not_overflow():
    class Narrow(int):
        """As numpy's int32 is: its products are wrong."""

        def __mul__(self, other):
            return Narrow(0)

    trigger = IntervalTrigger(weeks=Narrow(2), timezone="UTC")
    assert trigger.interval == timedelta(weeks=2)
    assert type(trigger.next_ms(0)) is int


def test_fractions_count_down_to_a_millisecond():
    assert IntervalTrigger(seconds=0.5, timezone="UTC").next_ms(0) == 500
    assert IntervalTrigger(seconds=0.001, timezone="UTC").next_ms(7) == 8
    assert IntervalTrigger(minutes=0.5, seconds=0.1, timezone="UTC").interval == timedelta(seconds=30.1)


def test_half_a_second_in_a_date_is_half_a_second():
    trigger = IntervalTrigger(seconds=1, start_date="2026-11-22 12:00:00.5", timezone="UTC")
    assert trigger.next_after(datetime(2026, 11, 22, 12, tzinfo=UTC)).microsecond == 500_000


def test_the_start_date_is_the_first_instant_and_the_phase():
    trigger = IntervalTrigger(seconds=10, start_date=datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC))
    assert [trigger.next_ms(after) for after in (-(10**9), 2999, 3000, 12_999, 13_000)] == [
        3000,
        3000,
        13000,
        13000,
        23000,
    ]


def test_without_dates_the_phase_is_that_of_the_epoch():
    assert IntervalTrigger(minutes=1, timezone="Asia/Kolkata").next_ms(1_790_000_000_123) % 60_000 == 0


def test_an_anchor_moves_the_phase_and_the_bounds_stay():
    trigger = IntervalTrigger(
        seconds=10, start_date="1970-01-01 00:01:00", end_date="1970-01-01 00:01:30", timezone="UTC"
    )
    anchored = trigger.anchored(4000)
    assert [anchored.next_ms(after) for after in (0, 64_000, 84_000)] == [64_000, 74_000, None]
    assert anchored.anchored(7000).next_ms(0) == 67_000
    assert anchored.same_schedule(trigger)
    assert anchored != trigger
    assert not anchored.same_schedule(IntervalTrigger(seconds=11, timezone="UTC"))
    assert trigger_from_fields(trigger_fields(anchored)) == anchored


def test_the_end_is_inclusive_and_after_it_comes_nothing():
    trigger = IntervalTrigger(seconds=10, end_date="1970-01-01 00:00:30", timezone="UTC")
    assert (trigger.next_ms(29_999), trigger.next_ms(30_000)) == (30_000, None)
    assert IntervalTrigger(weeks=50_000, timezone="UTC", start_date="2026-01-01").next_ms(253 * 10**12) is None


def test_bounds_in_the_repeated_hour_compare_as_instants():
    first, second = (datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo("America/New_York"), fold=fold) for fold in (0, 1))
    trigger = IntervalTrigger(minutes=10, start_date=first, end_date=second)
    assert len(instants(trigger, datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))) == 7


@settings(max_examples=300)
@given(
    period=st.integers(1, 10**7), start=st.none() | st.integers(-(10**8), 10**8), length=st.integers(0, 10**8),
    anchor=st.none() | st.integers(-(10**8), 10**8), after=st.integers(-(10**9), 10**9), ahead=st.integers(0, 10**9),
)  # fmt: skip
def test_arithmetic_agrees_with_the_definition(period, start, length, anchor, after, ahead):
    dates = {} if start is None else {"start_date": start / 1000, "end_date": (start + length) / 1000}
    trigger = IntervalTrigger(seconds=period / 1000, timezone="UTC", **dates)
    if anchor is not None:
        trigger = trigger.anchored(anchor)
    phase = anchor if anchor is not None else (start or 0)

    def due(t):
        return (t - phase) % period == 0 and (start is None or start <= t <= start + length)

    found = trigger.next_ms(after)
    if found is None:
        assert start is not None
        low = max(after + 1, start)
        assert low > start + length or low + (phase - low) % period > start + length
        return
    assert found > after
    assert due(found)
    assert not due(found - period) or found - period <= after
    assert trigger.next_ms(found - 1) == found
    last = trigger.last_ms(found, found + ahead)
    assert found <= last <= found + ahead
    assert due(last)
    assert not due(last + period) or last + period > found + ahead
    assert trigger_from_fields(trigger_fields(trigger)) == trigger


@given(period=st.integers(1, 10**6), offset=st.integers(0, 10**7))
def test_apscheduler_says_the_same(period, offset):
    start = datetime(2026, 11, 22, tzinfo=UTC)
    theirs = TheirIntervalTrigger(seconds=period, start_date=start, timezone="UTC")
    ours = IntervalTrigger(seconds=period, start_date=start, timezone="UTC")
    now = start + timedelta(seconds=offset)
    assert ours.get_next_fire_time(None, now) == theirs.get_next_fire_time(None, now)
    assert ours.get_next_fire_time(now, now) is not None
    assert str(ours) == str(theirs)
    assert repr(ours) == repr(theirs)


def test_ten_days_late_costs_one_division():
    calls = 0

    class Counting(IntervalTrigger):
        def next_ms(self, after):
            nonlocal calls
            calls += 1
            return super().next_ms(after)

    trigger = Counting(seconds=1, timezone="UTC")
    assert trigger.last_ms(0, to_ms(datetime(2026, 11, 22, tzinfo=UTC)) + 5) == to_ms(
        datetime(2026, 11, 22, tzinfo=UTC)
    )
    assert calls == 0


def test_the_last_instant_is_never_before_the_start():
    trigger = IntervalTrigger(seconds=10, start_date="1970-01-01 00:01:00", timezone="UTC")
    assert trigger.last_ms(5, 55_000) == 5
    assert trigger.last_ms(5, 65_000) == 60_000


def test_an_interval_trigger_is_immutable_and_small():
    trigger = IntervalTrigger(seconds=10, timezone="UTC")
    for name in ("timezone", "interval", "_period", "jitter_ms", "other"):
        with pytest.raises(AttributeError):
            setattr(trigger, name, 5)
    with pytest.raises(AttributeError):
        del trigger.timezone
    own = sum(sys.getsizeof(value) for value in (trigger._anchor, trigger._phase, trigger._first, trigger._period))
    assert sys.getsizeof(trigger) + own < 250


def test_a_subclass_stays_one_when_its_phase_is_set():
    class Twice(IntervalTrigger):
        pass

    assert type(Twice(seconds=10).anchored(5000)) is Twice
    assert type(Twice(seconds=10).begun(5000)[0]) is Twice


def test_triggers_that_differ_in_their_phase_only_are_told_apart_by_their_hashes():
    spread = [IntervalTrigger(seconds=60, spread=True, timezone="UTC").anchored(phase) for phase in range(1000)]
    assert len({hash(each) for each in spread}) > 990
    assert hash(spread[7]) == hash(trigger_from_fields(trigger_fields(spread[7])))
