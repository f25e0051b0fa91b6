"""A job as a plain document that people can read and edit, and back.

Documents come from outside: nothing in them is trusted. A document that cannot be understood makes a *parked* job, with
the reason, instead of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from gsched.checks import is_whole
from gsched.errors import FuncRefError, GschedError, InvalidJobError, InvalidTriggerError
from gsched.jobs.callables import name_of
from gsched.jobs.calls import CallChecker
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import NOTHING, Job, can_change
from gsched.jobs.last_change import last_change_document, read_last_change
from gsched.jobs.options import OPTIONS, checked_flag, checked_text
from gsched.jobs.pause import PLAIN, Pause
from gsched.jobs.pause_document import pause_document, read_pause
from gsched.jobs.policy import NO_POLICY, Policy
from gsched.jobs.policy_options import POLICY_OPTIONS, changed_policy, own_policy_options
from gsched.times.instants import from_ms, to_ms
from gsched.triggers import BaseTrigger
from gsched.triggers.registry import trigger_fields, trigger_from_fields

LONGEST_REASON: Final = 500
_LARGEST_WHOLE_DOUBLE: Final = 2**53  # beyond that, one more is the same
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_FLAT: Final = _PLAIN | {datetime}
_MOST_SEEN: Final = 10_000  # of the different triggers and options that are remembered
_MOST_VALUES: Final = 5_000  # of a trigger, with those inside of it
_MOST_CHARACTERS: Final = 100_000


class UnreadableTrigger(BaseTrigger):
    """Stands for a trigger that could not be read: never due, and written back as it was found.

    :param found: what the document has
    """

    __slots__ = ("found",)

    alias = "unreadable"

    def __init__(self, found: Any) -> None:
        self.found = found

    def next_ms(self, after: int) -> int | None:
        """Never."""
        return None

    def to_fields(self) -> dict[str, Any]:
        """The value that was found, with its type."""
        return dict(self.found) if isinstance(self.found, Mapping) else {"found": self.found}

    def __str__(self) -> str:
        return "unreadable"


# -- writing ----------------------------------------------------------------------------------------------------


def _reference(job: Job) -> str:
    if job.func_ref is None:
        name = "its function" if job.func is None else name_of(job.func)
        raise InvalidJobError(
            f"job {job.id!r}: {name} cannot be stored, because no other process could find it (a lambda, a closure, a "
            f"partial or an object); use a function at the top level of a module"
        )
    return job.func_ref


def _trigger_document(job: Job) -> Any:
    trigger = job.trigger
    return trigger.found if isinstance(trigger, UnreadableTrigger) else trigger_fields(trigger)


def _seconds(value: float | None) -> int | float | None:
    return int(value) if value is not None and value == int(value) else value


# The keys of a document in their order: the job's attributes that each depends on, and how it is written.
_WRITERS: Final[Mapping[str, tuple[Callable[[Job], Any], Callable[[Job], Any]]]] = {
    "name": (attrgetter("name"), lambda job: job.name),
    "func": (attrgetter("func_ref", "func"), _reference),
    "args": (attrgetter("args"), lambda job: list(job.args)),
    "kwargs": (attrgetter("kwargs"), lambda job: dict(job.kwargs)),
    "trigger": (attrgetter("trigger"), _trigger_document),
    "executor": (attrgetter("executor"), lambda job: job.executor),
    "misfire_grace_time": (attrgetter("misfire_grace_ms"), lambda job: _seconds(job.misfire_grace_time)),
    "coalesce": (attrgetter("coalesce"), lambda job: job.coalesce),
    "max_instances": (attrgetter("max_instances"), lambda job: job.max_instances),
    "timeout": (attrgetter("timeout_seconds"), lambda job: _seconds(job.timeout_seconds)),
    "recover": (attrgetter("policy.recoveries"), lambda job: job.recover),
    "tags": (attrgetter("tags"), lambda job: list(job.tags)),
    "metadata": (attrgetter("metadata"), lambda job: dict(job.metadata)),
    "next_run_time": (attrgetter("next_run_ms"), lambda job: instant_of(job)),
    "paused": (attrgetter("paused"), lambda job: job.paused),
    "pause": (attrgetter("pause"), lambda job: pause_document(job.pause)),
    "last_change": (attrgetter("last_change"), lambda job: last_change_document(job.last_change)),
}


# The keys that a document has only if the job's policy differs from the default there.
POLICY_KEYS: Final = frozenset(POLICY_OPTIONS) - {"recover"}


def instant_of(job: Job) -> datetime | None:
    """The next run time, as its document has it."""
    return None if job.next_run_ms is None else from_ms(job.next_run_ms)


def job_document(job: Job) -> dict[str, Any]:
    """The job as plain values. Raises InvalidJobError for one whose function has no reference."""
    written = {key: write(job) for key, (_, write) in _WRITERS.items()}
    if job.last_change is None:  # as of most jobs
        del written["last_change"]
    return {"id": job.id, **written, **own_policy_options(job.policy), "rev": job.rev}


def changed_fields(old: Job, new: Job) -> dict[str, Any]:
    """The keys of the document that differ between two versions of a job, with the values of `new`.

    A key of the policy that `new` does not have is not among them: see `POLICY_KEYS`.

    Raises InvalidJobError if that cannot be written.
    """
    changed = {key: write(new) for key, (depends, write) in _WRITERS.items() if depends(old) != depends(new)}
    return changed if new.policy is old.policy else {**changed, **own_policy_options(new.policy)}


# -- reading ----------------------------------------------------------------------------------------------------


class DocumentReader:
    """Reads many documents: functions, triggers and options that they share are resolved, parsed and checked once.

    Make a reader for each batch: it remembers functions that could not be found, and these may be added later.

    :param allowed: which function references may be resolved
    :param jobstore: the alias of the store that the jobs are in
    :param id_key: the key under which documents have the job's id
    :param durable: the documents are a store's, so that each run gets arguments of its own
    """

    def __init__(
        self, allowed: AllowedFunctions, jobstore: str, id_key: str = "id", *, durable: bool = False
    ) -> None:
        self._allowed = allowed
        self._jobstore = jobstore
        self._id_key = id_key
        self._durable = durable
        self._calls = CallChecker()
        self._functions: dict[str, Callable[..., Any]] = {}
        self._missing: dict[str, str] = {}
        self._seen_options: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._seen_policies: dict[Any, Policy] = {}

    def read(self, document: Mapping[str, Any]) -> Job:
        """The job. If any part of it cannot be understood, `parked` has the reason; the rest is as in the document."""
        problems: list[str] = []
        fields = _read_into(self._options(document, problems), document, _OWN, problems)
        if "next_run_time" not in document:
            problems.append("next_run_time is missing")
        fields["id"] = self._id(document, problems)
        fields["func_ref"], fields["func"] = self._function(document.get("func"), fields, problems)
        fields["trigger"] = _trigger(document.get("trigger"), fields["id"], problems)
        if not document.keys().isdisjoint(POLICY_KEYS):
            fields["policy"] = self._policy(document, problems)
        fields.setdefault("name", fields["id"])
        if document.get("pause") is not None:
            self._pause(document, fields, problems)
        if document.get("last_change") is not None:
            fields["last_change"] = read_last_change(document["last_change"])
        if self._durable:
            fields["copies_arguments"] = can_change((*fields.get("args", ()), *fields.get("kwargs", NOTHING).values()))
        return self._checked(Job(jobstore=self._jobstore, **fields), problems)

    def _options(self, document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
        """The job's fields from `_SHARED`; most jobs of a program have the same values there."""
        try:
            values = _shared_values(document)
            key = (values, *map(type, values))  # the types too, for 1 == True
            known = self._seen_options.get(key)
        except (KeyError, TypeError):  # one is not there, or cannot be hashed
            return _read_into({}, document, _SHARED, problems)
        if known is None:
            known = _read_into({}, document, _SHARED, problems)
            if not problems and len(self._seen_options) < _MOST_SEEN:
                self._seen_options[key] = known
        return known.copy()

    def _policy(self, document: Mapping[str, Any], problems: list[str]) -> Policy:
        """The job's policy, if its document has keys of one."""
        found = {key: document[key] for key in POLICY_OPTIONS if key in document}
        wrong: list[str] = []
        try:
            known = self._seen_policies.get(key := _frozen(found))
            if known is None:
                known = changed_policy(NO_POLICY, _read_into({}, found, POLICY_OPTIONS, wrong))
                if not wrong and len(self._seen_policies) < _MOST_SEEN:
                    self._seen_policies[key] = known
        except Exception as error:  # hostile values may raise anything
            wrong.append(_reason("policy", error))
            known = NO_POLICY
        problems += wrong
        return known

    def _id(self, document: Mapping[str, Any], problems: list[str]) -> str:
        job_id = document.get(self._id_key)
        if isinstance(job_id, str) and job_id:
            try:
                return _text(self._id_key, job_id)
            except InvalidJobError as error:
                problems.append(str(error))
                return job_id
        problems.append(f"{self._id_key}: expected a text that is not empty, got {type(job_id).__name__}")
        return ""

    def _function(
        self, ref: Any, fields: Mapping[str, Any], problems: list[str]
    ) -> tuple[str | None, Callable[..., Any] | None]:
        if not isinstance(ref, str):
            problems.append("func: expected a reference 'package.module:function'")
            return None, None
        func = self._functions.get(ref)
        if func is None and ref not in self._missing:
            try:
                func = self._functions[ref] = self._allowed.resolve(ref)
            except FuncRefError as error:
                self._missing[ref] = str(error)
            except Exception as error:  # objects on the way may have properties that raise
                self._missing[ref] = _reason(ref, error)
        if func is None:
            func = self._allowed.registered_call(ref, fields.get("args", ()), fields.get("kwargs", NOTHING))
        if func is None:
            problems.append(self._missing[ref])
        return ref, func

    def _pause(self, document: Mapping[str, Any], fields: dict[str, Any], problems: list[str]) -> None:
        try:
            fields["pause"] = read_pause(fields.get("pause") is not None, document["pause"])
        except Exception as error:  # as in `_read_into`
            problems.append(_reason("pause", error))

    def _checked(self, job: Job, problems: list[str]) -> Job:
        if not problems:
            try:
                self._calls.check(job, awaits=True)  # the hub knows the executor: see `Dispatch.obstacle`
            except Exception as error:
                problems.append(_reason("args", error))
        if not problems:
            return job
        return job.evolve(parked="; ".join(problems)[:LONGEST_REASON], func=None)


