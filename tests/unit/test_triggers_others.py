"""Date, calendar interval, combinations, jitter and storage."""

import copy
import pickle
import time
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from math import lcm
from typing import ClassVar
from zoneinfo import ZoneInfo

import pytest
import pytz
from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger as TheirCalendarIntervalTrigger
from apscheduler.triggers.combining import AndTrigger as TheirAndTrigger
from apscheduler.triggers.date import DateTrigger as TheirDateTrigger
from apscheduler.triggers.interval import IntervalTrigger as TheirIntervalTrigger
from hypothesis import given, settings, strategies as st
from trigger_oracles import instants, wall_times

from gsched.errors import InvalidTriggerError
from gsched.jobs.document import DocumentReader
from gsched.jobs.funcref import AllowedFunctions
from gsched.times.instants import to_ms
from gsched.triggers import (
    AndTrigger,
    BaseTrigger,
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    OrTrigger,
    registry,
    trigger_fields,
    trigger_from_fields,
)
from gsched.triggers.combining import MAX_ATTEMPTS
from gsched.triggers.jitter import jittered_last, jittered_next


def every(seconds, at=None):
    trigger = IntervalTrigger(seconds=seconds, timezone="UTC")
    return trigger if at is None else trigger.anchored(at)


# date


def test_a_date_is_due_once():
    trigger = DateTrigger("1970-01-01 00:00:05", timezone="UTC")
    assert (trigger.next_ms(0), trigger.next_ms(4999), trigger.next_ms(5000)) == (5000, 5000, None)


def test_a_date_trigger_without_a_date_waits_for_its_anchor():
    trigger = DateTrigger(timezone="UTC")
    assert trigger.next_ms(0) is None
    assert trigger.run_date is None
    anchored = trigger.anchored(5000)
    assert anchored.next_ms(0) == 5000
    assert anchored.same_schedule(trigger)
    assert trigger_from_fields(trigger_fields(anchored)) == anchored
    dated = DateTrigger("2026-01-01", timezone="UTC")
    assert not dated.same_schedule(trigger)


def test_a_date_that_is_moved_is_due_once_and_was_written_the_same_way():
    dated = DateTrigger("1970-01-01 00:01", timezone="UTC")
    moved = dated.anchored(5000)
    assert (moved.next_ms(0), moved.next_ms(5000)) == (5000, None)
    assert moved.begun(9000) == (moved, 5000)
    assert str(moved) == "date[1970-01-01 00:00:05 UTC]"
    assert moved.same_schedule(dated) and moved != dated
    assert trigger_from_fields(trigger_fields(moved)) == moved
    assert moved.anchored(7000).next_ms(0) == 7000


def test_a_date_that_no_clock_shows_is_the_first_instant_after_the_gap():
    for hour in (2, 3):
        trigger = DateTrigger(datetime(2026, 3, 8, hour, 0 if hour == 3 else 30), timezone="America/New_York")
        assert trigger.run_date == datetime(2026, 3, 8, 7, tzinfo=UTC)
    skipped = DateTrigger("2011-12-30 12:00", timezone="Pacific/Apia")
    assert str(skipped) == "date[2011-12-31 00:00:00 +14]"


def test_a_date_reads_like_apscheduler():
    for zone in ("UTC", "Asia/Shanghai"):
        ours = DateTrigger("2009-11-06 16:30:05", timezone=zone)
        theirs = TheirDateTrigger("2009-11-06 16:30:05", timezone=zone)
        assert str(ours) == str(theirs)
        assert repr(ours) == repr(theirs)


def test_zones_of_all_kinds_are_understood():
    pytz_zone = pytz.timezone("Europe/Berlin")
    assert IntervalTrigger(seconds=1, timezone=pytz_zone).timezone == ZoneInfo("Europe/Berlin")
    aware = pytz_zone.localize(datetime(2026, 7, 1, 12))
    assert DateTrigger(aware).run_date == datetime(2026, 7, 1, 10, tzinfo=UTC)
    fixed = CronTrigger(hour=1, start_date=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))))
    assert trigger_from_fields(trigger_fields(fixed)) == fixed
    assert wall_times(fixed, "2026-01-01", 1) == ["2026-01-01 01:00:00 -0330"]


# calendar interval


def test_days_that_a_month_lacks_are_passed_over():
    trigger = CalendarIntervalTrigger(months=1, start_date="2026-01-31", hour=9, timezone="UTC")
    assert [t[:16] for t in wall_times(trigger, "2026-01-01", 4)] == [
        "2026-01-31 09:00",
        "2026-03-31 09:00",
        "2026-05-31 09:00",
        "2026-07-31 09:00",
    ]


