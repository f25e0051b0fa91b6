"""The load ahead: how many runs are due in each hour of the next week, and in each minute of the next hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from heapq import nlargest
from typing import Any, Final, NamedTuple

from gsched.event_loop.slices import Slice, paced
from gsched.jobs.job import Job
from gsched.times.instants import from_ms
from gsched.triggers import BaseTrigger, DateTrigger, IntervalTrigger
from gsched.triggers.base import TRIGGER_ERRORS

SAMPLE: Final = 20_000  # jobs that are looked at
MOST_TRIGGERS: Final = 2000  # different ones that are followed through the week
_MOST_STEPS: Final = 10_080  # of one trigger: every minute for a week; a faster one goes on at the same rate
_HOURS: Final = 168
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_PEAKS: Final = 10
_TRIGGERS_OF_HOUR: Final = 5
_FULLER: Final = 3  # of these: triggers that make the hour fuller than others
_EXAMPLES: Final = 3


class LoadTrigger(NamedTuple):
    """A trigger, with how many jobs have it and how many runs it makes in an hour.

    :ivar schedule: the trigger in words
    :ivar least: how many it makes in each hour of the week at least
    :ivar examples: the ids of some of the jobs, three at most
    """

    trigger: str
    schedule: str
    jobs: int
    runs: float
    least: float
    examples: tuple[str, ...]


class LoadHour(NamedTuple):
    """An hour of the week ahead.

    :ivar at: when it begins, in the zone of the load
    :ivar triggers: up to three that make it fuller than other hours, and those with the most runs, five in all; those
        with the most runs first
    """

    at: datetime
    runs: float
    triggers: tuple[LoadTrigger, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """The load ahead, as far as triggers tell: without retries, requests and what waits.

    :ivar begins: when the first minute of `hour` begins, in the zone
    :ivar week: runs in each hour from the next full one on, for seven days: [weekday][hour], Monday and midnight first,
        in the zone
    :ivar hour: runs in each of the next 60 minutes
    :ivar hours: the hours of the week one by one, from the next full one on, each with the triggers that make it
    :ivar peaks: the hours with the most runs, the most first
    :ivar estimated_from: how many jobs were looked at
    :ivar of: of how many; if that is more, all numbers are estimates
    """

    begins: datetime
    week: tuple[tuple[float, ...], ...]
    hour: tuple[float, ...]
    hours: tuple[LoadHour, ...]
    peaks: tuple[LoadHour, ...]
    estimated_from: int
    of: int


class JobSample(NamedTuple):
    """Some jobs that are not paused, picked at random.

    :ivar jobs: their triggers and next run times are right, and nothing else need be
    :ivar total: how many such jobs there are
    """

    jobs: Iterable[Job]
    total: int


class _Ahead(NamedTuple):
    """When the first minute and the first hour begin, ms."""

    minute: int
    hour: int

    @classmethod
    def of(cls, now: int, zone: tzinfo) -> _Ahead:
        minute = now - now % _MINUTE_MS
        return cls(minute, minute + _HOUR_MS - from_ms(minute, zone).minute * _MINUTE_MS)

    @property
    def end(self) -> int:
        return self.hour + _HOURS * _HOUR_MS


class _Group:
    """Jobs with alike triggers. There may be many groups, so a group is counted only when it is followed."""

    __slots__ = ("count", "examples", "hours", "job", "least", "minutes")

    hours: list[float]
    minutes: list[float]
    least: float  # runs of one job in its emptiest hour

    def __init__(self, job: Job) -> None:
        self.job = job
        self.count = 0
        self.examples: tuple[str, ...] = ()

    def add(self, job: Job) -> None:
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples += (job.id,)


def load_ahead(sample: JobSample, now: int, zone: tzinfo) -> Load:
    """The load from the minute of `now` (ms) on. It gives other greenlets their turns."""
    groups: dict[Any, _Group] = {}
    looked_at = 0
    for job in paced(sample.jobs):
        looked_at += 1
        key = _key(job, now)
        if key is not None:
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group(job)
            group.add(job)
    followed = nlargest(MOST_TRIGGERS, paced(groups.values()), key=lambda group: group.count)
    jobs, told = sum(group.count for group in groups.values()), sum(group.count for group in followed)
    total, ahead = max(sample.total, looked_at), _Ahead.of(now, zone)
    scale = (total / looked_at if looked_at else 1.0) * (jobs / told if told else 1.0)
    pace = Slice()
    for group in paced(followed):
        _follow(group, ahead, pace)
    return _load(followed, ahead, zone, scale, looked_at, total)


def _key(job: Job, now: int) -> Any:
    """What alike triggers have in common; None if the job is not due any more.

    The phase of an interval counts only if the interval is longer than an hour, and then to the minute.
    """
    try:
        due = job.next_due_ms(now)
        if due is None:
            return None
        period = _period_of(job.trigger)
        if period is not None:
            return period, None if period <= _HOUR_MS else due // _MINUTE_MS
        if isinstance(job.trigger, DateTrigger):
            return "date", due // _MINUTE_MS
        return type(job.trigger), repr(job.trigger.to_fields()), job.trigger.timezone
    except TRIGGER_ERRORS:  # of a user's own trigger
        return None


def _period_of(trigger: BaseTrigger) -> int | None:
    """The distance of a plain interval, ms; None for any other trigger."""
    if type(trigger) is not IntervalTrigger or trigger.between is not None or trigger.days is not None:
        return None
    return round(trigger.interval.total_seconds() * 1000)


def _follow(group: _Group, ahead: _Ahead, pace: Slice) -> None:
    """Count the group's runs in each hour and minute, for one of its jobs."""
    job, begin = group.job, ahead.minute
    group.hours, group.minutes = [0.0] * _HOURS, [0.0] * 60
    period = _period_of(job.trigger)
    if period is not None and period <= _HOUR_MS:
        group.hours = [_HOUR_MS / period] * _HOURS  # evenly, whatever its phase
        group.minutes = [_MINUTE_MS / period] * 60
        return
    is_own = period is not None or isinstance(job.trigger, DateTrigger)  # others of the group may begin earlier
    try:
        instant, steps = job.next_due_ms(begin - 1) if is_own else job.trigger.next_ms(begin - 1), 0
        while instant is not None and instant < ahead.end and steps < _MOST_STEPS:
            _count(group, ahead, instant)
            instant, steps = job.trigger.next_ms(instant), steps + 1
            pace.breathe()
    except TRIGGER_ERRORS:
        return
    if instant is not None and instant < ahead.end:
        rate = steps / max(instant - begin, 1)
        _go_on(group.hours, ahead.hour, _HOUR_MS, instant, rate)
        _go_on(group.minutes, ahead.minute, _MINUTE_MS, instant, rate)


