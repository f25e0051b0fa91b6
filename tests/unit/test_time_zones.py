"""Time zones: what users pass, what is stored, and what this machine's zone is."""

from __future__ import annotations

import shutil
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytz

from gsched import (
    AndTrigger,
    ConfigurationError,
    CronTrigger,
    DateTrigger,
    GeventScheduler,
    IntervalTrigger,
    InvalidTriggerError,
    OrTrigger,
)
from gsched.testing import ManualClock
from gsched.times import local_zone
from gsched.times.instants import _local_timezone, as_timezone, local_timezone, timezone_name
from gsched.triggers import BaseTrigger, CalendarIntervalTrigger, trigger_fields, trigger_from_fields

SHANGHAI = timezone(timedelta(hours=8))
DATABASES = [*zoneinfo.TZPATH, str(files("tzdata") / "zoneinfo")]
FILES = Path(next(path for path in DATABASES if Path(path, "Asia").exists()))


class Fixed(tzinfo):
    """As dateutil's tzoffset is: always the same, without a name."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=-3, minutes=-30)


class Changing(tzinfo):
    """As dateutil's tzfile is: nameless rules."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return None if when is None else timedelta(hours=when.month % 2)

    def dst(self, when: datetime | None) -> timedelta:
        return timedelta(0)


class Careless(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=when.month % 2)  # type: ignore[union-attr]


# -- triggers that name no zone --------------------------------------------------------------------------------------


def first_due(trigger: BaseTrigger) -> str:
    """When a job is due first, in UTC, that is added on 1 March 2026 to a scheduler in Tokyo."""
    scheduler = GeventScheduler(timezone="Asia/Tokyo", clock=ManualClock(datetime(2026, 3, 1, tzinfo=UTC)))
    due = scheduler.add_job(print, trigger).next_run_time
    assert due is not None
    return due.astimezone(UTC).strftime("%m-%d %H:%M")


@pytest.mark.parametrize(
    ("make", "due"),
    [
        (lambda: CronTrigger(hour=9), "03-02 00:00"),
        (lambda: CronTrigger.from_crontab("0 9 * * *"), "03-02 00:00"),
        (lambda: CronTrigger(hour=9, start_date="2026-03-05 09:00"), "03-05 00:00"),
        (lambda: CronTrigger(hour=9, timezone="UTC"), "03-01 09:00"),
        (lambda: CronTrigger(hour=9, start_date=datetime(2026, 3, 5, 9, tzinfo=UTC)), "03-05 09:00"),
        (lambda: IntervalTrigger(hours=1, start_date="2026-03-05 09:00"), "03-05 00:00"),
        (lambda: IntervalTrigger(hours=1, start_date="2026-03-05 09:00+00:00"), "03-05 09:00"),
        (lambda: IntervalTrigger(hours=1, start_date=1772701200), "03-05 09:00"),  # seconds are an instant
        (lambda: DateTrigger("2026-03-05 09:00"), "03-05 00:00"),
        (lambda: DateTrigger(datetime(2026, 3, 5, 9, tzinfo=UTC)), "03-05 09:00"),
        (lambda: CalendarIntervalTrigger(days=1, hour=9, start_date="2026-03-05"), "03-05 00:00"),
        (lambda: OrTrigger([CronTrigger(hour=9), CronTrigger(hour=8, timezone="UTC")]), "03-01 08:00"),
        (lambda: AndTrigger([CronTrigger(hour=9), CronTrigger(day=5, hour="*")]), "03-05 00:00"),
    ],
)
def test_a_trigger_without_a_zone_takes_the_schedulers_when_it_is_added(monkeypatch, make, due):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    _local_timezone.cache_clear()
    try:
        assert first_due(make()) == due
    finally:
        _local_timezone.cache_clear()


def test_a_trigger_keeps_the_zone_in_which_it_was_added_first():
    first = GeventScheduler(timezone="Asia/Tokyo").add_job(print, CronTrigger(hour=9), id="a")
    again = GeventScheduler(timezone="UTC").add_job(print, first.trigger, id="a")
    assert timezone_name(again.trigger.timezone) == "Asia/Tokyo"


