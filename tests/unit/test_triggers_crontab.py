"""Standard crontab lines."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st
from trigger_oracles import Spec, brute_force, instants, minutes_between, wall_times

from gsched.errors import InvalidTriggerError
from gsched.triggers import CronTrigger, RebootTrigger, trigger_fields, trigger_from_fields


def crontab(expr, **options):
    return CronTrigger.from_crontab(expr, timezone="UTC", **options)


def days(trigger, count):
    return [time[:10] for time in wall_times(trigger, "2026-11-21 12:00", count)]


def test_0_and_7_are_sunday_and_names_mean_the_same():
    expected = ["2026-11-22", "2026-11-29"]
    for text in ("0", "7", "sun", "Sun", "7-7", "sun-sun"):
        assert days(crontab(f"0 0 * * {text}"), 2) == expected, text


def test_a_day_fits_if_either_restricted_day_field_does():
    assert days(crontab("0 0 1,15 * mon"), 4) == ["2026-11-23", "2026-11-30", "2026-12-01", "2026-12-07"]


@pytest.mark.parametrize("line", ["0 0 */10 * mon", "0 0 *,5 * mon"])
def test_a_day_field_that_begins_with_a_star_is_unrestricted(line):
    for day in days(crontab(line), 5):
        assert datetime.fromisoformat(day).weekday() == 0


def test_a_weekday_field_that_begins_with_a_star_is_unrestricted():
    assert days(crontab("0 0 23,24 * */2"), 3) == ["2026-11-24", "2026-12-24", "2027-01-23"]  # Sun, Tue, Thu, Sat


@pytest.mark.parametrize(
    ("line", "hours"),
    [
        ("0 22-2 * * *", [22, 23, 0, 1, 2]),
        ("0 22-2/2 * * *", [22, 0, 2]),
        ("0 1-5/2,7 * * *", [1, 3, 5, 7]),
        ("0 */10 * * *", [0, 10, 20]),
        ("0 */90 * * *", [0]),
    ],
)
def test_hours_wrap_and_step(line, hours):
    found = {int(time[11:13]) for time in wall_times(crontab(line), "2026-11-21", 10)}
    assert found == set(hours)


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [("fri-mon", {4, 5, 6, 0}), ("5-7", {4, 5, 6}), ("6-0", {5, 6}), ("7-1", {6, 0}), ("0-7", set(range(7))),
     ("0-6/3", {6, 2, 5}), ("mon-fri/2", {0, 2, 4}), ("mon,WED,sat-sun", {0, 2, 5, 6}), ("*/7", {6}),
     ("sat-tue/2", {5, 0})],
)  # fmt: skip
def test_weekday_ranges_wrap_and_step(text, weekdays):
    assert {datetime.fromisoformat(day).weekday() for day in days(crontab(f"0 0 * * {text}"), 14)} == weekdays


def test_months_wrap_by_name():
    months = {day[5:7] for day in days(crontab("0 0 1 nov-feb *"), 8)}
    assert months == {"11", "12", "01", "02"}


@pytest.mark.parametrize(
    ("nickname", "line"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@weekly", "0 0 * * 0"),
     ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *"), ("@annually", "0 0 1 1 *"), (" @Daily ", "0 0 * * *")],
)  # fmt: skip
def test_nicknames_stand_for_lines(nickname, line):
    assert wall_times(crontab(nickname), "2026-11-21", 5) == wall_times(crontab(line), "2026-11-21", 5)


def test_six_fields_begin_with_seconds():
    times = wall_times(crontab("*/20 5 * * * *", seconds=True), "2026-11-21 00:05:00", 3)
    assert [time[11:19] for time in times] == ["00:05:20", "00:05:40", "01:05:00"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0~10 0 * * *", "'~'"),
        ("5/15 * * * *", "minute '5/15': a step needs a range: write 5-59/15"),
        ("60 * * * *", "minute '60': 60 is not from 0 to 59"),
        ("0 24 * * *", "hour '24'"),
        ("0 0 0 * *", "day of month '0'"),
        ("0 0 * 13 *", "month '13'"),
        ("0 0 * * 8", "day of week '8'"),
        ("*/0 * * * *", r"minute '\*/0': the step must be at least 1"),
        ("0 0 * * montag", "'montag' is not understood"),
        ("1,,2 * * * *", "empty"),
        ("0- * * * *", "not understood"),
        ("0 0 * *", "4 fields, expected 5"),
        ("0 0 0 * * *", "6 fields, expected 5 .* pass seconds=True"),
        ("0 0 0 * * * 2026", "7 fields, expected 5"),
        ("", "0 fields"),
        ("@often", "not one of @hourly"),
    ],
)
def test_a_crontab_line_that_is_not_standard_is_refused_with_a_reason(line, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        crontab(line)


def test_other_things_than_text_are_refused():
    for line in (None, 5, ["0", "0"]):
        with pytest.raises(InvalidTriggerError, match="expected text"):
            crontab(line)
    with pytest.raises(InvalidTriggerError, match="no field for seconds"):
        crontab("@daily", seconds=True)


def test_a_crontab_trigger_survives_storage_and_shows_its_line():
    for trigger in (crontab("0 0  1-15 MAY-aug *"), crontab("1 2 3 4 5 6", seconds=True), crontab("@daily", jitter=3)):
        fields = trigger_fields(trigger)
        assert trigger_from_fields(fields) == trigger
    assert trigger_fields(crontab("0 0  1-15 MAY-aug *")) == {
        "type": "cron",
        "crontab": "0 0 1-15 may-aug *",
        "timezone": "UTC",
    }
    assert str(crontab("0 0 1 * *")) == "cron[crontab='0 0 1 * *']"
    with pytest.raises(InvalidTriggerError, match="hour"):
        trigger_from_fields({"type": "cron", "crontab": "@daily", "hour": 5})


def test_reboot_is_due_once_at_its_anchor():
    trigger = crontab("@reboot")
    assert isinstance(trigger, RebootTrigger)
    assert trigger.next_ms(0) is None
    started = trigger.anchored(5000)
    assert (started.next_ms(0), started.next_ms(4999), started.next_ms(5000)) == (5000, 5000, None)
    assert started.anchored(9000).next_ms(5000) == 9000
    assert started.same_schedule(trigger)
    assert trigger_from_fields(trigger_fields(started)) == started
    with pytest.raises(InvalidTriggerError, match="takes no"):
        crontab("@reboot", start_date="2026-01-01")


FIELDS = (("minutes", 0, 59), ("hours", 0, 23), ("days", 1, 31), ("months", 1, 12), ("weekdays", 0, 7))


@st.composite
def lines(draw):
    """A random crontab line, and what it admits as sets that are worked out without a parser."""
    sets, texts = {}, []
    for name, low, high in FIELDS:
        values, text = _field(draw, low, high, 6 if name == "weekdays" else high)
        sets[name] = values
        texts.append(text)
    if sets["weekdays"] is not None:
        sets["weekdays"] = {(value + 6) % 7 for value in sets["weekdays"]}
    either = not texts[2].startswith("*") and not texts[4].startswith("*")
    wildcard = texts[0].startswith("*") or texts[1].startswith("*")
    return " ".join(texts), Spec(**sets, either=either, wildcard=wildcard)


def _field(draw, low, high, top):
    kind = draw(st.sampled_from(["*", "*", "*", "*/a", "a-b", "a-b/c", "list"]))
    first, last, step = draw(st.integers(low, top)), draw(st.integers(low, top)), draw(st.integers(1, 9))
    if kind == "*":
        return None, "*"
    if kind == "*/a":
        return {value for value in range(low, high + 1) if (value - low) % step == 0}, f"*/{step}"
    if kind == "list":
        return {first, last}, f"{first},{last}"
    size = top - low + 1
    run = [low + (first - low + n) % size for n in range((last - first) % size + 1)]
    return (set(run), f"{first}-{last}") if kind == "a-b" else (set(run[::step]), f"{first}-{last}/{step}")


@settings(max_examples=150)
@given(line=lines(), day=st.integers(0, 3000), zone=st.sampled_from(["UTC", "America/New_York", "America/Havana"]))
def test_random_lines_agree_with_trying_every_minute(line, day, zone):
    text, spec = line
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
    end = start + timedelta(days=3)
    trigger = CronTrigger.from_crontab(text, timezone=zone)
    minutes = minutes_between(start - timedelta(minutes=1), end, ZoneInfo(zone))
    assert instants(trigger, start, end) == [instant for instant in brute_force(spec, minutes) if instant > start]