def test_calendar_times_in_a_gap_run_after_it_and_repeated_ones_run_once():
    daily = CalendarIntervalTrigger(days=1, hour=2, minute=30, start_date="2026-01-01", timezone="America/New_York")
    assert wall_times(daily, "2026-03-07 12:00", 2) == ["2026-03-08 03:00:00 -0400", "2026-03-09 02:30:00 -0400"]
    daily = CalendarIntervalTrigger(days=1, hour=1, minute=30, start_date="2026-01-01", timezone="America/New_York")
    assert wall_times(daily, "2026-10-31 12:00", 2) == ["2026-11-01 01:30:00 -0400", "2026-11-02 01:30:00 -0500"]
    monthly = CalendarIntervalTrigger(months=1, start_date="2026-02-08", timezone="America/Havana")
    assert wall_times(monthly, "2026-02-09", 1) == ["2026-03-08 01:00:00 -0400"]


def test_calendar_jumps_cost_no_walk():
    trigger = CalendarIntervalTrigger(days=1, start_date="0001-01-02", timezone="UTC")
    began = time.process_time()
    assert trigger.next_ms(to_ms(datetime(9998, 1, 1, tzinfo=UTC))) == to_ms(datetime(9998, 1, 2, tzinfo=UTC))
    assert time.process_time() - began < 0.5  # a walk takes seconds
    leap = CalendarIntervalTrigger(years=1, start_date="2096-02-29", timezone="UTC")
    assert wall_times(leap, "2096-03-01", 1)[0].startswith("2104-02-29")
    assert trigger.next_ms(253_402_300_799_000) is None