def _read_into(
    fields: dict[str, Any], document: Mapping[str, Any], readers: _Readers, problems: list[str]
) -> dict[str, Any]:
    for key, (name, read) in readers.items():
        if key in document:
            try:
                fields[name] = read(key, document[key])
            except Exception as error:  # hostile values may raise anything, even in an error's own text
                problems.append(_reason(key, error))
    return fields


def _reason(key: str, error: Exception) -> str:
    return str(error)[:LONGEST_REASON] if isinstance(error, GschedError) else f"{key}: {type(error).__name__}"


def _text(key: str, value: Any) -> str:
    return value if type(value) is str and value and value.isascii() else checked_text(key, value)


def _name(key: str, value: Any) -> str:
    return value if value == "" else _text(key, value)


def _args(key: str, value: Any) -> tuple[Any, ...]:
    if type(value) is list or isinstance(value, (list, tuple)):
        return tuple(value)
    raise InvalidJobError(f"{key}: expected a list, got {value!r}")


def _kwargs(key: str, value: Any) -> Mapping[str, Any]:
    for name in (mapping := _mapping(key, value)):
        if type(name) is not str:
            raise InvalidJobError(f"{key}: expected text keys, got {name!r}")
    return mapping


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if type(value) is dict or isinstance(value, Mapping):
        return MappingProxyType(dict(value)) if value else NOTHING
    raise InvalidJobError(f"{key}: expected a mapping, got {value!r}")


