"""Phases of series, computed; and the trigger that delays another one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from gsched import CalendarIntervalTrigger, CronTrigger, InvalidTriggerError
from gsched.policies.spreading import Numbers, Series, phases
from gsched.times.instants import to_ms
from gsched.triggers import IntervalTrigger, SpreadTrigger, trigger_fields, trigger_from_fields

MINUTE = Series("interval", 60_000)


def unevenness(found: list[int], span: int, bins: int) -> float:
    """The fullest of so many equal parts of the span, by their mean."""
    counts = Counter(phase * bins // span for phase in found)
    return max(counts.values()) / (len(found) / bins)


def taken(series: Series, first: int, count: int, rank: int = 0) -> list[int]:
    return list(phases(series, Numbers(rank, first), count))


def in_batches(batches: list[int]) -> list[int]:
    found = list[int]()
    for count in batches:
        found += taken(MINUTE, len(found), count)
    return found


@pytest.mark.parametrize("batches", [[10_000], [1000, 9000], [100] * 100, [1, 9999], [9000, *[1] * 1000]])
def test_ten_thousand_jobs_are_spread_evenly_however_they_come(batches):
    assert unevenness(in_batches(batches), MINUTE.span_ms, 50) <= 1.1


@pytest.mark.parametrize("batches", [[10_000], [10_000, 1000], [10_000, 10_000]])
def test_with_seventeen_jobs_for_each_part_those_of_one_call_are_even_too(batches):
    assert unevenness(in_batches(batches), MINUTE.span_ms, 600) <= 1.1


def test_the_first_jobs_of_a_series_are_at_equal_distances():
    assert taken(Series("interval", 6000), 0, 3) == [0, 2000, 4000]


def test_a_later_job_is_a_golden_step_from_the_one_before():
    assert [taken(Series("delay", 3_600_000), number, 1)[0] for number in range(3)] == [0, 2_224_922, 849_845]


def test_hosts_are_even_each_and_all_of_them_together():
    found = [taken(MINUTE, 0, 20, rank) for rank in range(1, 501)]
    assert unevenness([phase for host in found for phase in host], MINUTE.span_ms, 50) <= 1.03
    for host in found:
        gaps = [(after - before) % MINUTE.span_ms for before, after in zip(host, host[1:] + host[:1])]
        assert max(gaps) - min(gaps) <= 1


def test_a_spread_trigger_is_the_other_one_later():
    hourly = CronTrigger(minute=50, timezone="UTC")
    spread = SpreadTrigger(hourly, "1h", 1800)
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert spread.next_after(at) == datetime(2026, 3, 2, 12, 20, tzinfo=UTC)
    assert spread.next_after(datetime(2026, 3, 2, 12, 20, tzinfo=UTC)) == datetime(2026, 3, 2, 13, 20, tzinfo=UTC)
    assert spread.last_ms(to_ms(at) + 1_200_000, to_ms(at) + 10_000_000) == to_ms(at) + 8_400_000


@pytest.mark.parametrize(
    "trigger",
    [
        SpreadTrigger(CronTrigger(hour=2, timezone="Europe/Berlin"), "1h", 12.345),
        SpreadTrigger(CalendarIntervalTrigger(months=1, timezone="UTC"), "2d"),
        IntervalTrigger(seconds=5, timezone="UTC", spread=True),
        IntervalTrigger(seconds=5, timezone="UTC").with_phase(1234),
    ],
)
def test_a_trigger_comes_back_from_its_fields(trigger):
    again = trigger_from_fields(trigger_fields(trigger))
    assert again == trigger
    assert (again.phase_ms, again.spread_ms) == (trigger.phase_ms, trigger.spread_ms)
    assert str(again) == str(trigger)


def test_what_the_scheduler_chose_is_not_what_was_written():
    plain, spread = IntervalTrigger(seconds=5), IntervalTrigger(seconds=5, spread=True)
    assert spread.with_phase(1).same_schedule(spread)
    assert not spread.same_schedule(plain)
    daily = SpreadTrigger(CronTrigger(hour=2), "1h")
    assert daily.with_phase(1).same_schedule(daily)
    assert not daily.same_schedule(SpreadTrigger(CronTrigger(hour=2), "2h"))
    assert not daily.same_schedule(SpreadTrigger(CronTrigger(hour=3), "1h"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trigger": "0 2 * * *", "within": 0}, "spread trigger: within: must be at least a millisecond, got 0"),
        ({"trigger": "0 2 * * *", "within": "1h", "offset": 3600}, "offset 3600: expected seconds from 0, less than"),
        ({"trigger": "0 2 * * *", "within": "1h", "offset": -1}, "offset -1: expected"),
        ({"trigger": 5, "within": "1h"}, "spread trigger: trigger 5: expected a trigger"),
        ({"within": "1h"}, "trigger"),
    ],
)
def test_a_spread_trigger_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(InvalidTriggerError, match=message):
        trigger_from_fields({"type": "spread", **arguments})