def test_the_phase_without_a_start_date_is_that_of_the_anchor_day():
    trigger = CalendarIntervalTrigger(weeks=1, hour=8, timezone="Europe/Berlin")
    anchored = trigger.anchored(to_ms(datetime(2026, 11, 22, 7, tzinfo=UTC)))
    assert wall_times(anchored, "2026-11-21", 2) == ["2026-11-22 08:00:00 +0100", "2026-11-29 08:00:00 +0100"]
    assert anchored.same_schedule(trigger)
    assert trigger_from_fields(trigger_fields(anchored)) == anchored


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "give years, months, weeks or days"),
        ({"days": -1}, "days -1: must be from 0"),
        ({"days": 1.5}, "days 1.5: expected a whole number"),
        ({"days": True}, "days True: expected a whole number"),
        ({"days": 1, "hour": 24}, "hour 24: must be from 0 to 23"),
        ({"days": 1, "start_date": "2026-02-02", "end_date": "2026-02-01"}, "is before start_date"),
        ({"days": 1, "start_date": "2026-02-30"}, "start_date: '2026-02-30'"),
    ],
)
def test_a_calendar_interval_that_cannot_work_is_refused(fields, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        CalendarIntervalTrigger(**fields, timezone="UTC")


@settings(max_examples=150)
@given(
    years=st.integers(0, 2), months=st.integers(0, 14), weeks=st.integers(0, 3), days=st.integers(0, 40),
    start=st.dates(date(1999, 1, 1), date(2030, 1, 1)), hour=st.integers(0, 23),
)  # fmt: skip
def test_apscheduler_gives_the_same_calendar_dates(years, months, weeks, days, start, hour):
    if not (years or months or weeks or days):
        days = 1
    fields = {"years": years, "months": months, "weeks": weeks, "days": days, "start_date": start, "hour": hour}
    ours, theirs = (
        CalendarIntervalTrigger(**fields, timezone="UTC"),
        TheirCalendarIntervalTrigger(**fields, timezone="UTC"),
    )
    previous, at = None, to_ms(datetime(1990, 1, 1, tzinfo=UTC))
    for _ in range(12):
        previous = theirs.get_next_fire_time(previous, datetime(1990, 1, 1, tzinfo=UTC))
        assert ours.next_ms((at + to_ms(previous)) // 2 if previous else at) == to_ms(previous)
        assert ours.next_ms(at) == to_ms(previous)
        at = to_ms(previous)
    assert trigger_from_fields(trigger_fields(ours)) == ours
    assert ours.last_ms(ours.next_ms(0), at + 1) == at


# combinations


def test_or_gives_each_member_its_own_phase():
    trigger = OrTrigger([every(10, at=3000), every(15, at=5000)])
    found, at = [], 0
    for _ in range(6):
        at = trigger.next_ms(at)
        found.append(at)
    assert found == [3000, 5000, 13_000, 20_000, 23_000, 33_000]
    assert OrTrigger([DateTrigger("1970-01-01", timezone="UTC"), every(10)]).next_ms(5) == 10_000
    assert OrTrigger([DateTrigger("1970-01-01", timezone="UTC")]).next_ms(5) is None


def test_and_gives_what_all_members_agree_on():
    trigger = AndTrigger(
        [CronTrigger(hour=9, timezone="UTC"), CronTrigger(day_of_week="mon", hour="*", timezone="UTC")]
    )
    assert [t[:16] for t in wall_times(trigger, "2026-11-22", 2)] == ["2026-11-23 09:00", "2026-11-30 09:00"]
    assert AndTrigger([every(6), every(4), every(9)]).next_ms(1) == 36_000
    over = AndTrigger([every(6), DateTrigger("1970-01-01 00:00:12", timezone="UTC")])
    assert (over.next_ms(0), over.next_ms(12_000)) == (12_000, None)


def test_members_that_never_meet_are_not_followed_for_ever():
    began = time.process_time()
    assert AndTrigger([every(10, at=0), every(10, at=5000)]).next_ms(0) is None
    assert AndTrigger([CronTrigger(minute=1, timezone="UTC"), CronTrigger(minute=2, timezone="UTC")]).next_ms(0) is None
    assert AndTrigger([every(60, at=1), CronTrigger(minute="*", timezone="UTC")]).next_ms(0) is None
    assert time.process_time() - began < 2


WEEKENDS = {"day_of_week": "sat,sun"}
WEDNESDAY = to_ms(datetime(2026, 11, 25, 16, 24, 29, 457_000, tzinfo=UTC))


@pytest.mark.parametrize(
    ("interval", "cron", "zone", "expected"),
    [
        ({"hours": 2}, WEEKENDS, "UTC", ["2026-11-28 00:00:00 +0000", "2026-11-29 00:00:00 +0000"]),
        ({"hours": 2}, {**WEEKENDS, "hour": "*"}, "Asia/Kolkata",
         ["2026-11-28 00:00:00 +0530", "2026-11-28 02:00:00 +0530"]),
        ({"seconds": 10}, {"second": "*/15"}, "UTC", ["2026-11-25 16:24:30 +0000", "2026-11-25 16:25:00 +0000"]),
        ({"seconds": 0.5}, {"second": 7}, "UTC", ["2026-11-25 16:25:07 +0000", "2026-11-25 16:26:07 +0000"]),
    ],
)  # fmt: skip
def test_an_interval_among_others_is_counted_from_midnight_and_meets_them(interval, cron, zone, expected):
    written = AndTrigger([IntervalTrigger(**interval, timezone="Asia/Tokyo"), CronTrigger(**cron, timezone=zone)])
    trigger, due = written.begun(WEDNESDAY)
    assert due == trigger.next_ms(WEDNESDAY - 1) == to_ms(datetime.fromisoformat(expected[0]))
    assert wall_times(AndTrigger(trigger.triggers[::-1]), "2026-11-25 16:24:29", 2) == expected
    assert trigger_from_fields(trigger_fields(trigger)) == trigger
    assert trigger.same_schedule(written)
    assert trigger.begun(WEDNESDAY + 12_345_678)[0] == trigger, "its phase is set for good"
    assert trigger.anchored(WEDNESDAY) is trigger


def test_intervals_deeper_inside_are_counted_from_midnight_too():
    either = OrTrigger([every(10), every(7)])
    assert AndTrigger([either, CronTrigger(second=20, timezone="UTC")]).begun(WEDNESDAY)[1] == WEDNESDAY + 50_543
    hourly = AndTrigger([IntervalTrigger(hours=2, start_date="2026-11-25 01:30", timezone="UTC"), every(60)])
    assert hourly.begun(WEDNESDAY)[1] == to_ms(datetime(2026, 11, 25, 17, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "members",
    [
        [every(10, at=0), every(10, at=5000)],
        [CronTrigger(minute=1, timezone="UTC"), CronTrigger(minute=2, timezone="UTC")],
        [every(60, at=1), CronTrigger(minute="*", timezone="UTC")],
        [IntervalTrigger(hours=7, start_date="2026-11-25 00:01Z"), CronTrigger(hour="*", timezone="UTC")],
        [DateTrigger("2027-01-01 00:00:01", timezone="UTC"), CronTrigger(minute="*", timezone="UTC")],
    ],
)
def test_members_that_never_meet_are_refused_when_they_begin(members):
    with pytest.raises(InvalidTriggerError, match="never due at the same time"):
        AndTrigger(members).begun(WEDNESDAY)


def test_members_that_have_ended_have_just_ended():
    past = DateTrigger("2026-01-01", timezone="UTC")
    assert AndTrigger([past, CronTrigger(minute="*", timezone="UTC")]).begun(WEDNESDAY)[1] is None
    assert AndTrigger([DateTrigger(timezone="UTC")]).begun(WEDNESDAY)[1] == WEDNESDAY


def test_a_date_among_alternatives_keeps_its_day():
    trigger = OrTrigger([DateTrigger("1970-01-01 00:00:05", timezone="UTC"), every(10)]).anchored(3000)
    assert [trigger.next_ms(after) for after in (0, 3000, 5000)] == [3000, 5000, 13_000]


@given(
    periods=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 100)), min_size=1, max_size=3),
    after=st.integers(-500, 500),
)
def test_intervals_meet_where_trying_every_millisecond_finds_it(periods, after):
    trigger = AndTrigger([every(period / 1000, at=phase) for period, phase in periods])
    repeat = lcm(*(period for period, _ in periods))
    tried = (
        t for t in range(after + 1, after + repeat + 1) if all((t - phase) % period == 0 for period, phase in periods)
    )
    assert trigger.next_ms(after) == next(tried, None)


