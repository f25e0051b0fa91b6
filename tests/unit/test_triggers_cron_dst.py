"""Cron and clock changes: the bugs of others, then all zones against trying every minute."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st
from trigger_oracles import Spec, brute_force, instants, minutes_between, wall_times, zones_with_transitions

from gsched.triggers import CronTrigger

NEW_YORK = "America/New_York"


def test_midnight_after_a_spring_change_is_not_lost():
    assert wall_times(CronTrigger(hour=0, timezone=NEW_YORK), "2026-03-06 12:00", 4) == [
        "2026-03-07 00:00:00 -0500",
        "2026-03-08 00:00:00 -0500",
        "2026-03-09 00:00:00 -0400",
        "2026-03-10 00:00:00 -0400",
    ]


def test_a_monthly_job_does_not_lose_april_in_berlin():
    assert wall_times(CronTrigger(day=1, timezone="Europe/Berlin"), "2026-02-15", 3) == [
        "2026-03-01 00:00:00 +0100",
        "2026-04-01 00:00:00 +0200",
        "2026-05-01 00:00:00 +0200",
    ]


@pytest.mark.parametrize(
    ("zone", "start", "expected"),
    [
        ("America/Havana", "2026-03-07 12:00", "2026-03-08 01:00:00 -0400"),
        ("Asia/Beirut", "2026-03-28 12:00", "2026-03-29 01:00:00 +0300"),
        ("Africa/Cairo", "2026-04-23 12:00", "2026-04-24 01:00:00 +0300"),
        ("America/Santiago", "2026-09-05 12:00", "2026-09-06 01:00:00 -0300"),
    ],
)
def test_midnight_that_does_not_exist_runs_once_after_the_gap(zone, start, expected):
    for trigger in (CronTrigger(hour=0, timezone=zone), CronTrigger.from_crontab("@daily", timezone=zone)):
        times = wall_times(trigger, start, 2)
        assert times[0] == expected
        assert " 00:00:00 " in times[1]


def test_a_time_in_the_gap_runs_as_an_instant_that_exists():
    times = wall_times(CronTrigger(hour=2, minute=30, timezone=NEW_YORK), "2026-03-07 03:00", 2)
    assert times == ["2026-03-08 03:00:00 -0400", "2026-03-09 02:30:00 -0400"]


def test_several_times_in_one_gap_are_one_instant():
    trigger = CronTrigger(hour=2, minute="0,15,45", timezone=NEW_YORK)
    assert wall_times(trigger, "2026-03-07 03:00", 2) == ["2026-03-08 03:00:00 -0400", "2026-03-09 02:00:00 -0400"]


def test_a_time_in_the_gap_and_one_right_after_it_are_one_instant():
    trigger = CronTrigger(hour="2,3", timezone=NEW_YORK)
    assert wall_times(trigger, "2026-03-07 12:00", 2) == ["2026-03-08 03:00:00 -0400", "2026-03-09 02:00:00 -0400"]


def test_an_hourly_job_goes_on_by_elapsed_time_over_a_gap():
    assert wall_times(CronTrigger(minute=30, timezone=NEW_YORK), "2026-03-08 00:45", 2) == [
        "2026-03-08 01:30:00 -0500",
        "2026-03-08 03:30:00 -0400",
    ]


def test_wildcard_minutes_of_an_hour_in_the_gap_run_once():
    trigger = CronTrigger(hour=2, minute="*/15", timezone=NEW_YORK)
    assert wall_times(trigger, "2026-03-07 03:00", 2) == ["2026-03-08 03:00:00 -0400", "2026-03-09 02:00:00 -0400"]


def test_a_fixed_time_that_exists_twice_runs_the_first_time():
    assert wall_times(CronTrigger(hour=1, minute=30, timezone=NEW_YORK), "2026-10-31 12:00", 2) == [
        "2026-11-01 01:30:00 -0400",
        "2026-11-02 01:30:00 -0500",
    ]


@pytest.mark.parametrize("fields", [{"hour": 1, "minute": "*/30"}, {"hour": "*/1", "minute": "0,30"}])
def test_wildcards_run_both_times(fields):
    times = wall_times(CronTrigger(**fields, timezone=NEW_YORK), "2026-11-01 00:45", 4)
    assert times == [
        "2026-11-01 01:00:00 -0400",
        "2026-11-01 01:30:00 -0400",
        "2026-11-01 01:00:00 -0500",
        "2026-11-01 01:30:00 -0500",
    ]


def test_the_last_wildcard_time_is_found_in_the_repeated_hour():
    trigger = CronTrigger(year=2026, month=11, day=1, hour=1, minute="*", timezone=NEW_YORK)
    assert wall_times(trigger, "2026-11-01 01:59", 1) == ["2026-11-01 01:00:00 -0500"]
    assert len(instants(trigger, datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))) == 120


def test_a_skipped_day_runs_at_the_first_instant_after_it():
    assert wall_times(CronTrigger(hour=12, timezone="Pacific/Apia"), "2011-12-29 00:00", 3) == [
        "2011-12-29 12:00:00 -1000",
        "2011-12-31 00:00:00 +1400",
        "2011-12-31 12:00:00 +1400",
    ]


def test_half_an_hour_of_summer_time_is_handled_like_an_hour():
    trigger = CronTrigger(hour=2, minute=10, timezone="Australia/Lord_Howe")
    assert wall_times(trigger, "2026-10-03 12:00", 2) == ["2026-10-04 02:30:00 +1100", "2026-10-05 02:10:00 +1100"]
    twice = CronTrigger(hour=1, minute=45, timezone="Australia/Lord_Howe")
    assert wall_times(twice, "2026-04-04 12:00", 2) == ["2026-04-05 01:45:00 +1100", "2026-04-06 01:45:00 +1030"]


def test_offsets_with_seconds_are_exact():
    trigger = CronTrigger(hour=0, minute=30, timezone="Africa/Monrovia")
    assert wall_times(trigger, "1972-01-05 12:00", 2) == ["1972-01-06 00:30:00 -004430", "1972-01-07 00:44:30 +0000"]


def test_bounds_in_the_repeated_hour_compare_as_instants():
    first, second = (datetime(2026, 11, 1, 1, 30, tzinfo=ZoneInfo(NEW_YORK), fold=fold) for fold in (0, 1))
    every_ten = {"minute": "*/10", "timezone": NEW_YORK}
    window = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    assert len(instants(CronTrigger(**every_ten, start_date=first, end_date=second), *window)) == 7
    assert instants(CronTrigger(**every_ten, start_date=second), *window)[0] == second.astimezone(UTC)
    assert instants(CronTrigger(**every_ten, end_date=first), *window)[-1] == first.astimezone(UTC)
    assert CronTrigger(**every_ten, start_date=first) != CronTrigger(**every_ten, start_date=second)


class SetBackAt(tzinfo):
    """Two hours east of UTC, one hour from `change` (seconds since the epoch) on."""

    def __init__(self, change):
        self.change = datetime.fromtimestamp(change, UTC).replace(tzinfo=None)

    def fromutc(self, moment):
        late = moment.replace(tzinfo=None) >= self.change
        return (moment + timedelta(hours=1 if late else 2)).replace(fold=late)

    def utcoffset(self, moment):
        shown = moment.replace(tzinfo=None) - self.change
        late = shown >= timedelta(hours=2) or (shown >= timedelta(hours=1) and moment.fold)
        return timedelta(hours=1 if late else 2)


@pytest.mark.parametrize("minutes", [0, 1, 20, 40, 60])
def test_a_repeated_hour_is_recognised_wherever_the_table_of_offsets_is_cut(minutes):
    cut = 426 << 22
    change = cut - minutes * 60
    shown = datetime.fromtimestamp(change, UTC) + timedelta(hours=1, minutes=30)
    schedule = CronTrigger(hour=shown.hour, minute=shown.minute, second=shown.second)._schedule
    zone = SetBackAt(change)
    assert schedule.next_instant(zone, change - 3600) == change - 1800
    for asked in range(change - 1799, change + 7200, 600):
        assert schedule.next_instant(zone, asked) > change + 80_000


SPECS = [
    Spec(hours={0}, minutes={0}, wildcard=False, text={"hour": 0}),
    Spec(hours={1, 2, 3}, minutes={10, 40}, wildcard=False, text={"hour": "1-3", "minute": "10,40"}),
    Spec(hours={0, 23}, minutes={59}, wildcard=False, text={"hour": "0,23", "minute": 59}),
    Spec(minutes={15}, text={"minute": 15}),
    Spec(hours={1, 2, 3, 23}, minutes=set(range(0, 60, 20)), text={"hour": "1-3,23", "minute": "*/20"}),
    Spec(hours=set(range(0, 24, 2)), minutes={30}, text={"hour": "*/2", "minute": 30}),
    Spec(hours=set(range(24)), minutes={5}, wildcard=False, text={"hour": "0-23", "minute": 5}),
]


@pytest.mark.parametrize(("name", "days"), zones_with_transitions(), ids=lambda value: str(value)[:30])
def test_every_zone_agrees_with_trying_every_minute(name, days):
    zone = ZoneInfo(name)
    for day in days:
        start, end = day - timedelta(hours=36), day + timedelta(hours=36)
        minutes = minutes_between(start, end, zone)
        for spec in SPECS:
            trigger = CronTrigger(**spec.text, timezone=zone)
            assert instants(trigger, start, end) == brute_force(spec, minutes), (spec.text, day)


ODD_CHANGES = [
    ("Pacific/Apia", datetime(2011, 12, 30, 12, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, tzinfo=UTC)),
    ("America/Nuuk", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, tzinfo=UTC)),
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC)),
]
CHANGES = [(name, day) for name, days in zones_with_transitions() for day in days] + ODD_CHANGES


@st.composite
def specs(draw):
    """A random schedule as text and as sets of values."""
    spec, limits = Spec(wildcard=False), {"hour": (0, 23), "minute": (0, 59), "day": (1, 31), "day_of_week": (0, 6)}
    sets = {}
    for name, (low, high) in limits.items():
        kind = draw(
            st.sampled_from(["*", "step", "list", "range"] if name in ("hour", "minute") else ["*", "*", "range"])
        )
        values, text = _draw_field(draw, kind, low, high)
        sets[name], spec.text[name] = values, text
        spec.wildcard |= text.startswith("*") and name in ("hour", "minute")
    spec.hours, spec.minutes, spec.days, spec.weekdays = (
        sets[name] for name in ("hour", "minute", "day", "day_of_week")
    )
    return spec


def _draw_field(draw, kind, low, high):
    if kind == "*":
        return None, "*"
    if kind == "step":
        step = draw(st.integers(1, high - low))
        return set(range(low, high + 1, step)), f"*/{step}"
    if kind == "list":
        values = draw(st.lists(st.integers(low, high), min_size=1, max_size=4))
        return set(values), ",".join(map(str, values))
    first, last = sorted((draw(st.integers(low, high)), draw(st.integers(low, high))))
    return set(range(first, last + 1)), f"{first}-{last}"


@settings(max_examples=150)
@given(spec=specs(), change=st.sampled_from(CHANGES), hours=st.integers(-30, 30))
def test_random_schedules_agree_with_trying_every_minute(spec, change, hours):
    name, day = change
    start = day + timedelta(hours=hours - 20)
    end = start + timedelta(hours=40)
    trigger = CronTrigger(**spec.text, timezone=name)
    # One minute more at the front, so that a gap that ends at the first minute is seen.
    expected = brute_force(spec, minutes_between(start - timedelta(minutes=1), end, ZoneInfo(name)))
    assert instants(trigger, start, end) == [instant for instant in expected if instant > start]