def _count(group: _Group, ahead: _Ahead, instant: int) -> None:
    if instant >= ahead.hour:
        group.hours[(instant - ahead.hour) // _HOUR_MS] += 1
    if 0 <= instant - ahead.minute < _HOUR_MS:
        group.minutes[(instant - ahead.minute) // _MINUTE_MS] += 1


def _go_on(cells: list[float], begin: int, width: int, since: int, rate: float) -> None:
    """Let what was not followed, from `since` on, be as what was.

    :param rate: runs in a millisecond
    """
    for number in range(max(since - begin, 0) // width, len(cells)):
        first = begin + number * width
        cells[number] += (first + width - max(first, since)) * rate


def _load(groups: Sequence[_Group], ahead: _Ahead, zone: tzinfo, scale: float, looked_at: int, total: int) -> Load:
    hours = [scale * sum(group.hours[hour] * group.count for group in groups) for hour in paced(range(_HOURS))]
    minutes = [scale * sum(group.minutes[minute] * group.count for group in groups) for minute in paced(range(60))]
    week = [[0.0] * 24 for _ in range(7)]
    times = [from_ms(ahead.hour + hour * _HOUR_MS, zone) for hour in range(_HOURS)]
    for at, runs in zip(times, hours, strict=True):
        week[at.weekday()][at.hour] += runs
    for group in paced(groups):
        group.least = min(group.hours)
    each = [_hour(groups, hour, times[hour], hours[hour], scale) for hour in paced(range(_HOURS))]
    return Load(
        from_ms(ahead.minute, zone),
        tuple(tuple(round(runs, 1) for runs in day) for day in week),
        tuple(round(runs, 1) for runs in minutes),
        tuple(each),
        tuple(nlargest(_PEAKS, (hour for hour in each if hour.runs), key=lambda hour: hour.runs)),
        looked_at,
        total,
    )


def _hour(groups: Sequence[_Group], hour: int, at: datetime, runs: float, scale: float) -> LoadHour:
    fuller = nlargest(_FULLER, groups, key=lambda group: (group.hours[hour] - group.least) * group.count)
    most = nlargest(_TRIGGERS_OF_HOUR, groups, key=lambda group: group.hours[hour] * group.count)
    some = list(dict.fromkeys([*(group for group in fuller if group.hours[hour] > group.least), *most]))
    top = sorted(some[:_TRIGGERS_OF_HOUR], key=lambda group: group.hours[hour] * group.count, reverse=True)
    made = (_trigger(group, hour, group.count * scale) for group in top if group.hours[hour])
    return LoadHour(at, round(runs, 1), tuple(made))


def _trigger(group: _Group, hour: int, jobs: float) -> LoadTrigger:
    runs, least = (round(of_one * jobs, 1) for of_one in (group.hours[hour], group.least))
    trigger = group.job.trigger
    return LoadTrigger(str(trigger), trigger.in_words(), round(jobs), runs, least, group.examples)
