"""Declared jobs: the [[job]] entries of the configuration file, and the store's jobs that come from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple

from gsched.building import make_trigger
from gsched.config import Configuration
from gsched.errors import ConfigurationError, GschedError, JobIdConflictError, JobNotFoundError
from gsched.instants import as_timezone, timezone_name
from gsched.job import OPTIONS, Job, replacement
from gsched.runner.application import import_function
from gsched.runner.commands import RUN_COMMAND
from gsched.runner.comparing import plain
from gsched.runner.reboot import BOOTS, END_OF_TIME, REBOOT_TAG
from gsched.scheduler import GeventScheduler
from gsched.spelling import did_you_mean
from gsched.triggers import DateTrigger
from gsched.triggers.reboot import RebootTrigger

OWNER: Final = "declared_by"  # in the metadata of declared jobs: the name of the scheduler whose file has them
_COMMAND_OPTIONS: Final = ("shell", "env", "cwd", "stdin", "user", "max_lines")
_KEYS: Final = ("id", "func", "command", "trigger", "args", "kwargs", "name", *OPTIONS, *_COMMAND_OPTIONS)
# What makes a job another one than the one in the store, beside its trigger.
_DEFINING: Final = (
    *("func_ref", "args", "kwargs", "name", "executor", "misfire_grace_ms", "coalesce", "max_instances"),
    *("timeout_seconds", "recover", "tags"),
)


class Declaration(NamedTuple):
    """A [[job]] entry that was understood.

    :ivar where: names the entry in messages
    :ivar definition: add_job's arguments
    :ivar job: the job that they would add now
    """

    where: str
    definition: Mapping[str, Any]
    job: Job

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the job among all stores."""
        return self.job.jobstore, self.job.id


class Plan(NamedTuple):
    """What is to be done for the store to have the declared jobs, and no others from this file."""

    added: list[Declaration]
    changed: list[Declaration]
    removed: list[Job]
    unchanged: int

    def counts(self) -> dict[str, int]:
        """How many of each, for a log line."""
        return {
            "added": len(self.added),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "unchanged": self.unchanged,
        }


def read_declarations(configuration: Configuration, scheduler: GeventScheduler) -> list[Declaration]:
    """The jobs that the configuration declares, checked; their functions are imported, and allowed from now on.

    Raises ConfigurationError, naming the entry and the key.
    """
    found: dict[tuple[str, str], Declaration] = {}
    for number, entry in enumerate(configuration.jobs, 1):
        where = f"{configuration.path}: [[job]] {number} ({entry.get('id', 'without id')!r})"
        declaration = _declaration(where, entry, configuration, scheduler)
        if declaration.key in found:
            raise ConfigurationError(f"{where}: id: another entry has it already")
        found[declaration.key] = declaration
    return list(found.values())


def plan_declared(scheduler: GeventScheduler, declarations: Sequence[Declaration], owner: str) -> Plan:
    """What has come, changed or left since the store was told last. Nothing is changed yet.

    :param owner: whose jobs they are: the scheduler's name
    :raises ConfigurationError: if a job with the id of a declared one was added by other means
    """
    plan = Plan([], [], [], 0)
    left = {(job.jobstore, job.id): job.definition for job in scheduler.get_jobs(metadata={OWNER: owner})}
    unchanged = 0
    for declaration in declarations:
        known = left.pop(declaration.key, None) or _known(scheduler, declaration, owner)
        if known is None:
            if not _is_over(declaration.job, scheduler.now_ms()):
                plan.added.append(declaration)
        elif _differs(known, declaration.job):
            plan.changed.append(declaration)
        else:
            unchanged += 1
    plan.removed.extend(left.values())
    return plan._replace(unchanged=unchanged)


def apply_declared(scheduler: GeventScheduler, plan: Plan, owner: str) -> None:
    """Do it. Any number of processes may do the same at once.

    An unchanged trigger keeps its next run time, and the job its pause.
    """
    for declaration in plan.added:
        try:
            scheduler.add_job(**declaration.definition)
        except JobIdConflictError:
            _known(scheduler, declaration, owner)  # raises unless it was a process like this one
    for declaration in plan.changed:
        made = scheduler.build_job(declaration.definition)  # now: the file may have been read long before
        with suppress(JobNotFoundError):
            scheduler.change_job(made.id, partial(_changed, made), made.jobstore)
    for job in plan.removed:
        with suppress(JobNotFoundError):
            scheduler.remove_job(job.id, job.jobstore)


# -- reading one entry ----------------------------------------------------------------------------------------------


def _declaration(
    where: str, entry: Mapping[str, Any], configuration: Configuration, scheduler: GeventScheduler
) -> Declaration:
    with _naming(where):
        _check_keys(entry)
        defaults = configuration.defaults if configuration.app is not None else {}
        given = {key: value for key, value in entry.items() if key not in ("command", "trigger", *_COMMAND_OPTIONS)}
        definition = {**defaults, **given, **_call(entry), "metadata": _owned(entry, configuration.name)}
        with _naming("trigger"):
            definition |= _timing(entry, _zone_name(configuration, scheduler), scheduler)
        job = scheduler.build_job(definition)
        _check_aliases(job, scheduler)
    return Declaration(where, definition, job)


