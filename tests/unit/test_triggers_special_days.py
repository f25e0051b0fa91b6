"""L, W, # and ? in crontab lines and in the fields of CronTrigger."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st
from trigger_oracles import (
    Spec,
    brute_force,
    instants,
    minutes_between,
    special_days,
    wall_times,
    zones_with_transitions,
)

from gsched.errors import InvalidTriggerError
from gsched.triggers import CronTrigger, trigger_fields, trigger_from_fields

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def dates(trigger, count, start="2027-01-01"):
    return [time[5:10] for time in wall_times(trigger, start, count)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 9 15W * *", "01-15 02-15 03-15 04-15 05-14 06-15 07-15 08-16"),
        ("0 9 1W * *", "01-01 02-01 03-01 04-01 05-03 06-01 07-01 08-02"),
        ("0 9 31W * *", "01-29 03-31 05-31 07-30 08-31 10-29 12-31"),
        ("0 9 LW * *", "01-29 02-26 03-31 04-30 05-31 06-30 07-30"),
        ("0 9 L-3 * *", "01-28 02-25 03-28 04-27"),
        ("0 9 L-3W * *", "01-28 02-25 03-29 04-27"),
        ("0 9 L-30 * *", "01-01 03-01 05-01 07-01"),
        ("0 9 L * *", "01-31 02-28 03-31 04-30"),
        ("0 9 1,15,L * *", "01-01 01-15 01-31 02-01"),
        ("0 9 * * 5#2", "01-08 02-12 03-12"),
        ("0 9 * * 5#5", "01-29 04-30 07-30 10-29 12-31"),
        ("0 9 * * 5L", "01-29 02-26 03-26"),
        ("0 9 * * 7L", "01-31 02-28 03-28"),
        ("0 9 * * 0#1,sat#1", "01-02 01-03 02-06 02-07"),
        ("0 9 * * mon,friL", "01-04 01-11 01-18 01-25 01-29"),
        ("0 9 13 * 5#2", "01-08 01-13 02-12 02-13"),
        ("0 9 L * 5", "01-01 01-08 01-15 01-22 01-29 01-31"),
        ("0 9 ? * fri#2", "01-08 02-12 03-12"),
        ("0 9 L * ?", "01-31 02-28 03-31"),
        ("0 9 * * 5#2,4L", "01-08 01-28 02-12 02-25"),
    ],
)
def test_a_line_is_due_on_these_days_of_2027(line, expected):
    assert dates(CronTrigger.from_crontab(line, "UTC"), len(expected.split())) == expected.split()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"day": "15W"}, "01-15 02-15 03-15 04-15 05-14"),
        ({"day": "lw"}, "01-29 02-26 03-31"),
        ({"day": "L-3"}, "01-28 02-25 03-28"),
        ({"day": "1, L"}, "01-01 01-31 02-01"),
        ({"day": "last"}, "01-31 02-28 03-31"),
        ({"day": "last fri"}, "01-29 02-26 03-26"),
        ({"day_of_week": "friL"}, "01-29 02-26 03-26"),
        ({"day_of_week": "4#2"}, "01-08 02-12 03-12"),  # 0 is Monday, as everywhere in the fields
        ({"day_of_week": "fri#2", "day": "?"}, "01-08 02-12 03-12"),
        ({"day_of_week": "fri#2", "day": "8-10"}, "01-08 04-09 07-09"),  # both must fit
        ({"day": "L", "day_of_week": "?"}, "01-31 02-28 03-31"),
    ],
)
def test_fields_are_due_on_these_days_of_2027(fields, expected):
    assert dates(CronTrigger(**fields, hour=9, timezone="UTC"), len(expected.split())) == expected.split()


def test_leap_years_and_the_end_of_the_year_are_as_in_the_calendar():
    leap = CronTrigger.from_crontab("0 9 L 2 *", "UTC")
    assert [time[:10] for time in wall_times(leap, "2027-01-01", 3)] == ["2027-02-28", "2028-02-29", "2029-02-28"]
    leap_only = CronTrigger.from_crontab("0 9 L-28 2 *", "UTC")
    assert [time[:10] for time in wall_times(leap_only, "2027-01-01", 2)] == ["2028-02-01", "2032-02-01"]
    eve = CronTrigger.from_crontab("59 23 LW 12 *", "UTC")
    assert [time[:10] for time in wall_times(eve, "2027-12-31 23:59", 2)] == ["2028-12-29", "2029-12-31"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0 * * 5#6", "day of week '5#6': 6 is not from 1 to 5"),
        ("0 0 * * 8#2", "day of week '8#2': 8 is not from 0 to 7"),
        ("0 0 * * 8#6", "day of week '8#6': 8 is not from 0 to 7"),
        ("0 0 * * 5#0", "0 is not from 1 to 5"),
        ("0 0 L-31 * *", "day of month 'L-31': 31 is not from 1 to 30"),
        ("0 0 L-0 * *", "0 is not from 1 to 30"),
        ("0 0 32W * *", "32 is not from 1 to 31"),
        ("0 0 15W,20 * *", "'W' takes one day, alone in its field"),
        ("0 0 1,LW * *", "'W' takes one day, alone in its field"),
        ("0 0 1-15W * *", "'W' takes one day, alone in its field"),
        ("0 0 W * *", "'W' takes one day, alone in its field: 15W or LW"),
        ("0 0 * * 15W", "day of week '15W': 'W' stands in day of month only"),
        ("0 L * * *", "hour 'L': 'L' stands in the fields for days only"),
        ("L 0 * * *", "minute 'L': 'L' stands in the fields for days only"),
        ("0 0 * L *", "month 'L': 'L' stands in the fields for days only"),
        ("0 0 * * L", "'L' takes a weekday before it: friL is the last Friday .* for Saturday write sat"),
        ("0 0 L-3-5 * *", "'L' stands alone or as L-3, LW"),
        ("0 0 5#2 * *", "day of month '5#2': '#' stands in day of week only"),
        ("0 0 * * 5#2-4", "'#' stands between a weekday and 1-5"),
        ("0 0 * * mon-friL", "'L' takes a weekday before it"),
        ("? 0 * * *", r"minute '\?': '\?' stands alone, in a field for days; write '\*'"),
        ("0 0 ?,1 * *", r"'\?' stands alone"),
        ("0 0 ?/2 * *", r"'\?' stands alone"),
    ],
)
def test_a_misplaced_sign_is_refused_with_its_place_and_the_remedy(line, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        CronTrigger.from_crontab(line, "UTC")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"hour": "L"}, "hour 'L': 'l' is not understood: 'L' stands in the fields for days only"),
        ({"day_of_week": "L"}, "'L' takes a weekday before it"),
        ({"day_of_week": "7#1"}, "7 is above the highest day_of_week, 6"),
        ({"day_of_week": "fri#6"}, "6 is not from 1 to 5"),
        ({"day_of_week": "frl"}, "'frl' is not one of mon"),
        ({"day": "15W,3"}, "'W' takes one day, alone in its field: write a trigger for each such day"),
        ({"day": "fri#2"}, "'#' stands in day of week only"),
        ({"minute": "?"}, r"'\?' stands alone, in a field for days"),
        ({"month": "?"}, r"'\?' stands alone, in a field for days"),
    ],
)
def test_a_misplaced_sign_in_a_field_is_refused_with_the_remedy(fields, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        CronTrigger(**fields, timezone="UTC")


@pytest.mark.parametrize("line", ["0 9 l-3w * ?", "0 9 ? * FRI#2,monl", "0 9 l,1 jul wed,thu", "0 0  lw * *"])
def test_a_trigger_is_stored_and_shown_in_one_form(line):
    trigger = CronTrigger.from_crontab(line, "UTC")
    assert trigger_from_fields(trigger_fields(trigger)) == trigger
    assert CronTrigger.from_crontab(line.upper(), "UTC").same_schedule(trigger)


def test_the_stored_form_has_capital_signs_and_small_names():
    written = trigger_fields(CronTrigger.from_crontab("0 9 l-3w JUL ?", "UTC"))["crontab"]
    assert written == "0 9 L-3W jul *"
    fields = CronTrigger(day="lw", day_of_week="FRIl", timezone="UTC").to_fields()
    assert (fields["day"], fields["day_of_week"]) == ("LW", "friL")


def special(low=1):
    offsets = st.one_of(st.just("L"), st.integers(1, 30).map("L-{}".format))
    named = st.sampled_from(WEEKDAYS)
    return st.one_of(
        offsets,
        offsets.map("{}W".format),
        st.integers(low, 31).map("{}W".format),
        named.map("{}L".format),
        st.tuples(named, st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}"),
    )


@settings(max_examples=150)
@given(text=special(), months=st.sets(st.integers(1, 12), min_size=1, max_size=4), year=st.integers(1970, 9000))
def test_the_days_of_four_years_are_those_of_the_calendar(text, months, year):
    expected = [
        date(each, month, day)
        for each in range(year, year + 4)
        for month in sorted(months)
        for day in sorted(special_days(text, each, month))
    ]
    by_weekday = text[:3] in WEEKDAYS
    days = f"* {','.join(map(str, sorted(months)))} {text}" if by_weekday else f"{text} {','.join(map(str, months))} *"
    line = CronTrigger.from_crontab(f"0 9 {days}", "UTC")
    fields = CronTrigger(
        **{"day_of_week" if by_weekday else "day": text}, month=",".join(map(str, months)), hour=9, timezone="UTC"
    )
    span = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 4, 1, 1, tzinfo=UTC)
    assert [instant.date() for instant in instants(line, *span)] == expected
    assert instants(fields, *span) == instants(line, *span)


class SpecialSpec(Spec):
    """A Spec whose days are those of an expression."""

    def _admits_day(self, wall):
        return wall.day in special_days(self.text["day"], wall.year, wall.month)


@settings(max_examples=60)
@given(
    data=st.data(),
    change=st.sampled_from(zones_with_transitions()),
    hour=st.integers(0, 4),
    minute=st.integers(0, 59),
)
def test_days_on_which_clocks_change_are_served_as_by_trying_every_minute(data, change, hour, minute):
    zone, changes = change
    day = data.draw(st.sampled_from(changes))
    candidates = [*(f"{name}#{place}" for name in WEEKDAYS for place in range(1, 6)), "L", "L-1", "L-2", "LW", "15W"]
    local = [(day + timedelta(days=shift)).date() for shift in (-1, 0, 1)]
    fitting = (text for each in local for text in candidates if each.day in special_days(text, each.year, each.month))
    text = data.draw(st.sampled_from(list(fitting)))
    wildcard = data.draw(st.booleans())
    line = f"{'*/7' if wildcard else minute} {hour} " + (f"* * {text}" if text[:3] in WEEKDAYS else f"{text} * *")
    spec = SpecialSpec(
        hours={hour}, minutes=set(range(0, 60, 7)) if wildcard else {minute}, wildcard=wildcard, text={"day": text}
    )
    start, end = day - timedelta(days=2), day + timedelta(days=2)
    minutes = minutes_between(start - timedelta(minutes=1), end, ZoneInfo(zone))
    expected = [instant for instant in brute_force(spec, minutes) if instant > start]
    assert instants(CronTrigger.from_crontab(line, zone), start, end) == expected
