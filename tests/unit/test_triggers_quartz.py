"""Expressions of Quartz as triggers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st
from trigger_oracles import Spec, brute_force, instants, minutes_between, wall_times

from gsched import GeventScheduler
from gsched.errors import InvalidTriggerError
from gsched.triggers import CronTrigger, trigger_from_fields

# From Quartz's own documentation, with the fields of CronTrigger that say the same.
DOCUMENTED = {
    "0 0 12 * * ?": {"hour": "12", "minute": "0"},
    "0 15 10 ? * *": {"hour": "10", "minute": "15"},
    "0 15 10 * * ? *": {"hour": "10", "minute": "15"},
    "0 15 10 * * ? 2027": {"year": "2027", "hour": "10", "minute": "15"},
    "0 * 14 * * ?": {"hour": "14"},
    "0 0/5 14 * * ?": {"hour": "14", "minute": "*/5"},
    "0 0/5 14,18 * * ?": {"hour": "14,18", "minute": "*/5"},
    "0 0-5 14 * * ?": {"hour": "14", "minute": "0-5"},
    "0 10,44 14 ? 3 WED": {"month": "3", "day_of_week": "wed", "hour": "14", "minute": "10,44"},
    "0 15 10 ? * MON-FRI": {"day_of_week": "mon-fri", "hour": "10", "minute": "15"},
    "0 15 10 15 * ?": {"day": "15", "hour": "10", "minute": "15"},
    "0 15 10 L * ?": {"day": "L", "hour": "10", "minute": "15"},
    "0 15 10 L-2 * ?": {"day": "L-2", "hour": "10", "minute": "15"},
    "0 15 10 ? * 6L": {"day_of_week": "friL", "hour": "10", "minute": "15"},
    "0 15 10 ? * 6L 2027-2029": {"year": "2027-2029", "day_of_week": "friL", "hour": "10", "minute": "15"},
    "0 15 10 ? * 6#3": {"day_of_week": "fri#3", "hour": "10", "minute": "15"},
    "0 0 12 1/5 * ?": {"day": "*/5", "hour": "12", "minute": "0"},
    "0 11 11 11 11 ?": {"month": "11", "day": "11", "hour": "11", "minute": "11"},
}


@pytest.mark.parametrize("expression", DOCUMENTED)
def test_the_examples_of_quartz_are_understood(expression):
    assert CronTrigger.from_quartz(expression, "UTC") == CronTrigger(
        **DOCUMENTED[expression], second="0", timezone="UTC"
    )


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("0 0 0 ? * L", {"day_of_week": "sat"}),
        ("0 0 0 ? * 1", {"day_of_week": "sun"}),
        ("0 0 0 ? * 7L", {"day_of_week": "satL"}),
        ("0 0 0 ? * 2-6", {"day_of_week": "mon-fri"}),
        ("0 0 0 ? * FRI-MON", {"day_of_week": "fri,sat,sun,mon"}),
        ("0 0 0 ? * 2/2", {"day_of_week": "mon,wed,fri"}),
        ("0 0 0 ? * */2", {"day_of_week": "sun,tue,thu,sat"}),
        ("0 0 0 ? * MON#1,6#3", {"day_of_week": "mon#1,fri#3"}),
        ("0 0 0 LW * ?", {"day": "LW"}),
        ("0 0 0 l-3w * ?", {"day": "L-3W"}),
        ("0 0 0 15W * ?", {"day": "15W"}),
        ("0 0 0 28-3/2 * ?", {"day": "28,30,1,3"}),
        ("0 0 22-2 ? NOV-FEB *", {"hour": "22,23,0,1,2", "month": "11,12,1,2"}),
        ("0 0 /3 ? * *", {"hour": "*/3"}),
        ("0 5/15 0 ? * *", {"minute": "5-59/15"}),
        ("50/20 0 0 ? * *", {"second": "50"}),
        ("0 H(0-29) H ? * H(2-6)", {"minute": "H(0-29)", "hour": "H", "day_of_week": "H(mon-fri)"}),
    ],
)
def test_an_expression_becomes_fields(expression, fields):
    expected = CronTrigger(**{"second": "0", "minute": "0", "hour": "0", **fields}, timezone="UTC")
    assert CronTrigger.from_quartz(expression, "UTC") == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 0 12 * * *", r"exactly one of day of month and day of week must be '\?', and neither is"),
        ("0 0 12 1 * 2", r"must be '\?', and neither is"),
        ("0 0 12 ? * ?", r"must be '\?', and both are"),
        ("0 12 * * ?", "5 fields, expected 6 or 7"),
        ("0 0 0 1 1 ? 2027 x", "8 fields, expected 6 or 7"),
        ("0 0 L * * ?", "hour 'L': .* 'L' stands in the fields for days only"),
        ("0 0 0 ? * 8#6", "day_of_week '8#6': 8 is not from 1 to 7"),
        ("0 0 0 ? * 6#6", "6 is not from 1 to 5"),
        ("0 0 0 ? * 0", "day_of_week '0': 0 is not from 1 to 7"),
        ("0 0 0 1,15W * ?", "'W' takes one day, alone in its field"),
        ("0 0 0 L-31 * ?", "31 is not from 1 to 30"),
        ("0 0 0 ? * * 2030-2027", "year '2030-2027': the range 2030-2027 is reversed"),
        ("0 0/60 * * * ?", "minute '0/60': the step 60 is not from 1 to 59"),
        ("0/0 * * * * ?", "second '0/0': the step 0 is not from 1"),
        ("0 60 * * * ?", "minute '60'"),
        ("0 50-60 * * * ?", "60 is not from 0 to 59"),
        ("0 0 0 ? ? *", "month"),
        ("0 0 0 ? * MONDAY", "'monday' is not one of mon"),
        ("0 0 0 ? foo *", "'foo' is not one of jan"),
        (None, "quartz None: expected text"),
    ],
)
def test_what_quartz_does_not_take_is_refused_with_the_reason(expression, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        CronTrigger.from_quartz(expression, "UTC")


def test_it_stands_in_every_place_that_takes_a_triggers_arguments():
    scheduler = GeventScheduler(timezone="UTC")
    job = scheduler.add_job(print, "cron", quartz="0 H 9 ? * MON-FRI", id="backup", jitter=2)
    assert job.trigger.resolved == "minute 26"
    assert job.trigger.to_fields()["day_of_week"] == "mon-fri"
    assert "quartz" not in job.trigger.to_fields()
    again = trigger_from_fields({"type": "cron", "quartz": "0 H 9 ? * MON-FRI", "hash_key": "backup", "jitter": 2})
    assert again.to_fields() == job.trigger.to_fields() | {"timezone": again.to_fields()["timezone"]}
    with pytest.raises(InvalidTriggerError, match=r"cron trigger with quartz: .*hour"):
        scheduler.add_job(print, "cron", quartz="0 0 9 ? * *", hour=3)
    scheduler.close()


def test_stars_are_every_second_and_every_minute():
    found = wall_times(CronTrigger.from_quartz("* * 3 ? * *", "UTC"), "2027-01-01 03:00:59", 2)
    assert [each[11:19] for each in found] == ["03:01:00", "03:01:01"]


def test_a_step_from_the_lowest_value_goes_through_a_repeated_hour():
    trigger = CronTrigger.from_quartz("0 0/30 2 * * ?", "Europe/Berlin")
    found = wall_times(trigger, "2027-10-31 00:00", 4)
    assert [each[11:23] for each in found] == ["02:00:00 +02", "02:30:00 +02", "02:00:00 +01", "02:30:00 +01"]


# (name, lowest, highest); weekdays by Quartz's numbers
FIELDS = (("minutes", 0, 59), ("hours", 0, 23), ("days", 1, 31), ("months", 1, 12), ("weekdays", 1, 7))


@st.composite
def expressions(draw):
    """A random expression, and what it admits as sets that are worked out without a parser."""
    sets, texts = {}, {}
    for name, low, high in FIELDS:
        sets[name], texts[name] = draw(_field(low, high))
    free = draw(st.sampled_from(["days", "weekdays"]))
    sets[free], texts[free] = None, "?"
    if sets["weekdays"] is not None:
        sets["weekdays"] = {(number + 5) % 7 for number in sets["weekdays"]}
    order = ("minutes", "hours", "days", "months", "weekdays")
    return "0 " + " ".join(texts[name] for name in order), Spec(**sets)


@st.composite
def _field(draw, low, high):
    first, last = draw(st.integers(low, high)), draw(st.integers(low, high))
    step = draw(st.integers(1, high))
    run = [low + (first - low + each) % (high - low + 1) for each in range((last - first) % (high - low + 1) + 1)]
    return draw(
        st.sampled_from(
            [
                (None, "*"),
                ({first, last}, f"{first},{last}"),
                (set(range(low, high + 1, step)), f"*/{step}"),
                (set(range(first, high + 1, step)), f"{first}/{step}"),
                (set(run), f"{first}-{last}"),
                (set(run[::step]), f"{first}-{last}/{step}"),
            ]
        )
    )


@settings(max_examples=150)
@given(expression=expressions(), day=st.integers(0, 3000))
def test_random_expressions_agree_with_trying_every_minute(expression, day):
    text, spec = expression
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
    end = start + timedelta(days=3)
    minutes = minutes_between(start - timedelta(minutes=1), end, UTC)
    found = instants(CronTrigger.from_quartz(text, "UTC"), start, end)
    assert found == [instant for instant in brute_force(spec, minutes) if instant > start]