def test_anchors_and_comparisons_go_down_to_the_members():
    trigger = OrTrigger([every(10), CronTrigger(minute=1, timezone="UTC")])
    anchored = trigger.anchored(3000)
    assert anchored.next_ms(0) == 3000
    assert anchored.same_schedule(trigger)
    assert anchored != trigger
    assert not trigger.same_schedule(OrTrigger([every(11), CronTrigger(minute=1, timezone="UTC")]))
    nested = AndTrigger([OrTrigger([every(10, at=5)]), every(5)], jitter=2)
    assert trigger_from_fields(trigger_fields(nested)) == nested


def test_combinations_refuse_what_is_not_a_trigger():
    for members in ([], ["interval"], None, "cron", [None]):
        with pytest.raises(InvalidTriggerError, match="triggers"):
            OrTrigger(members)


def test_combinations_read_like_apscheduler():
    ours, theirs = AndTrigger([every(10)], jitter=5), TheirAndTrigger([TheirIntervalTrigger(seconds=10)], jitter=5)
    assert str(ours) == str(theirs) == "and[interval[0:00:10]]"
    assert repr(ours).startswith("<AndTrigger([<IntervalTrigger (")
    assert repr(ours).endswith(", jitter=5)>")


def test_a_combination_has_the_largest_jitter_of_its_members_unless_it_has_its_own():
    members = [IntervalTrigger(seconds=60, jitter=3, timezone="UTC"), IntervalTrigger(seconds=60, timezone="UTC")]
    assert OrTrigger(members).jitter_ms == 3000
    assert OrTrigger(members, jitter=1).jitter_ms == 1000


# jitter


def jittered(trigger, jitter_ms, key, start, count):
    found = []
    for _ in range(count):
        start = jittered_next(trigger, jitter_ms, key, start)
        if start is None:
            break
        found.append(start)
    return found


def test_jitter_does_not_accumulate():
    found = jittered(every(60), 30_000, "job", 30_000, 1000)
    assert all(0 <= at - 60_000 * n <= 30_000 for n, at in enumerate(found, 1))
    assert len({at % 60_000 for at in found}) > 500
    assert found != jittered(every(60), 30_000, "other", 30_000, 1000)


@given(
    period=st.integers(1, 50), jitter=st.integers(0, 400), start=st.integers(-1000, 1000), until=st.integers(0, 1500),
    end=st.none() | st.integers(0, 2000),
)  # fmt: skip
def test_jitter_keeps_order_and_number_even_beyond_the_period(period, jitter, start, until, end):
    bounds = {} if end is None else {"end_date": end / 1000}
    trigger = IntervalTrigger(seconds=period / 1000, timezone="UTC", **bounds)
    found = jittered(trigger, jitter, "job", start, 30)
    nominals = [trigger.last_ms(-2000, at) for at in found]
    assert found == sorted(set(found))
    assert all(b - a == period for a, b in pairwise(nominals))
    for one, other in pairwise(found):
        assert {jittered_next(trigger, jitter, "job", at) for at in range(one, other)} == {other}
    if found:
        expected = [at for at in jittered(trigger, jitter, "job", found[0] - 1, 2000) if at <= found[0] + until][-1]
        assert jittered_last(trigger, jitter, "job", found[0], found[0] + until) == expected