def test_rescheduling_and_modifying_place_a_trigger_as_adding_does():
    scheduler = GeventScheduler(timezone="Asia/Tokyo")
    job = scheduler.add_job(print, "interval", hours=1, id="a")
    for change in (scheduler.reschedule_job, scheduler.modify_job):
        change("a", trigger=CronTrigger(hour=9))
        assert timezone_name(scheduler.get_job("a").trigger.timezone) == "Asia/Tokyo"
    job.remove()


def test_a_subclass_of_a_trigger_stays_one_where_it_is_placed():
    class Hourly(CronTrigger):
        def __init__(self) -> None:
            super().__init__(minute=0)

    class Often(IntervalTrigger):
        def __init__(self) -> None:
            super().__init__(seconds=5)
            self.note = "mine"

    scheduler = GeventScheduler(timezone="Asia/Tokyo")
    hourly, often = (scheduler.add_job(print, trigger()).trigger for trigger in (Hourly, Often))
    assert [type(hourly), type(often), often.note] == [Hourly, Often, "mine"]
    assert {timezone_name(each.timezone) for each in (hourly, often)} == {"Asia/Tokyo"}


# -- what users pass --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (timezone(timedelta(hours=8), "CST"), "UTC+08:00"),
        (timezone(timedelta(hours=1), "CET"), "UTC+01:00"),
        (timezone(timedelta(hours=-3, minutes=-30), "Asia/Shanghai"), "UTC-03:30"),
        (timezone(timedelta(0), "GMT"), "UTC"),
        (UTC, "UTC"),
        (Fixed(), "UTC-03:30"),
        (pytz.FixedOffset(60), "UTC+01:00"),
        (pytz.utc, "UTC"),
        (pytz.timezone("Europe/Berlin"), "Europe/Berlin"),
        (ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
        ("Europe/Berlin", "Europe/Berlin"),
        ("UTC+08:00", "UTC+08:00"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_zone_has_a_name_under_which_it_is_found_again(given, name):
    zone = as_timezone(given)
    assert timezone_name(zone) == name
    assert as_timezone(name) == zone
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert summer.astimezone(zone).utcoffset() == summer.astimezone(as_timezone(name)).utcoffset()


@pytest.mark.parametrize(
    "make",
    [
        lambda at: DateTrigger(run_date=at),
        lambda at: IntervalTrigger(seconds=5, start_date=at),
        lambda at: CronTrigger(hour=5, start_date=at),
        lambda at: CronTrigger(hour=5, timezone=at.tzinfo),
        lambda at: CalendarIntervalTrigger(days=1, timezone=at.tzinfo),
    ],
)
def test_every_trigger_takes_the_local_time_of_this_machine(make):
    now = datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=8), "CST"))  # datetime.now().astimezone()
    trigger: BaseTrigger = make(now)
    assert trigger.timezone == SHANGHAI
    assert trigger_from_fields(trigger_fields(trigger)) == trigger
    assert "CST" not in repr(trigger)


def test_a_fixed_offset_stays_fixed_whatever_its_name_is():
    trigger = CronTrigger(hour=3, timezone=timezone(timedelta(hours=1), "CET"))
    assert trigger.next_after(datetime(2026, 7, 1, tzinfo=UTC)) == datetime(2026, 7, 1, 2, tzinfo=UTC)


def test_a_scheduler_takes_the_zone_of_a_datetime():
    scheduler = GeventScheduler(timezone=timezone(timedelta(hours=8), "CST"))
    job = scheduler.add_job(print, "cron", hour=5)
    assert job.next_run_time is not None and job.next_run_time.utcoffset() == timedelta(hours=8)


@pytest.mark.parametrize("zone", [Changing(), Careless()], ids=["changing", "careless"])
def test_a_zone_that_cannot_be_stored_is_refused_at_the_call(zone):
    with pytest.raises(ConfigurationError, match="neither a name nor a fixed offset; pass a name"):
        GeventScheduler(timezone=zone)
    with pytest.raises(InvalidTriggerError, match="neither a name nor a fixed offset; pass a name"):
        CronTrigger(hour=5, timezone=zone)
    named = DateTrigger(datetime(2026, 3, 2, tzinfo=zone), timezone="UTC")
    assert named.run_date == datetime(2026, 3, 1, 23, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["", "Europe", "CST", "UTC+25:00", 8, True, timezone(timedelta(microseconds=5))])
def test_a_value_that_is_no_zone_is_refused_at_the_call(zone):
    with pytest.raises(ConfigurationError, match=r"^timezone: "):
        GeventScheduler(timezone=zone)


