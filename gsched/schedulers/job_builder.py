"""Builds checked jobs from add_job's arguments."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from typing import Any, Final

from gsched.errors import ConfigurationError, InvalidJobError, InvalidTriggerError
from gsched.jobs.callables import name_of
from gsched.jobs.calls import CallChecker, named_function
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import UNDEFINED, Job, Undefined
from gsched.jobs.options import OPTIONS, checked_args, checked_kwargs, checked_options, checked_text
from gsched.jobs.pause import PLAIN
from gsched.jobs.policy import NO_POLICY
from gsched.jobs.policy_options import refuse_contradictions
from gsched.policies.pauses import paused
from gsched.policies.spreading import awaits_phase
from gsched.times.instants import as_instant, timezone_name, to_ms
from gsched.triggers import AndTrigger, BaseTrigger, CronTrigger, DateTrigger, IntervalTrigger, OrTrigger
from gsched.triggers.registry import is_crontab, trigger_class
from gsched.triggers.spread import spread_trigger
from gsched.wording import did_you_mean, shown_with_type

MOST_SHARED: Final = 10_000  # different triggers that are remembered while many jobs are built
MOST_TEMPLATES: Final = 1000  # and from one call to the next
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_DEFINITION: Final = frozenset(
    {"func", "trigger", "args", "kwargs", "id", "name", "next_run_time", "spread", *OPTIONS}
)


class Template:
    """A trigger before its phase is set. It remembers how it began last: jobs that are added in one millisecond share
    one trigger.
    """

    __slots__ = ("_last", "trigger")

    def __init__(self, trigger: BaseTrigger) -> None:
        self.trigger = trigger
        self._last: tuple[int, tuple[BaseTrigger, int | None]] = -1, (trigger, None)

    def begun(self, at: int) -> tuple[BaseTrigger, int | None]:
        """The trigger with its phase set, and its first instant: see `BaseTrigger.begun`."""
        last = self._last  # once: several threads may add jobs
        if last[0] != at:
            last = self._last = at, self.trigger.begun(at)
        return last[1]


class JobBuilder:
    """Builds jobs that are added at one moment. Triggers and functions that many of them share are made once.

    :param now: milliseconds since the epoch
    :param timezone: for triggers given by name and for naive times
    :param defaults: job fields to start from (see `checked_options`)
    :param allowed: gets the functions that the program itself uses
    :param calls: remembers the signatures of functions
    :param awaits: True if the executor with this alias awaits coroutines
    :param templates: triggers as they were made earlier, before their phases were set: most jobs of a program have one
        of a few triggers, and to check and make it takes longer than all the rest
    """

    def __init__(
        self,
        now: int,
        timezone: tzinfo,
        defaults: Mapping[str, Any],
        allowed: AllowedFunctions,
        calls: CallChecker,
        awaits: Callable[[str], bool],
        templates: dict[tuple[Any, ...], Template],
    ) -> None:
        self._now = now
        self._timezone = timezone
        self._defaults = defaults
        self._allowed = allowed
        self._calls = calls
        self._awaits = awaits
        self._templates = templates
        self._functions: dict[Any, tuple[Callable[..., Any], str | None]] = {}
        self._triggers: dict[tuple[Any, ...], tuple[BaseTrigger, int | None]] = {}

    def build(self, definition: Mapping[str, Any]) -> Job:
        """The job that add_job's arguments define. Unknown arguments are the trigger's.

        Raises InvalidJobError, InvalidTriggerError or FuncRefError.
        """
        given = {key: value for key, value in definition.items() if value is not UNDEFINED}
        trigger_args = {key: given.pop(key) for key in given.keys() - _DEFINITION}
        func, ref = self._function(given.pop("func", None))
        job_id = uuid.uuid4().hex if given.get("id") is None else checked_text("id", given["id"])
        try:
            trigger, due = self._begun(given.pop("trigger", None), trigger_args, job_id, given.pop("spread", None))
        except InvalidTriggerError as error:
            raise InvalidTriggerError(f"{error}{_meant_option(str(error), trigger_args)}") from None
        job = Job(
            id=job_id,
            func=func,
            func_ref=ref,
            trigger=trigger,
            next_run_ms=due,
            args=checked_args(given.pop("args", None)),
            kwargs=checked_kwargs(given.pop("kwargs", None)),
            name=name_of(func) if given.get("name") is None else checked_text("name", given["name"]),
            **self._options({key: given[key] for key in given.keys() & OPTIONS.keys()}),
        )
        refuse_contradictions(job, given)
        self._calls.check(job, self._awaits(job.executor))
        if ref is not None:
            self._allowed.register(ref, func, job.args, job.kwargs)
        due_at = given.get("next_run_time", UNDEFINED)
        refuse_two_phases(job, due_at)
        return with_next_run_time(with_jitter(job), due_at, self._timezone, self._now)

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._defaults, **checked_options(options, self._defaults.get("policy", NO_POLICY))}

    def _function(self, func: Any) -> tuple[Callable[..., Any], str | None]:
        try:
            known = self._functions.get(func)
        except TypeError:  # a callable object that cannot be hashed
            return named_function(func)
        if known is None:
            known = self._functions[func] = named_function(func)
        return known

    def _begun(
        self, trigger: Any, trigger_args: Mapping[str, Any], job_id: str, spread: Any
    ) -> tuple[BaseTrigger, int | None]:
        if not isinstance(trigger, str):
            return self._made(trigger, trigger_args, spread).for_job(job_id).begun(self._now)
        key = (trigger, spread, *trigger_args.items(), *map(type, (spread, *trigger_args.values())))  # for 1 == True
        try:
            known = self._triggers.get(key)
        except TypeError:  # an argument that cannot be hashed, such as a list of triggers
            return self._made(trigger, trigger_args, spread).for_job(job_id).begun(self._now)
        if known is None:
            template = self._template(key, trigger, trigger_args, spread)
            own = template.trigger.for_job(job_id)
            if own is not template.trigger:
                return own.begun(self._now)
            known = template.begun(self._now)
            if len(self._triggers) < MOST_SHARED:
                self._triggers[key] = known
        return known

    def _template(self, key: tuple[Any, ...], trigger: str, args: Mapping[str, Any], spread: Any) -> Template:
        """The trigger before its phase is set. Equal datetimes may have different zones, so these are not compared."""
        if not _PLAIN.issuperset(map(type, args.values())):
            return Template(self._made(trigger, args, spread))
        known = self._templates.get(key)
        if known is None:
            if len(self._templates) >= MOST_TEMPLATES:
                self._templates.clear()
            known = self._templates[key] = Template(self._made(trigger, args, spread))
        return known

    def _made(self, trigger: Any, trigger_args: Mapping[str, Any], spread: Any) -> BaseTrigger:
        made = make_trigger(trigger, trigger_args, self._timezone)
        if spread and "anchor" in trigger_args:
            raise InvalidTriggerError("spread: anchor sets the phase already; leave out one of them")
        return made if spread is None else spread_trigger(made, spread)


def _meant_option(refusal: str, arguments: Iterable[str]) -> str:
    """The end of a message: the job's option that an argument, which no trigger knows, may be a misspelling of."""
    unknown = next((name for name in arguments if refusal.endswith(f"{name!r} is unknown")), None)
    return "" if unknown is None else did_you_mean(unknown, _DEFINITION)


