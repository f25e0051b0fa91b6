"""Schedules in words."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from gsched import AndTrigger, CalendarIntervalTrigger, CronTrigger, DateTrigger, IntervalTrigger, OrTrigger
from gsched.times.durations import exact_duration

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("30 2 * * *", "every day at 02:30"),
        ("0 8,12,16 * * mon-fri", "mon-fri at 08:00, 12:00, 16:00"),
        ("0 4 1 * *", "on day 1 of the month at 04:00"),
        ("*/15 * * * *", "every 15 min"),
        ("*/15 8-18 * * mon-fri", "every 15 min from 08:00 to 18:59, mon-fri"),
        ("* * * * *", "every minute"),
        ("5 * * * *", "every hour at :05"),
        ("5 */6 * * *", "every 6 h at :05"),
        ("*/7 * * * *", "*/7 * * * *"),
        ("0 */5 * * *", "0 */5 * * *"),
        ("0 0 * * 0", "0 0 * * 0"),
        ("0 0 1 * mon", "0 0 1 * mon"),
        ("0 0 1 1 *", "0 0 1 1 *"),
        ("@daily", "@daily"),
    ],
)
def test_a_crontab_expression_has_words_if_they_say_all_of_it(expression, words):
    assert CronTrigger.from_crontab(expression, "UTC").in_words() == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hour": 2, "minute": 30}, "every day at 02:30"),
        ({"hour": 2}, "every day at 02:00"),
        ({"minute": "*/5"}, "every 5 min"),
        ({"second": "*/10"}, "every 10 s"),
        ({"second": "*"}, "every second"),
        ({"day": 1}, "on day 1 of the month at 00:00"),
        ({"day_of_week": "sat,sun"}, "sat,sun at 00:00"),
        ({"hour": 2, "second": 30}, "hour=2, second=30"),
        ({"month": 1}, "month=1"),
        ({"week": 3}, "week=3"),
    ],
)
def test_the_fields_of_a_cron_trigger_have_words_if_they_say_all_of_it(fields, words):
    assert CronTrigger(**fields, timezone="UTC").in_words() == words


def test_words_name_the_zone_unless_it_is_utc():
    assert CronTrigger(hour=2, timezone=BERLIN).in_words() == "every day at 02:00, Europe/Berlin"


def test_words_name_what_bounds_and_delays_a_schedule():
    assert IntervalTrigger(seconds=15, jitter=2).in_words() == "every 15 s, jitter 2 s"
    ending = IntervalTrigger(minutes=90, end_date=datetime(2026, 12, 31, 12), timezone="UTC")
    assert ending.in_words() == "every 1 h 30 min, until 2026-12-31 12:00"
    assert IntervalTrigger(minutes=15, spread=True).in_words() == "every 15 min, spread"


def test_each_kind_of_trigger_has_words():
    daily, hourly = CronTrigger(hour=2, timezone="UTC"), IntervalTrigger(hours=1)
    assert DateTrigger("2026-12-24 18:00", BERLIN).in_words() == "once, 2026-12-24 18:00:00 CET"
    assert OrTrigger([daily, hourly]).in_words() == "(every day at 02:00) or (every 1 h)"
    assert AndTrigger([daily, hourly]).in_words() == "(every day at 02:00) and (every 1 h)"
    months = CalendarIntervalTrigger(months=2, hour=4, timezone=BERLIN, start_date="2026-01-31")
    assert months.in_words() == "every 2 months at 04:00:00, Europe/Berlin"
    assert CronTrigger.from_crontab("@reboot", "UTC").in_words() == "at each start"


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(milliseconds=250), "250 ms"),
        (timedelta(milliseconds=1500), "1.5 s"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
        (timedelta(0), "0 s"),
    ],
)
def test_a_duration_is_shown_exactly(duration, words):
    assert exact_duration(duration // timedelta(milliseconds=1)) == words
