"""Intervals inside a window of each day."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st
from trigger_oracles import brute_force, instants, minutes_between, wall_times, zones_with_transitions

from gsched import GeventScheduler, MemoryJobStore
from gsched.errors import InvalidTriggerError
from gsched.testing import ManualClock
from gsched.times.instants import to_ms
from gsched.triggers import AndTrigger, CronTrigger, IntervalTrigger, OrTrigger, trigger_fields, trigger_from_fields

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def poll():
    pass


def times(start, count, zone="UTC", **arguments):
    return [each[5:16] for each in wall_times(IntervalTrigger(**arguments, timezone=zone), start, count)]


def test_it_is_counted_anew_from_the_windows_start_each_day():
    assert times("2027-01-01", 7, minutes=190, between="06:15-22:15") == [
        "01-01 06:15", "01-01 09:25", "01-01 12:35", "01-01 15:45", "01-01 18:55", "01-01 22:05", "01-02 06:15",
    ]  # fmt: skip


def test_both_ends_are_due_on_the_given_weekdays_only():
    found = times("2027-01-01 16:52", 4, minutes=5, between="09:00-17:00", days="mon-fri")  # a Friday
    assert found == ["01-01 16:55", "01-01 17:00", "01-04 09:00", "01-04 09:05"]


def test_a_window_past_midnight_belongs_to_the_day_on_which_it_begins():
    found = times("2027-01-01", 6, hours=2, between="22:00-06:00", days="fri")
    assert found == ["01-01 22:00", "01-02 00:00", "01-02 02:00", "01-02 04:00", "01-02 06:00", "01-08 22:00"]
    assert times("2027-01-01", 4, hours=3, between="22:00-05:00") == [
        "01-01 01:00", "01-01 04:00", "01-01 22:00", "01-02 01:00",
    ]  # fmt: skip


def test_weekdays_alone_leave_the_whole_day():
    assert times("2027-01-02 22:30", 3, hours=7, days="sat,sun") == ["01-03 00:00", "01-03 07:00", "01-03 14:00"]
    assert times("2027-01-01", 2, hours=24, days="fri-mon") == ["01-02 00:00", "01-03 00:00"]


def test_an_interval_longer_than_the_window_is_due_at_its_start():
    assert times("2027-12-31", 3, hours=24, between="09:00-17:00") == ["12-31 09:00", "01-01 09:00", "01-02 09:00"]


def test_seconds_count():
    found = wall_times(IntervalTrigger(seconds=7, between="09:00:30-09:00:45", timezone="UTC"), "2027-01-01", 4)
    assert [each[8:19] for each in found] == ["01 09:00:30", "01 09:00:37", "01 09:00:44", "02 09:00:30"]


def test_start_and_end_are_bounds_and_no_phase():
    bounds = {"start_date": "2027-01-01 09:07:00.5", "end_date": "2027-01-01 09:20"}
    assert times("2026-01-01", 5, minutes=5, between="09:00-17:00", **bounds) == [
        "01-01 09:10", "01-01 09:15", "01-01 09:20",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "start", "expected"),
    [  # in Europe/Berlin
        ({"minutes": 30, "between": "01:30-03:30"}, "2027-03-28", "01:30+01 03:00+02 03:30+02"),
        ({"minutes": 10, "between": "02:10-02:50"}, "2027-03-28", "03:00+02"),
        ({"minutes": 30, "between": "02:00-03:00"}, "2027-10-31", "02:00+02 02:30+02 02:00+01 02:30+01 03:00+01"),
        ({"hours": 2, "between": "02:00-06:00"}, "2027-10-31", "02:00+02 04:00+01 06:00+01"),
        ({"hours": 2, "between": "00:00-04:00"}, "2027-03-28", "00:00+01 03:00+02 04:00+02"),
        ({"minutes": 50, "between": "00:00-04:00"}, "2027-03-28", "00:00+01 00:50+01 01:40+01 03:00+02 03:20+02"),
    ],
)
def test_clock_changes_follow_the_rules_of_cron(arguments, start, expected):
    trigger = IntervalTrigger(**arguments, timezone="Europe/Berlin")
    evening = date.fromisoformat(start) - timedelta(days=1)
    found = wall_times(trigger, f"{evening} 23:59:59", len(expected.split()) + 1)
    assert [f"{each[11:16]}{each[20:23]}" for each in found if each.startswith(start)] == expected.split()


def test_an_interval_in_every_hour_goes_on_after_a_gap_as_usual():
    found = times("2027-03-28 00:30", 4, zone="Europe/Berlin", minutes=50, days="sun")
    assert found == ["03-28 00:50", "03-28 01:40", "03-28 03:20", "03-28 04:10"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"minutes": 5, "between": "9-17"}, "between '9-17': expected two times of day: '09:00-17:00'"),
        ({"minutes": 5, "between": 9}, "between 9: expected two times of day"),
        ({"minutes": 5, "between": "09:00-24:00"}, "times of day are from 00:00 to 23:59:59"),
        ({"minutes": 5, "between": "09:60-10:00"}, "times of day are from"),
        ({"minutes": 5, "between": "09:00-09:00"}, "begins when it ends; for the whole day leave it out"),
        ({"minutes": 5, "days": "2"}, "days '2': '2' is not understood; a text is a list of weekdays by name"),
        ({"minutes": 5, "days": "mon-foo"}, "days 'mon-foo': 'mon-foo' is not understood"),
        ({"minutes": 5, "days": "mon,,tue"}, "'' is not understood"),
        ({"minutes": 5, "days": "mon-"}, "'mon-' is not understood"),
        ({"minutes": 5, "days": ""}, "days '': '' is not understood"),
        ({"hours": 25, "between": "09:00-10:00"}, "longer than a day, .* use a calendarinterval trigger"),
        ({"days": 2, "between": "09:00-10:00"}, "longer than a day"),
        ({"seconds": 0.5, "between": "09:00-10:00"}, r"an interval of 0\.5 s: expected whole seconds"),
        ({"minutes": 5, "between": "09:00-10:00", "anchor": "2027-01-01"}, "anchor: leave it out beside between"),
        ({"between": "09:00-10:00"}, "the interval must be at least 1 ms"),
        ({"days": "mon-fri"}, "the interval must be at least 1 ms"),
    ],
)
def test_a_window_that_is_none_is_refused_with_the_remedy(arguments, reason):
    with pytest.raises(InvalidTriggerError, match=reason):
        IntervalTrigger(**arguments, timezone="UTC")


def test_it_is_stored_and_shown_in_one_form():
    trigger = IntervalTrigger(minutes=5, between="9:00 - 17:00:00", days="MON-fri, Sun", timezone="UTC", jitter=3)
    fields = trigger_fields(trigger)
    assert fields == {
        "type": "interval", "seconds": 300, "between": "09:00-17:00", "days": "mon-fri,sun", "jitter": 3,
        "timezone": "UTC",
    }  # fmt: skip
    assert trigger_from_fields(fields) == trigger
    assert (trigger.between, trigger.days, trigger.by_elapsed_time) == ("09:00-17:00", "mon-fri,sun", False)
    assert str(trigger) == "interval[0:05:00, between='09:00-17:00', days='mon-fri,sun']"
    assert "between='09:00-17:00', days='mon-fri,sun', jitter=3" in repr(trigger)
    assert not trigger.same_schedule(IntervalTrigger(minutes=5, timezone="UTC", jitter=3))


def test_a_plain_interval_is_as_before():
    plain = IntervalTrigger(days=2, timezone="UTC")
    assert (plain.between, plain.days, plain.by_elapsed_time) == (None, None, True)
    assert trigger_fields(plain) == {"type": "interval", "seconds": 172800, "timezone": "UTC"}


def test_a_job_begins_with_the_clock_and_cannot_be_moved_off_it():
    clock = ManualClock(datetime(2027, 1, 1, 9, 7, tzinfo=UTC))
    scheduler = GeventScheduler(jobstores={"default": MemoryJobStore()}, timezone="UTC", clock=clock)
    job = scheduler.add_job(poll, "interval", minutes=5, between="09:00-17:00", days="mon-fri", id="poll")
    assert job.next_run_time == datetime(2027, 1, 1, 9, 10, tzinfo=UTC)
    assert "anchor" not in job.trigger.to_fields()
    job.modify(next_run_time="2027-01-01 09:12:30")
    assert job.next_run_time.minute == 12
    assert "anchor" not in job.trigger.to_fields()
    assert job.trigger.next_after(job.next_run_time).minute == 15
    scheduler.close()


def test_a_job_that_is_added_when_it_is_due_is_due_at_once():
    nine = to_ms(datetime(2027, 1, 1, 9, tzinfo=UTC))
    trigger = IntervalTrigger(minutes=5, between="09:00-17:00", timezone="UTC")
    assert trigger.begun(nine) == (trigger, nine)


def test_a_trigger_without_a_zone_takes_the_schedulers():
    trigger = IntervalTrigger(hours=1, between="09:00-10:00").placed(ZoneInfo("Asia/Tokyo"))
    assert wall_times(trigger, "2027-01-01", 1) == ["2027-01-01 09:00:00 +0900"]


def test_it_is_combined_by_its_times_and_not_by_its_distance():
    windowed = IntervalTrigger(minutes=20, between="09:10-10:00", timezone="UTC")  # 09:10 09:30 09:50
    both = AndTrigger([windowed, IntervalTrigger(minutes=30, start_date="2027-01-01", timezone="UTC")])
    assert [each[11:16] for each in wall_times(both, "2027-01-01", 2)] == ["09:30", "09:30"]
    begun, due = AndTrigger([windowed, IntervalTrigger(minutes=30)]).begun(to_ms(datetime(2027, 1, 1, 5, tzinfo=UTC)))
    assert due == begun.next_ms(0 if due is None else due - 1) == to_ms(datetime(2027, 1, 1, 9, 30, tzinfo=UTC))
    either = OrTrigger([windowed, CronTrigger(hour=9, minute=15, timezone="UTC")])
    assert [each[11:16] for each in wall_times(either, "2027-01-01", 4)] == ["09:10", "09:15", "09:30", "09:50"]


@dataclass
class Window:
    """A window in minutes of the day, as `brute_force` asks for it."""

    period: int
    start: int
    end: int
    days: set[int]

    def _offset(self, wall: datetime, day: date) -> float:
        begins = datetime.combine(day, datetime.min.time()) + timedelta(minutes=self.start)
        return (wall.replace(tzinfo=None) - begins) / timedelta(minutes=1)

    def admits(self, wall: datetime) -> bool:
        length = (self.end - self.start) % 1440
        for day in (wall.date(), wall.date() - timedelta(days=1)):
            offset = self._offset(wall, day)
            if day.weekday() in self.days and 0 <= offset <= length and offset % self.period == 0:
                return True
        return False

    @property
    def wildcard(self) -> bool:
        return self.period <= 60

    @property
    def every_hour(self) -> bool:
        length = (self.end - self.start) % 1440
        return len({(self.start + offset) // 60 % 24 for offset in range(0, length + 1, self.period)}) == 24

    def trigger(self, zone: str) -> IntervalTrigger:
        between = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start, self.end))
        days = ",".join(WEEKDAYS[day] for day in sorted(self.days))
        return IntervalTrigger(minutes=self.period, between=between, days=days, timezone=zone)


windows = st.builds(
    Window,
    period=st.one_of(st.integers(1, 90), st.integers(1, 1440)),
    start=st.integers(0, 1439),
    end=st.integers(0, 1439),
    days=st.sets(st.integers(0, 6), min_size=1),
).filter(lambda window: window.start != window.end)


@settings(max_examples=60)
@given(window=windows, data=st.data(), change=st.sampled_from(zones_with_transitions()))
def test_random_windows_agree_with_trying_every_minute(window, data, change):
    zone, changes = change
    day = data.draw(st.sampled_from([*changes, datetime(2027, 12, 31, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)]))
    start, end = day - timedelta(days=2), day + timedelta(days=2)
    minutes = minutes_between(start - timedelta(minutes=1), end, ZoneInfo(zone))
    expected = [instant for instant in brute_force(window, minutes) if instant > start]
    trigger = window.trigger(zone)
    assert instants(trigger, start, end) == expected
    if expected:
        first = to_ms(expected[0])
        assert trigger.last_ms(first, to_ms(end)) == to_ms(expected[-1])