def test_jitter_costs_a_few_questions():
    questions = 0

    class Counting(CronTrigger):
        def next_ms(self, after):
            nonlocal questions
            questions += 1
            return super().next_ms(after)

    trigger = Counting(hour=5, timezone="UTC")
    for after in range(0, 10**9, 10**7):
        questions = 0
        jittered_next(trigger, 60_000, "job", after)
        assert questions <= 4


# storage


def test_all_triggers_survive_pickling_and_copying():
    for trigger in (
        DateTrigger("2026-01-01", timezone="UTC"),
        every(5, at=3),
        CronTrigger(hour=5, timezone="Asia/Tokyo"),
        CronTrigger.from_crontab("0 5 * * *", timezone="Asia/Tokyo"),
        CalendarIntervalTrigger(months=2, start_date="2026-01-31", timezone="UTC"),
        OrTrigger([every(5), CronTrigger(minute=3, timezone="UTC")]),
    ):
        for again in (pickle.loads(pickle.dumps(trigger)), copy.deepcopy(trigger), eval_json(trigger)):
            assert again == trigger
            assert repr(again) == repr(trigger)
            assert again.next_ms(10**12) == trigger.next_ms(10**12)


def eval_json(trigger):
    """Through fields whose datetimes came back as ISO text."""

    def text(value):
        if isinstance(value, dict):
            return {key: text(each) for key, each in value.items()}
        if isinstance(value, list):
            return [text(each) for each in value]
        return value.isoformat() if isinstance(value, datetime) else value

    return trigger_from_fields(text(trigger_fields(trigger)))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "intervall", "seconds": 5}, "'intervall' is unknown; did you mean 'interval'"),
        ({"type": "zzz"}, "there are and, calendarinterval, cron"),
        ({"seconds": 5}, "the key 'type'"),
        (None, "the key 'type'"),
        ({"type": "interval", "second": 5}, "interval trigger: .*'second'"),
        ({"type": "cron", "hours": 5}, "cron trigger: .*'hours'"),
        ({"type": "or", "triggers": [{"type": "cron", "hour": 25}]}, "hour '25'"),
        ({"type": "or", "triggers": [5]}, "the key 'type'"),
    ],
)
def test_fields_that_describe_no_trigger_are_refused(fields, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        trigger_from_fields(fields)


def test_types_of_others_are_found_by_entry_point(monkeypatch):
    class Never(BaseTrigger):
        alias = "never"

        def next_ms(self, after):
            return None

        def to_fields(self):
            return {}

    class Plugin:
        name, value = "never", "somewhere:Never"

        def __init__(self, found):
            self.found = found

        def load(self):
            if self.found is None:
                raise ImportError("no module named somewhere")
            return self.found

    monkeypatch.setattr(registry, "_plugins", lambda: {"never": Plugin(Never)})
    assert trigger_from_fields(trigger_fields(Never())) == Never()
    for broken, reason in ((None, "cannot be loaded: no module"), (dict, "is not a BaseTrigger")):
        monkeypatch.setattr(registry, "_plugins", lambda broken=broken: {"never": Plugin(broken)})
        with pytest.raises(InvalidTriggerError, match=reason):
            trigger_from_fields({"type": "never"})


def test_apscheduler_questions_are_answered():
    trigger = every(10)
    now = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
    assert trigger.get_next_fire_time(None, now) == now
    assert trigger.get_next_fire_time(now, now) == now + timedelta(seconds=10)
    assert trigger.get_next_fire_time(None, now + timedelta(microseconds=1)) == now + timedelta(seconds=10)
    assert instants(trigger, now, now + timedelta(seconds=20)) == [now + timedelta(seconds=n) for n in (10, 20)]


# -- triggers that cost -----------------------------------------------------------------------------------------------


class Counting(BaseTrigger):
    """Due each day at an hour of its own, in UTC; counts how often it is asked."""

    alias = "counting"
    asked: ClassVar[int] = 0

    def __init__(self, hour, days=1):
        self.hour, self.days = hour, days

    def next_ms(self, after):
        type(self).asked += 1
        period, phase = self.days * 86_400_000, self.hour * 3_600_000
        return after + period - (after - phase) % period

    def to_fields(self):
        return {"hour": self.hour}


@pytest.fixture
def asked():
    Counting.asked = 0
    return lambda: Counting.asked


def never(days=1):
    return AndTrigger([Counting(1, days), Counting(2, days)])


@pytest.mark.parametrize("days", [1, 30, 365])
@pytest.mark.parametrize(
    "make",
    [
        lambda member: OrTrigger([member() for _ in range(33)]),
        lambda member: AndTrigger([AndTrigger([member(), Counting(3)]), member()]),
        lambda member: OrTrigger([AndTrigger([OrTrigger([member(), Counting(3)]), Counting(4)]), member()]),
    ],
)
def test_members_that_never_meet_cost_a_bounded_number_of_steps_however_many_they_are(asked, make, days):
    trigger = make(lambda: never(days))
    trigger.next_ms(0)
    assert asked() <= MAX_ATTEMPTS + 2 * trigger.size
    before = asked()
    trigger.last_ms(0, 10**13)
    assert asked() - before <= 3 * (MAX_ATTEMPTS + trigger.size)


def test_long_searches_count_for_more_than_short_ones(asked):
    never(365).next_ms(0)
    assert asked() < 500


def test_members_beside_those_that_never_meet_are_due_as_ever():
    assert OrTrigger([*(never() for _ in range(20)), Counting(5)]).next_ms(0) == 5 * 3_600_000


def test_a_common_instant_that_is_years_away_is_found():
    leap_day = CronTrigger(month=2, day=29, timezone="UTC")
    monday = CronTrigger(day_of_week="mon", timezone="UTC")
    found = AndTrigger([leap_day, monday]).next_after(datetime(2024, 3, 1, tzinfo=UTC))
    assert found == datetime(2044, 2, 29, tzinfo=UTC)
    far = DateTrigger("2150-01-01 00:00", timezone="UTC")
    assert AndTrigger([far, CronTrigger(hour=0, timezone="UTC")]).next_ms(0) == far.next_ms(0)


@pytest.mark.parametrize("kind", ["and", "or"])
def test_a_trigger_with_too_many_members_is_refused_before_any_is_made(kind, monkeypatch):
    interval = {"type": "interval", "seconds": 1, "timezone": "UTC"}
    monkeypatch.setattr("gsched.triggers.combining.trigger_from_fields", lambda _: pytest.fail("one was made"))
    wide = {"type": kind, "triggers": [interval] * 101}
    deep = interval
    for _ in range(101):
        deep = {"type": kind, "triggers": [deep]}
    nested = {"type": kind, "triggers": [{"type": kind, "triggers": [interval] * 30}] * 10}
    for fields in (wide, deep, nested):
        with pytest.raises(InvalidTriggerError, match="at most 100 in all"):
            trigger_from_fields(fields)


def test_a_trigger_of_more_than_100_objects_is_refused():
    hundred = OrTrigger([IntervalTrigger(seconds=1)] * 100)
    with pytest.raises(InvalidTriggerError, match="at most 100 in all"):
        OrTrigger([hundred])


@pytest.mark.parametrize(
    "fields", [{"minute": "0," * 500 + "0"}, {"day": "last," * 300 + "1"}, {"crontab": "0," * 3000 + "0 * * * *"}]
)
def test_a_cron_field_that_is_longer_than_any_list_needs_is_refused(fields):
    with pytest.raises(InvalidTriggerError, match="characters"):
        trigger_from_fields({"type": "cron", "timezone": "UTC", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "interval", "seconds": 1, "x": [1] * 6_000},
        {"type": "interval", "seconds": 1, "x": [{"a": [{"b": 1}]}] * 2_000},
        {"type": "interval", **{f"x{number}": 1 for number in range(6_000)}},
        {"type": "or", "triggers": {str(number): {} for number in range(6_000)}},
        {"type": "x" * 200_000},
        {"type": "cron", "timezone": "x" * 200_000},
        {"type": "interval", "x" * 200_000: 1},
        [1] * 6_000,
    ],
)
def test_a_stored_trigger_that_is_larger_than_any_needs_is_not_read(fields, monkeypatch):
    monkeypatch.setattr("gsched.jobs.document.trigger_from_fields", lambda _: pytest.fail("it was read"))
    monkeypatch.setattr("gsched.jobs.document._triggers", {})
    job = DocumentReader(AllowedFunctions(), "default").read({"id": "a", "func": "a:b", "trigger": fields})
    assert "trigger: expected at most 5000 values and 100000 characters" in job.parked