def _tags(key: str, value: Any) -> tuple[str, ...]:
    return tuple([_text(key, tag) for tag in _args(key, value)])


def _recovering(key: str, value: Any) -> Policy:
    name, check = POLICY_OPTIONS[key]
    return NO_POLICY.with_changes(**{name: check(key, value)})


def _instant_ms(key: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidJobError(f"{key}: expected a time with its zone or null, got {value!r}")
    return to_ms(value)


def _paused(key: str, value: Any) -> Pause | None:
    return PLAIN if checked_flag(key, value) else None


def _rev(key: str, value: Any) -> int:
    rev = as_revision(value)
    if rev is None:
        raise InvalidJobError(f"{key}: expected a whole number, got {value!r}")
    return rev


def as_revision(value: Any) -> int | None:
    """The whole number, or None if it is none; some shells write every number as a double."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_WHOLE_DOUBLE:
        return int(value)
    return value if is_whole(value) else None


_Readers: TypeAlias = Mapping[str, tuple[str, Callable[[str, Any], Any]]]

# How each key of a document is read, and the job's field that it sets. A missing key leaves the field's default.
_OWN: Final[_Readers] = {
    "name": ("name", _name),
    "args": ("args", _args),
    "kwargs": ("kwargs", _kwargs),
    "tags": ("tags", _tags),
    "metadata": ("metadata", _mapping),
    "next_run_time": ("next_run_ms", _instant_ms),
    "rev": ("rev", _rev),
}
_SHARED: Final[_Readers] = {
    **{key: OPTIONS[key] for key in ("misfire_grace_time", "coalesce", "max_instances", "timeout")},
    "recover": ("policy", _recovering),
    "executor": ("executor", _text),
    "paused": ("pause", _paused),
}
_shared_values = itemgetter(*_SHARED)


# -- triggers ---------------------------------------------------------------------------------------------------

_triggers: dict[Any, BaseTrigger] = {}  # recently parsed triggers; triggers never change, so jobs may share them


def _trigger(fields: Any, job_id: str, problems: list[str]) -> BaseTrigger:
    try:
        anchor = fields.get("anchor") if type(fields) is dict and fields.get("type") == "interval" else None
        if isinstance(anchor, datetime) and anchor.tzinfo is not None:
            # Intervals of jobs that were added one by one differ in their anchors only.
            return _shared_trigger({**fields, "anchor": None}, to_ms(anchor))
        return _shared_trigger(fields).for_job(job_id)
    except Exception as error:  # a plugin's type, or hostile values, may raise anything
        problems.append(_reason("trigger", error))
        return UnreadableTrigger(fields)


def _shared_trigger(fields: Any, anchor: int | None = None) -> BaseTrigger:
    is_flat = type(fields) is dict and _FLAT.issuperset(map(type, fields.values()))
    if not is_flat:
        _refuse_large(fields)
    key = _frozen(fields)
    trigger = _triggers.get((key, anchor))
    if trigger is None:
        if is_flat:
            _refuse_large(fields)
        if anchor is None:
            trigger = trigger_from_fields(fields)
        else:
            trigger = (_triggers.get((key, None)) or _shared_trigger(fields)).anchored(anchor)
        if len(_triggers) >= _MOST_SEEN:
            _triggers.clear()
        _triggers[key, anchor] = trigger
    return trigger


def _refuse_large(fields: Any) -> None:
    """Raises InvalidTriggerError for more than any trigger needs: reading a large document takes seconds."""
    unseen, values, characters = [fields], 0, 0
    while unseen:
        each = unseen.pop()
        if isinstance(each, (str, bytes)):
            characters += len(each)
        elif isinstance(each, (Mapping, list, tuple)):
            values += len(each)
        if values > _MOST_VALUES or characters > _MOST_CHARACTERS:
            raise InvalidTriggerError(
                f"trigger: expected at most {_MOST_VALUES} values and {_MOST_CHARACTERS} characters"
            )
        if isinstance(each, Mapping):
            unseen += [*each, *each.values()]
        elif isinstance(each, (list, tuple)):
            unseen += each


def _frozen(value: Any) -> Any:
    """Something hashable that is equal for equal values of equal types: 1, 1.0 and True differ here."""
    kind = type(value)
    if kind is dict and _PLAIN.issuperset(kinds := tuple(map(type, value.values()))):
        return (*value.items(), kinds)
    if kind in _PLAIN:
        return (kind, value)
    if kind is dict or isinstance(value, Mapping):
        return (dict, *value, *map(_frozen, value.values()))
    if kind is list or isinstance(value, tuple):
        return (list, *map(_frozen, value))
    return (kind, value.isoformat() if isinstance(value, datetime) else value)
