"""Cron fields by APScheduler's grammar."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from apscheduler.triggers.cron import CronTrigger as TheirCronTrigger
from hypothesis import given, settings, strategies as st
from trigger_oracles import wall_times

from gsched.errors import InvalidTriggerError
from gsched.times.instants import MAX_MS, to_ms
from gsched.triggers import CalendarIntervalTrigger, CronTrigger, trigger_fields, trigger_from_fields
from gsched.triggers.base import checked_last, checked_next

NOW = to_ms(datetime(2026, 11, 22, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("fields", "named", "reason"),
    [
        ({"day": "last-3"}, "day", "'last-3'"),
        ({"day": "last-3"}, "day", "not understood"),
        ({"day": "2nd fri-3"}, "day", "not understood"),
        ({"day": "2nd friday"}, "day", "'friday' is not one of mon, tue"),
        ({"day": "last tue wed"}, "day", "not understood"),
        ({"hour": "5-"}, "hour", "not understood"),
        ({"hour": "*/0"}, "hour", "step must be at least 1"),
        ({"hour": "24"}, "hour", "24 is above the highest hour, 23"),
        ({"hour": "*/24"}, "hour", "step 24 is larger than the range 0-23"),
        ({"day": 0}, "day", "0 is below the lowest day, 1"),
        ({"minute": "30-10"}, "minute", "the range 30-10 is reversed"),
        ({"day_of_week": "fri-mon"}, "day_of_week", "the range fri-mon is reversed"),
        ({"day_of_week": "7"}, "day_of_week", "above the highest"),
        ({"month": "january"}, "month", "'january' is not one of jan"),
        ({"month": "may-augx"}, "month", "augx"),
        ({"minute": ""}, "minute", "empty"),
        ({"minute": "1,,2"}, "minute", "empty"),
        ({"minute": "1;2"}, "minute", "not understood"),
        ({"minute": True}, "minute", "expected text or a whole number"),
        ({"minute": 1.5}, "minute", "expected text or a whole number"),
        ({"minute": [1]}, "minute", "expected text or a whole number"),
        ({"minute": "٣"}, "minute", "not understood"),
        ({"second": "last"}, "second", "not understood"),
        ({"year": 1969}, "year", "below the lowest year, 1970"),
    ],
)
def test_an_expression_that_is_not_wholly_understood_is_refused(fields, named, reason):
    with pytest.raises(InvalidTriggerError) as caught:
        CronTrigger(**fields, timezone="UTC")
    message = str(caught.value)
    assert named in message
    assert repr(fields[named]) in message or str(fields[named]) in message
    assert reason in message


def test_a_step_over_weekday_names_is_not_swallowed():
    times = wall_times(CronTrigger(day_of_week="mon-fri/2", timezone="UTC"), "2026-11-22", 4)
    assert [time[:10] for time in times] == ["2026-11-23", "2026-11-25", "2026-11-27", "2026-11-30"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"day": "last"}, ["2026-11-30", "2026-12-31", "2027-01-31"]),
        ({"day": "2nd fri"}, ["2026-12-11", "2027-01-08", "2027-02-12"]),
        ({"day": "last sun"}, ["2026-11-29", "2026-12-27", "2027-01-31"]),
        ({"day": "5th mon"}, ["2026-11-30", "2027-03-29", "2027-05-31"]),
        ({"day": "1,last Fri"}, ["2026-11-27", "2026-12-01", "2026-12-25"]),
        ({"week": 53}, ["2026-12-28", "2026-12-29", "2026-12-30"]),
        ({"month": "FEB", "day": 29}, ["2028-02-29", "2032-02-29", "2036-02-29"]),
        ({"year": "2030-2032"}, ["2030-01-01", "2031-01-01", "2032-01-01"]),
        ({"day": 13, "day_of_week": "fri"}, ["2027-08-13", "2028-10-13", "2029-04-13"]),
        ({"day": "30/1"}, ["2026-11-30", "2026-12-30", "2026-12-31"]),
    ],
)
def test_days_are_found(fields, expected):
    assert [time[:10] for time in wall_times(CronTrigger(**fields, timezone="UTC"), "2026-11-22", 3)] == expected


def test_iso_weeks_are_those_of_the_calendar_in_every_kind_of_year():
    for week in (1, 52, 53):
        at, found = 0, []
        trigger = CronTrigger(week=week, hour=0, timezone="UTC")
        while (at := trigger.next_ms(at)) < 400 * 366 * 86_400_000:
            found.append(at // 86_400_000)
        epoch = datetime(1970, 1, 1)
        assert found == [n for n in range(1, 400 * 366) if (epoch + timedelta(days=n)).isocalendar()[1] == week]


def test_fields_left_of_the_last_given_one_are_free_and_those_right_of_it_at_their_minimum():
    assert wall_times(CronTrigger(minute=5, timezone="UTC"), "2026-11-22", 2) == [
        "2026-11-22 00:05:00 +0000",
        "2026-11-22 01:05:00 +0000",
    ]
    assert wall_times(CronTrigger(month=3, timezone="UTC"), "2026-11-22", 1) == ["2027-03-01 00:00:00 +0000"]
    assert wall_times(CronTrigger(timezone="UTC"), "2026-11-22", 1) == ["2026-11-22 00:00:01 +0000"]


@pytest.mark.parametrize(
    "fields",
    [{"month": 2, "day": 30}, {"week": 53, "month": 6}, {"day": 31, "month": "2,4,6"}, {"year": "1970-1999"},
     {"week": 1, "day": 20}, {"month": 2, "day": "5th mon", "year": "2026-2040"}],
)  # fmt: skip
def test_an_impossible_schedule_is_not_searched_for_to_the_end_of_time(fields):
    trigger = CronTrigger(**fields, timezone="Europe/Berlin")
    began = time.process_time()
    assert trigger.next_ms(NOW) is None
    assert time.process_time() - began < 1  # a walk takes many seconds


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Etc/GMT+12"])
def test_the_edges_of_time_raise_nothing(zone):
    for fields in ({"second": "*"}, {"month": 12, "day": 31}, {"hour": 23}, {"year": 9999}, {"year": 1970}):
        trigger = CronTrigger(**fields, timezone=zone)
        for after in (-(10**15), -1, 0, 253_402_300_799_999 - 86_400_000, 253_402_300_799_998, 10**15):
            found = trigger.next_ms(after)
            assert found is None or after < found <= MAX_MS
            trigger.next_ms(253_402_214_400_000)
        assert trigger.next_ms(MAX_MS) is None


@pytest.mark.parametrize(
    "trigger",
    [
        CronTrigger.from_crontab("30 22 * * *", "America/New_York"),
        CronTrigger(hour=22, timezone="America/New_York", jitter=90),
        CalendarIntervalTrigger(days=1, hour=22, timezone="America/New_York"),
        CalendarIntervalTrigger(days=1, hour=22, timezone="Pacific/Kiritimati"),
    ],
)
def test_an_endless_trigger_west_of_utc_has_a_last_instant_within_the_year_9999(trigger):
    last = checked_last(trigger, to_ms(datetime(2026, 11, 30, tzinfo=UTC)), MAX_MS)
    assert MAX_MS - 3 * 86_400_000 < last <= MAX_MS
    assert checked_next(trigger, MAX_MS - 1) is None


def test_start_and_end_are_inclusive():
    bounds = {"start_date": "2026-11-23 10:00:00", "end_date": "2026-11-23 12:00:00", "timezone": "UTC"}
    times = wall_times(CronTrigger(hour="*", **bounds), "2026-01-01", 9)
    assert [time[11:16] for time in times] == ["10:00", "11:00", "12:00"]
    late = CronTrigger(hour="*", start_date="2026-11-23 10:00:00.001", timezone="UTC")
    assert wall_times(late, "2026-01-01", 1)[0][11:16] == "11:00"


def test_an_end_before_the_start_is_refused():
    with pytest.raises(InvalidTriggerError, match=r"end_date 2026-01-01 .* is before start_date 2026-01-02"):
        CronTrigger(hour=1, start_date="2026-01-02", end_date="2026-01-01", timezone="UTC")


FIELDS = {
    "month": (1, 12), "day": (1, 31), "week": (1, 53), "day_of_week": (0, 6), "hour": (0, 23), "minute": (0, 59),
    "second": (0, 59),
}  # fmt: skip


@st.composite
def expressions(draw, low, high):
    kind = draw(st.sampled_from(["*", "*", "*/", "a", "a", "a-b", "a-b/c", "list"]))
    first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    if kind == "a-b/c" and last - first < 1:
        kind = "a"
    return {
        "*": "*",
        "*/": f"*/{draw(st.integers(1, high - low))}",
        "a": str(first),
        "a-b": f"{first}-{last}",
        "a-b/c": f"{first}-{last}/{draw(st.integers(1, max(1, last - first)))}",
        "list": f"{last},{first}",
    }[kind]


@st.composite
def cron_fields(draw, names=tuple(FIELDS)):
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    fields = {name: draw(expressions(*FIELDS[name])) for name in chosen}
    if "day" in fields and draw(st.booleans()):
        fields["day"] = draw(st.sampled_from(["last", "1st mon", "last sun", "5th wed", "2nd fri,last"]))
    return fields


moments = st.datetimes(datetime(2020, 1, 1), datetime(2032, 1, 1))


@settings(max_examples=200)
@given(fields=cron_fields(names=("month", "day", "day_of_week", "hour", "minute", "second")), moment=moments)
def test_apscheduler_says_the_same_where_clocks_never_change(fields, moment):
    zone, start = timezone(timedelta(hours=8)), moment.replace(tzinfo=timezone(timedelta(hours=8)))
    ours = CronTrigger(**fields, timezone=zone)
    theirs = TheirCronTrigger(**fields, timezone=zone, end_date=start + timedelta(days=400))
    expected = theirs.get_next_fire_time(None, start)
    found = ours.get_next_fire_time(None, start)
    assert found == expected or (expected is None and (found is None or found > start + timedelta(days=400)))
    assert str(ours) == str(theirs)


@settings(max_examples=150)
@given(fields=cron_fields(), moment=moments, zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Havana"]))
def test_times_increase_and_are_pure_and_survive_storage(fields, moment, zone):
    trigger = CronTrigger(**fields, timezone=zone)
    copy = trigger_from_fields(trigger_fields(trigger))
    assert copy == trigger
    assert hash(copy) == hash(trigger)
    at = to_ms(moment.replace(tzinfo=UTC))
    for _ in range(5):
        following = trigger.next_ms(at)
        assert following == copy.next_ms(at) == CronTrigger(**fields, timezone=zone).next_ms(at)
        if following is None:
            break
        assert following > at
        assert trigger.next_ms(following - 1) == following
        assert trigger.next_ms((at + following) // 2) == following
        at = following


@settings(max_examples=60)
@given(fields=cron_fields(names=("day_of_week", "hour", "minute")), moment=moments, hours=st.integers(1, 60))
def test_the_last_time_is_the_one_that_listing_all_gives(fields, moment, hours):
    trigger = CronTrigger(**fields, timezone="Europe/Berlin", second=0)
    first = trigger.next_ms(to_ms(moment.replace(tzinfo=UTC)))
    if first is None:
        return
    until = first + hours * 3_600_000
    expected = first
    while (following := trigger.next_ms(expected)) is not None and following <= until:
        expected = following
    assert trigger.last_ms(first, until) == expected


def test_a_cron_trigger_reads_like_apschedulers():
    fields = {"day_of_week": "mon-fri", "hour": 5, "minute": 30, "start_date": "2026-01-01", "jitter": 5}
    ours = CronTrigger(**fields, timezone="Asia/Shanghai")
    theirs = TheirCronTrigger(**fields, timezone="Asia/Shanghai")
    assert str(ours) == str(theirs) == "cron[day_of_week='mon-fri', hour='5', minute='30']"
    assert repr(ours) == repr(theirs)


def test_triggers_with_equal_fields_share_their_schedule():
    one, other = (CronTrigger(hour="5,7", minute=3, timezone=zone) for zone in ("UTC", "Asia/Tokyo"))
    assert one._schedule is other._schedule