def _check_keys(entry: Mapping[str, Any]) -> None:
    for key in entry:
        if key not in _KEYS:
            raise ConfigurationError(f"the key {key!r} is unknown{did_you_mean(key, _KEYS)}")
        if key in _COMMAND_OPTIONS and "command" not in entry:
            raise ConfigurationError(f"{key}: only an entry with a command has it")
    for key in ("id", "trigger"):
        if key not in entry:
            raise ConfigurationError(f"the key {key!r} is missing")
    if ("func" in entry) == ("command" in entry):
        raise ConfigurationError("it needs either func or command")


def _call(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "func" in entry:
        with _naming("func"):
            if not isinstance(entry["func"], str):
                raise ConfigurationError(f"expected 'package.module:function', got {entry['func']!r}")
            import_function(entry["func"])
        return {}
    for key in ("args", "kwargs"):
        if key in entry:
            raise ConfigurationError(f"{key}: a command has none; write them into the command")
    if not isinstance(entry["command"], str) or not entry["command"].strip():
        raise ConfigurationError(f"command: expected a text, got {entry['command']!r}")
    options = {key: entry[key] for key in _COMMAND_OPTIONS if key in entry}
    name = entry.get("name", entry["command"])
    return {"func": RUN_COMMAND, "args": [entry["command"]], "kwargs": options, "name": name}


def _owned(entry: Mapping[str, Any], owner: str) -> dict[str, Any]:
    metadata = entry.get("metadata", {})
    if not isinstance(metadata, Mapping) or OWNER in metadata:
        raise ConfigurationError(f"metadata: expected a table without {OWNER!r}, got {metadata!r}")
    return {**metadata, OWNER: owner}


def _timing(entry: Mapping[str, Any], zone: str, scheduler: GeventScheduler) -> dict[str, Any]:
    """When it is due, as add_job's arguments. A text is a crontab's."""
    written = entry["trigger"]
    if not isinstance(written, (str, Mapping)):
        raise ConfigurationError(f"expected a table with its type, or a crontab's text, got {written!r}")
    table = {"type": "cron", "crontab": written} if isinstance(written, str) else written
    trigger = make_trigger(_zoned(table, zone), {}, scheduler.timezone)
    if isinstance(trigger, DateTrigger) and trigger.run_date is None:
        raise ConfigurationError("run_date is missing")
    if isinstance(trigger, RebootTrigger):  # it is run when a runner starts, not when time comes
        tags = entry.get("tags", [])
        marked = [*tags, REBOOT_TAG] if isinstance(tags, list) else tags  # what is none is refused with the options
        return {"trigger": trigger, "tags": marked, "next_run_time": END_OF_TIME}
    return {"trigger": trigger}


def _zoned(table: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """Triggers that name no time zone get this one, those inside other triggers, too."""
    if isinstance(inner := table.get("triggers"), (list, tuple)):
        return {**table, "triggers": [_zoned(each, zone) if isinstance(each, Mapping) else each for each in inner]}
    return {**({"timezone": zone} if "type" in table else {}), **table}


def _zone_name(configuration: Configuration, scheduler: GeventScheduler) -> str:
    zone = scheduler.timezone if configuration.timezone is None else as_timezone(configuration.timezone)
    return timezone_name(zone)


def _check_aliases(job: Job, scheduler: GeventScheduler) -> None:
    for key, known in (("executor", scheduler.executors), ("jobstore", scheduler.stores)):
        alias = getattr(job, key)
        if alias not in known and alias != "default":
            there = ", ".join(sorted({"default", *known}))
            raise ConfigurationError(f"{key}: {alias!r} is unknown; there are {there}")


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except (GschedError, TypeError) as error:
        raise ConfigurationError(f"{what}: {error}") from error


# -- comparing ------------------------------------------------------------------------------------------------------


def _known(scheduler: GeventScheduler, declaration: Declaration, owner: str) -> Job | None:
    """The job in the store, if there is one. Raises ConfigurationError if it is not ours."""
    found = scheduler.get_job(declaration.job.id, declaration.job.jobstore)
    if found is None:
        return None
    if found.metadata.get(OWNER) != owner:
        by = found.metadata.get(OWNER, "other means")
        raise ConfigurationError(f"{declaration.where}: a job with this id was added by {by}; remove or rename either")
    return found.definition


def _is_over(job: Job, now: int) -> bool:
    """Whether its last instant has passed: such a job is not added, for it would be late at every start."""
    return job.next_run_ms is None or (isinstance(job.trigger, DateTrigger) and job.next_run_ms < now)


def _differs(old: Job, new: Job) -> bool:
    if not new.trigger.same_schedule(old.trigger):
        return True
    if plain({**old.metadata, BOOTS: None}) != plain({**new.metadata, BOOTS: None}):
        return True
    return any(plain(getattr(old, name)) != plain(getattr(new, name)) for name in _DEFINING)


def _changed(new: Job, old: Job) -> Job:
    boots = {BOOTS: old.metadata[BOOTS]} if BOOTS in old.metadata else {}
    return replacement(old, new.evolve(metadata={**new.metadata, **boots}), keep_schedule=True)
