"""By the clock on the wall: cron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from gsched.checks import is_whole
from gsched.errors import InvalidTriggerError
from gsched.times.instants import timezone_name
from gsched.triggers.arguments import Date, Zone, drop_unset
from gsched.triggers.base import BaseTrigger
from gsched.triggers.bounded import BoundedTrigger
from gsched.triggers.cron.crontab import REBOOT, compile_crontab, fields_of
from gsched.triggers.cron.days import ALL_YEARS, DayRule, days_of
from gsched.triggers.cron.fields import FIELD_NAMES, LONGEST, CronField, Field, parse_field
from gsched.triggers.cron.quartz import quartz_fields
from gsched.triggers.cron.schedule import KeylessSchedule, Schedule, make_schedule
from gsched.triggers.cron.times import times_of
from gsched.triggers.cron.words import in_words
from gsched.triggers.reboot import RebootTrigger
from gsched.wording import refused_call

_MINIMUM: Final = {"month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}


class CronTrigger(BoundedTrigger):
    """Due whenever the clock on the wall fits all fields.

    Each field takes a number or text, by APScheduler 3's grammar: `*`, `*/a`, `a`, `a-b`, `a-b/c`, `a/c` and comma
    lists of these; names for months and weekdays (`may`, `mon-fri`); for `day` also `last`, `2nd fri`, `last sun`. Of
    the fields that are not given, those less significant than the least significant one given are at their minimum,
    the others `*`. With both `day` and `day_of_week` given, a day must fit both (unlike a crontab line).

    Beyond APScheduler's grammar, `day` takes `L` (the last day of the month), `L-3` (three days before it), `15W` (the
    weekday, Monday to Friday, nearest to the 15th, in the same month), `LW` and `L-3W`; `day_of_week` takes `friL` (the
    last Friday of the month) and `fri#2` (the second one); both take `?`, which is `*`. All fields but `year` take `H`:
    a value that a hash of the job's id chooses when the job is added, so that many jobs do not start at once. `H/15` is
    every 15th from such a value, `H(0-29)` and `H(0-29)/10` choose in a range; a day is chosen from 1-28.

    When clocks change: a time that does not exist runs once, at the first instant after the gap, unless every hour is
    admitted; a time that exists twice runs the first time only, unless `minute` or `hour` begins with `*` (the rule of
    Debian's cron(8)).

    :param year: 1970-9999
    :param month: 1-12 or jan-dec
    :param day: day of the month, 1-31
    :param week: ISO week, 1-53
    :param day_of_week: 0-6 or mon-sun, 0 is Monday
    :param hour: 0-23
    :param minute: 0-59
    :param second: 0-59
    :param start_date: no instant before this one (inclusive); datetime, date, ISO text or seconds since the epoch
    :param end_date: no instant after this one (inclusive); a date is its midnight: "2026-12-31" leaves out the 31st but
        for 00:00, "2026-12-31 23:59:59" has all of it
    :param timezone: IANA name or tzinfo; default: that of an aware date, else that of the scheduler which the job
        is added to (until then, this machine's)
    :param jitter: longest delay of a run, seconds
    :param hash_key: a text that H hashes instead of the job's id
    :raises InvalidTriggerError: for an expression that is not wholly understood, naming the field and the reason
    """

    __slots__ = ("_schedule",)

    alias = "cron"
    _schedule: Schedule

    def __init__(
        self,
        year: int | str | None = None,
        month: int | str | None = None,
        day: int | str | None = None,
        week: int | str | None = None,
        day_of_week: int | str | None = None,
        hour: int | str | None = None,
        minute: int | str | None = None,
        second: int | str | None = None,
        start_date: Date = None,
        end_date: Date = None,
        timezone: Zone = None,
        jitter: float | None = None,
        hash_key: str | None = None,
    ) -> None:
        values = zip(FIELD_NAMES, (year, month, day, week, day_of_week, hour, minute, second))
        given = tuple((name, _text(name, value)) for name, value in values if value is not None)
        self._schedule = _compile(given, _checked_key(hash_key))
        self._bound(start_date, end_date, timezone, jitter)

    @classmethod
    def from_crontab(
        cls,
        expr: str,
        timezone: Zone = None,
        seconds: bool = False,
        start_date: Date = None,
        end_date: Date = None,
        jitter: float | None = None,
        hash_key: str | None = None,
    ) -> CronTrigger | RebootTrigger:
        """A trigger from the time fields of a crontab line, by crontab(5) of Debian's cron.

        Minute, hour, day of month, month, day of week: names, lists, ranges (also ones that wrap, `22-2`, `fri-mon`)
        and steps; 0 and 7 are Sunday. A day fits if *either* day field does when neither begins with `*`; otherwise it
        must fit both. Nicknames: @hourly @daily @midnight @weekly @monthly @yearly @annually. @reboot gives a
        `RebootTrigger`: due once, when its job is added. Beyond Debian's cron, the fields take `L`, `L-3`, `15W`, `LW`,
        `5L`, `5#2`, `?` and `H`, as the constructor's do.

        :param expr: five fields or a nickname
        :param timezone: as in the constructor, like `start_date`, `end_date`, `jitter`, `hash_key`
        :param seconds: there are six fields, the first for seconds
        :raises InvalidTriggerError: for anything else, naming the field and the reason
        """
        if not isinstance(expr, str):
            raise InvalidTriggerError(f"crontab {expr!r}: expected text")
        if expr.strip().lower() == REBOOT:
            if seconds or any(each is not None for each in (start_date, end_date, hash_key)):
                raise InvalidTriggerError(f"crontab {expr!r}: takes no seconds, start_date, end_date or hash_key")
            return RebootTrigger(timezone, jitter)
        trigger = cls.__new__(cls)
        trigger._schedule = compile_crontab(expr, bool(seconds), _checked_key(hash_key))
        trigger._bound(start_date, end_date, timezone, jitter)
        return trigger

    @classmethod
    def from_quartz(
        cls,
        expr: str,
        timezone: Zone = None,
        start_date: Date = None,
        end_date: Date = None,
        jitter: float | None = None,
        hash_key: str | None = None,
    ) -> CronTrigger:
        """A trigger from an expression of Quartz, with the same days and times.

        Second, minute, hour, day of month, month, day of week, and a year if one is wanted. 1 is Sunday, 7 is Saturday;
        one of the two fields for days must be `?`. Steps (`0/15`), ranges that wrap (`FRI-MON`), `L`, `L-3`, `LW`,
        `15W`, `6L` and `6#3` are understood. The trigger has the fields of CronTrigger that say the same.

        :param expr: six or seven fields
        :param timezone: as in the constructor, like `start_date`, `end_date`, `jitter`, `hash_key`
        :raises InvalidTriggerError: for anything else, naming the field and the reason
        """
        if not isinstance(expr, str):
            raise InvalidTriggerError(f"quartz {expr!r}: expected text")
        return cls(
            **quartz_fields(expr),
            start_date=start_date,
            end_date=end_date,
            timezone=timezone,
            jitter=jitter,
            hash_key=hash_key,
        )

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> BaseTrigger:
        """The trigger that `to_fields()` describes: arguments of the constructor; with `crontab` or `quartz`, of
        from_crontab or from_quartz."""
        for key, make in (("crontab", cls.from_crontab), ("quartz", cls.from_quartz)):
            if key in fields:
                arguments = {name: value for name, value in fields.items() if name != key}
                return cls._made_from(key, make, fields[key], arguments)
        return super().from_fields(fields)

    @staticmethod
    def _made_from(key: str, make: Callable[..., BaseTrigger], expr: Any, arguments: dict[str, Any]) -> BaseTrigger:
        try:
            return make(expr, **arguments)
        except TypeError as error:
            reason = refused_call(make, arguments, error)
            raise InvalidTriggerError(f"cron trigger with {key}: {reason}") from None

    def for_job(self, job_id: str) -> CronTrigger:
        """With its H resolved by the job's id; itself if it has no H, or a key already.

        Raises InvalidTriggerError for an id that cannot be a `hash_key`.
        """
        schedule = self._schedule
        if not isinstance(schedule, KeylessSchedule):
            return self
        written, key = dict(schedule.written), _checked_key(job_id)
        if "crontab" in written:
            resolved = compile_crontab(written["crontab"], "seconds" in written, key)
        else:
            resolved = _compile(tuple(written.items()), key)
        changed = self._evolved(_schedule=resolved)
        assert isinstance(changed, CronTrigger)
        return changed

    def next_ms(self, after: int) -> int | None:
        """The first instant strictly after `after`, both in milliseconds since the epoch, or None."""
        start, end = self._start, self._end
        if start is not None and after < start:
            after = start - 1
        found = self._schedule.next_instant(self.timezone, after // 1000 + 1)
        if found is None or (end is not None and found * 1000 > end):
            return None
        return found * 1000

    @property
    def has_fields(self) -> bool:
        """True if a field was given: without one it is due every second."""
        return bool(self._schedule.written)

    @property
    def has_times(self) -> bool:
        """False while its H has no values, for it belongs to no job yet and has no `hash_key`."""
        return not isinstance(self._schedule, KeylessSchedule)

    @property
    def fields(self) -> list[CronField]:
        """The eight fields by name, as in APScheduler 3. Those of a crontab line are as written there: 0 is Sunday."""
        written = self._schedule.written
        given = written if "crontab" not in written else fields_of(written["crontab"], "seconds" in written)
        texts = {**{name: field.text for name, field in _defaults(given).items()}, **given}
        return [CronField(name, texts[name], name not in given) for name in FIELD_NAMES]

    def to_fields(self) -> dict[str, Any]:
        """The fields that were given, or `crontab` (with `seconds` if it has six fields), and the other arguments."""
        return {**self._schedule.written, **self._bound_fields(), **drop_unset({"hash_key": self.hash_key})}

    @property
    def hash_key(self) -> str | None:
        """The text that H hashes; None if there is no H, or the trigger's job is not known yet."""
        return self._schedule.hash_key

    @property
    def resolved(self) -> str | None:
        """The fields, or the crontab's line, with a value for each H; None if there is no H, or no value for it yet."""
        return self._schedule.resolved

    def in_words(self) -> str:
        """ "every day at 02:30, Europe/Berlin"; an expression that has no simple words as it is written."""
        name = timezone_name(self.timezone)
        zone = [] if name == "UTC" else [name]
        return ", ".join([in_words(self._schedule.written), *zone, *self._bounds_in_words()])

    def __str__(self) -> str:
        resolved = [] if self.resolved is None else [f"resolved={self.resolved!r}"]
        return f"cron[{', '.join([*self._written_options(), *resolved])}]"

    def _options(self) -> list[str]:
        keyed = [] if self.hash_key is None else [f"hash_key={self.hash_key!r}"]
        return [*self._written_options(), *keyed, *self._bound_options()]

    def _written_options(self) -> list[str]:
        return [f"{name}={text!r}" for name, text in self._schedule.written.items()]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) and not is_whole(value):
        raise InvalidTriggerError(f"cron trigger: {name} {value!r}: expected text or a whole number")
    return str(value)


def _checked_key(hash_key: object) -> str | None:
    if hash_key is None:
        return None
    if not isinstance(hash_key, str) or not hash_key:
        raise InvalidTriggerError(f"cron trigger: hash_key {hash_key!r}: expected a text that is not empty")
    if len(hash_key) > LONGEST:
        raise InvalidTriggerError(
            f"cron trigger: hash_key, or the job's id: expected at most {LONGEST} characters, got {len(hash_key)}"
        )
    try:
        hash_key.encode()
    except UnicodeEncodeError:
        raise InvalidTriggerError(f"cron trigger: hash_key {hash_key!r}: expected Unicode text") from None
    return hash_key


@lru_cache(maxsize=16_384)
def _compile(given: tuple[tuple[str, str], ...], hash_key: str | None) -> Schedule:
    """The schedule of the given fields, shared by all triggers that were given the same."""
    parsed = {name: parse_field(name, text, hash_key) for name, text in given}
    fields = {**_defaults(parsed), **parsed}
    day, weekday = fields["day"], fields["day_of_week"]
    rule = DayRule(
        years=tuple(sorted(fields["year"].values)) if "year" in parsed else ALL_YEARS,
        months=fields["month"].values,
        days=day.values,
        from_end=day.special.from_end,
        nearest=day.special.nearest,
        places=day.special.places,
        weeks=fields["week"].values,
        weekdays=weekday.values,
        weekday_places=weekday.special.places,
        either=False,
    )
    hour, minute, second = fields["hour"], fields["minute"], fields["second"]
    hashes = [f"{name} {field.resolved}" for name, field in parsed.items() if field.resolved]
    return make_schedule(
        days_of(rule),
        times_of(hour.values, minute.values, second.values),
        every_hour=len(hour.values) == 24,
        wildcard=hour.text.startswith("*") or minute.text.startswith("*"),
        written={name: field.text for name, field in parsed.items()},
        resolved=", ".join(hashes) or None,
        hash_key=hash_key,
    )


_default = cache(parse_field)  # the year's has 8,030 values


def _defaults(given: Mapping[str, object]) -> dict[str, Field]:
    least = max((FIELD_NAMES.index(name) for name in given), default=len(FIELD_NAMES))
    return {
        name: _default(name, _MINIMUM.get(name, "*") if place > least else "*")
        for place, name in enumerate(FIELD_NAMES)
    }
