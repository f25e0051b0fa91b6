"""Declared jobs: gives the store the jobs of the configuration file's [[job]] entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from gsched.config import Configuration
from gsched.errors import ConfigurationError, JobIdConflictError, JobNotFoundError
from gsched.jobs.job import NOTHING, Job, replacement
from gsched.policies.pauses import paused
from gsched.runner.crontab.reboot import BOOTS
from gsched.runner.declaration import Declaration, as_enabled, is_disabled, read_declaration, wrong_command_defaults
from gsched.runner.origins import OWNER
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.triggers import DateTrigger

# The fields that are compared with the stored job, beside the trigger.
_DEFINING: Final = (
    *("func_ref", "args", "kwargs", "name", "executor", "misfire_grace_ms", "coalesce", "max_instances"),
    *("timeout_seconds", "policy", "tags"),
)


class DeclaredChanges(NamedTuple):
    """The changes after which the store has the declared jobs, and no other jobs from this file."""

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
    """The jobs that the configuration declares. Their functions are imported, and the scheduler may run them now.

    Raises ConfigurationError with a line for each mistake, which names the entry and the key.
    """
    found: dict[tuple[str, str], Declaration] = {}
    wrong = wrong_command_defaults(configuration)
    if wrong:
        configuration = replace(configuration, command_defaults=NOTHING)  # else each entry would repeat these mistakes
    for number, entry in enumerate(configuration.jobs, 1):
        where = f"{configuration.path}: [[job]] {number} ({entry.get('id', 'without id')!r})"
        with wrong.collect():
            declaration = read_declaration(where, entry, configuration, scheduler)
            if declaration.key in found:
                raise ConfigurationError(f"{where}: id: another entry has this id already; write another one")
            found[declaration.key] = declaration
    wrong.complain()
    return list(found.values())


def plan_declared(scheduler: GeventScheduler, declarations: Sequence[Declaration], owner: str) -> DeclaredChanges:
    """The differences between the declared jobs and those in the store. Nothing is changed yet.

    :param owner: the name of the scheduler whose file declares the jobs
    :raises ConfigurationError: if somebody else has added a job with the id of a declared one
    """
    plan = DeclaredChanges([], [], [], 0)
    left = {(job.jobstore, job.id): job.definition for job in scheduler.get_jobs(metadata={OWNER: owner})}
    unchanged = 0
    for declaration in declarations:
        known = left.pop(declaration.key, None) or _known(scheduler, declaration, owner)
        if known is None:
            if not _is_over(declaration.job, scheduler.clock.now_ms()):
                plan.added.append(declaration)
        elif known.parked is not None or _differs(known, declaration.job):  # a change makes its owner try it again
            plan.changed.append(declaration)
        else:
            unchanged += 1
    plan.removed.extend(left.values())
    return plan._replace(unchanged=unchanged)


def apply_declared(scheduler: GeventScheduler, plan: DeclaredChanges, owner: str) -> None:
    """Make the changes of a plan. Any number of processes may do so at once.

    A job with an unchanged trigger keeps its next run time. A job keeps a pause that is not this file's.
    """
    engine, now = engine_of(scheduler), scheduler.clock.now_ms()
    for declaration in plan.added:
        made = as_enabled(engine.build_job(declaration.definition), declaration, now)  # as of now
        try:
            engine.call(engine.add_jobs, [made], made.jobstore, False, ())
        except JobIdConflictError:
            _known(scheduler, declaration, owner)  # raises unless another runner of this file has added it
    for declaration in plan.changed:
        made = engine.build_job(declaration.definition)  # now: the file may have been read long before
        with suppress(JobNotFoundError):
            engine.change_job(made.id, partial(_changed, made, declaration, now), made.jobstore)
    for job in plan.removed:
        with suppress(JobNotFoundError):
            scheduler.remove_job(job.id, job.jobstore)


# -- comparing ------------------------------------------------------------------------------------------------------


def _known(scheduler: GeventScheduler, declaration: Declaration, owner: str) -> Job | None:
    """The job in the store; None if there is none. Raises ConfigurationError if the file did not declare it."""
    found = scheduler.get_job(declaration.job.id, declaration.job.jobstore)
    if found is None:
        return None
    if found.metadata.get(OWNER) != owner:
        by = found.metadata.get(OWNER, "other means")
        raise ConfigurationError(f"{declaration.where}: a job with this id was added by {by}; remove or rename either")
    return found.definition


def _is_over(job: Job, now: int) -> bool:
    """True if the job's last instant has passed. Such a job is not added: it would run late at each start."""
    return job.next_run_ms is None or (isinstance(job.trigger, DateTrigger) and job.next_run_ms < now)


def _differs(old: Job, new: Job) -> bool:
    if (new.paused and not old.paused) or (is_disabled(old) and not new.paused):
        return True
    if not new.trigger.same_schedule(old.trigger):
        return True
    if plain({**old.metadata, BOOTS: None}) != plain({**new.metadata, BOOTS: None}):
        return True
    return any(plain(getattr(old, name)) != plain(getattr(new, name)) for name in _DEFINING)


def _changed(new: Job, declaration: Declaration, now: int, old: Job) -> Job:
    boots = {BOOTS: old.metadata[BOOTS]} if BOOTS in old.metadata else {}
    replaced = replacement(old, new.evolve(metadata={**new.metadata, **boots}), keep_schedule=True)
    if replaced.pause is None and (pause := old.pause_at(now)) is not None:  # the new job has another trigger
        replaced = paused(replaced, pause, now)
    return as_enabled(replaced, declaration, now)


def plain(value: Any) -> Any:
    """One form for values that a store does not distinguish: lists and tuples, dictionaries and other mappings."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