def make_trigger(trigger: Any, arguments: Mapping[str, Any], timezone: tzinfo) -> BaseTrigger:
    """A trigger from an object, a type's name or a crontab's text with arguments, or a mapping with its type.

    None is a trigger that is due at once.

    Raises InvalidTriggerError.
    """
    if isinstance(trigger, Mapping):
        trigger, arguments = trigger.get("type"), {**{k: v for k, v in trigger.items() if k != "type"}, **arguments}
    if trigger is None and not arguments:
        return DateTrigger(timezone=timezone)
    if isinstance(trigger, BaseTrigger):
        if arguments:
            names = ", ".join(sorted(arguments))
            raise InvalidTriggerError(f"{names}: not an option of a job, and the trigger is complete already")
        return trigger.placed(timezone)
    if not isinstance(trigger, str):
        names = shown_with_type(trigger) if trigger is not None else ", ".join(sorted(arguments))
        raise InvalidTriggerError(f"trigger: expected a trigger, the name of a type, or a crontab's text ({names})")
    if is_crontab(trigger):
        trigger, arguments = "cron", {"crontab": trigger, **arguments}
    kind = trigger_class(trigger)
    if not issubclass(kind, (AndTrigger, OrTrigger)):
        arguments = {"timezone": timezone_name(timezone), **arguments}
    made = kind.from_fields(arguments)
    if isinstance(made, CronTrigger) and not made.has_fields:
        raise InvalidTriggerError(
            "cron trigger: none of its fields is given, which would be every second; if that is meant, say second='*'"
        )
    return made.placed(timezone)


def refuse_two_phases(job: Job, next_run_time: Any) -> None:
    """Raises InvalidJobError if the job is to be spread, and has a next run time of its own."""
    if awaits_phase(job) and not isinstance(next_run_time, Undefined) and next_run_time is not None:
        raise InvalidJobError("spread: next_run_time sets the phase already; leave out one of them")


def with_jitter(job: Job) -> Job:
    """The job with the jitter of its trigger added to its first instant."""
    if not job.trigger.jitter_ms or job.next_run_ms is None:
        return job
    return job.evolve(next_run_ms=job.next_ms(job.next_run_ms - 1))


def with_next_run_time(job: Job, next_run_time: Any, timezone: tzinfo, now: int) -> Job:
    """The job with the user's next run time. None pauses it; an instant or "now" moves an interval or a date.

    :param now: milliseconds since the epoch
    """
    if isinstance(next_run_time, Undefined):
        return job
    if next_run_time is None:
        return job if job.paused else paused(job, PLAIN, now)
    try:
        due = now if next_run_time == "now" else to_ms(as_instant(next_run_time, timezone, "next_run_time"))
    except ConfigurationError as error:
        raise InvalidJobError(str(error)) from None
    return job.evolve(trigger=_anchored(job.trigger, due), next_run_ms=due, pause=None)


def _anchored(trigger: BaseTrigger, due: int) -> BaseTrigger:
    """The trigger with its phase set by `due`. Jitter neither delays that instant nor adds a delayed copy of it."""
    if isinstance(trigger, IntervalTrigger) and trigger.jitter_ms:
        longest = min(trigger.jitter_ms, int(trigger.interval_length * 1000) - 1)
        return trigger.anchored(due - longest)
    return trigger.anchored(due)


def check_executor(job: Job, executors: Mapping[str, Any]) -> None:
    """Raises InvalidJobError if the job names an executor that does not exist."""
    if job.executor not in executors:
        raise InvalidJobError(f"executor {job.executor!r} is unknown; there are {', '.join(sorted(executors))}")