# -- this machine's ---------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without TZ, /etc/localtime and /etc/timezone; call it to give it some, and get its zone's name."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(local_zone, "LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr(local_zone, "TIMEZONE", tmp_path / "timezone")

    def zone_name(tz=None, link=None, copy=None, text=None) -> str:
        if tz is not None:
            monkeypatch.setenv("TZ", tz)
        if link is not None:
            local_zone.LOCALTIME.symlink_to(link)
        if copy is not None:
            shutil.copy(copy, local_zone.LOCALTIME)
        if text is not None:
            local_zone.TIMEZONE.write_text(text)
        return timezone_name(local_timezone())

    _local_timezone.cache_clear()
    yield zone_name
    _local_timezone.cache_clear()


@pytest.mark.parametrize(
    ("tz", "name"),
    [
        ("Asia/Shanghai", "Asia/Shanghai"),
        (":Asia/Shanghai", "Asia/Shanghai"),
        ("/usr/share/zoneinfo/Asia/Shanghai", "Asia/Shanghai"),
        (":/usr/share/zoneinfo/Asia/Shanghai", "Asia/Shanghai"),
        ("/var/db/timezone/zoneinfo/Asia/Shanghai", "Asia/Shanghai"),
        ("CST-8", "UTC+08:00"),
        ("<+0330>-3:30", "UTC+03:30"),
        ("EST5", "UTC-05:00"),
        ("UTC-08:00", "UTC+08:00"),  # POSIX counts westward
        ("UTC0", "UTC"),
        ("", "UTC"),
    ],
)
def test_the_variable_names_the_zone(machine, tz, name):
    assert machine(tz=tz, link="/usr/share/zoneinfo/Europe/Berlin") == name


@pytest.mark.parametrize("tz", ["Asia/Shangai", "EST5EDT,M3.2.0,M11.1.0", "CST-24", "/etc/hostname", "/nowhere"])
def test_a_variable_that_cannot_be_understood_is_an_error_and_not_utc(machine, tz):
    with pytest.raises(ConfigurationError, match=rf"TZ='{tz}' .*pass timezone="):
        machine(tz=tz)
    with pytest.raises(ConfigurationError, match="pass timezone="):
        GeventScheduler()
    with pytest.raises(InvalidTriggerError, match="pass timezone="):
        CronTrigger(hour=5)
    GeventScheduler(timezone="Asia/Shanghai").add_job(print, "cron", hour=5)


def test_a_link_names_the_zone(machine):
    assert machine(link="/usr/share/zoneinfo/Asia/Shanghai", text="Europe/Berlin") == "Asia/Shanghai"


@pytest.mark.parametrize("name", ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Africa/Casablanca"])
def test_a_copy_is_known_by_what_is_in_it(machine, name):
    assert machine(copy=FILES / name) == name


def test_a_copy_of_a_zone_without_changes_is_a_fixed_offset(machine):
    assert machine(copy=FILES / "Etc/GMT-8") == "UTC+08:00"


def test_the_variable_may_name_a_copy(machine):
    shutil.copy(FILES / "Asia/Shanghai", local_zone.LOCALTIME)
    assert machine(tz=f":{local_zone.LOCALTIME}") == "Asia/Shanghai"


def test_the_written_one_of_several_equal_zones_is_meant(machine):
    assert machine(copy=FILES / "Asia/Shanghai", text="Asia/Harbin\n") == "Asia/Harbin"


def test_a_written_zone_that_a_copy_contradicts_is_out_of_date(machine):
    assert machine(copy=FILES / "Asia/Shanghai", text="Etc/UTC\n") == "Asia/Shanghai"


def test_a_written_zone_counts_alone(machine):
    assert machine(text="Asia/Shanghai\n") == "Asia/Shanghai"


def test_a_machine_that_says_nothing_is_in_utc(machine):
    assert machine() == "UTC"


def test_a_copy_of_something_else_is_an_error_and_not_utc(machine, tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("not a zone")
    with pytest.raises(ConfigurationError, match=r"localtime is neither in the time zone database .*pass timezone="):
        machine(copy=rules)


def test_schedulers_take_the_zone_that_the_program_has_set_before_they_are_made(monkeypatch):
    for name in ("Asia/Tokyo", "Europe/Berlin"):
        monkeypatch.setenv("TZ", name)
        assert timezone_name(local_timezone()) == name
