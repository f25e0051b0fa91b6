"""Keeps a crontab's commands as jobs of a scheduler: adds, changes and removes jobs as their lines change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple

from gsched.errors import ConfigurationError, JobIdConflictError, JobNotFoundError
from gsched.files.text import read_text_with_bytes
from gsched.jobs.job import Job
from gsched.policies.pauses import paused
from gsched.runner.application import working_directory
from gsched.runner.crontab.jobs import MAIL, CrontabLine, crontab_definitions
from gsched.runner.crontab.lines import Crontab, read_crontab
from gsched.runner.crontab.mail import add_mail_notifiers
from gsched.runner.crontab.reboot import END_OF_TIME, REBOOT_TAG
from gsched.runner.declared import plain
from gsched.runner.logs import runner_log
from gsched.runner.origins import CRONTAB, PREFIX
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.schedulers.handle import JobHandle
from gsched.times.durations import as_seconds

_SYSTEM_PLACES: Final = (Path("/etc/crontab"), Path("/etc/cron.d"))


class Change(NamedTuple):
    """What an import does to one job.

    :ivar action: added, changed, moved (to another line), removed or unchanged
    :ivar name: the command
    :ivar trigger: the trigger, as text
    :ivar arguments: the arguments of add_job or modify_job
    """

    action: str
    job_id: str
    name: str
    trigger: str
    arguments: Mapping[str, Any] = {}


class Source(NamedTuple):
    """The source of a crontab. Jobs record their source, so that a job whose line has gone can be removed.

    :ivar file: an absolute path, or "-"
    :ivar prefix: the beginning of the jobs' ids
    :ivar system: True if each line names its user
    :ivar user: the user who runs the commands of a crontab that names none; None: the runner's
    """

    file: str
    prefix: str
    system: bool = False
    user: str | None = None

    def mark(self) -> dict[str, str]:
        """The metadata that marks the jobs of this source."""
        return {CRONTAB: self.file, PREFIX: self.prefix}


def source_of(
    file: str, *, system: bool = False, user: str | None = None, prefix: str | None = None
) -> Source:
    """The source that a path, or "-" for standard input, names. The ids of a file's jobs begin with its name.

    :raises ConfigurationError: if a user is given for a system crontab, or the working directory was deleted
    """
    path = Path(file) if Path(file).is_absolute() else working_directory() / file
    is_system = system or (file != "-" and any(place in (path, path.parent) for place in _SYSTEM_PLACES))
    if is_system and user is not None:
        raise ConfigurationError(f"{file}: a system crontab names the users itself; leave out --user")
    if prefix is None:
        prefix = f"{path.name}/" if file != "-" else f"{user}/" if user else ""
    return Source("-" if file == "-" else str(path), prefix, is_system, user)


def plan_import(
    scheduler: GeventScheduler,
    crontab: Crontab,
    source: Source,
    *,
    options: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> list[Change]:
    """The changes after which the default store has the crontab's jobs, and no other jobs from this source.

    :param options: options of add_job for all of these jobs; durations as text or seconds
    :param replace: also replace jobs with the same ids that are not from this source
    :raises JobIdConflictError: if such a job has one of the ids, and `replace` is False
    """
    given = {name: as_seconds(value, name) for name, value in (options or {}).items()}
    left = {job.id: job for job in scheduler.get_jobs("default", metadata=source.mark())}
    changes = []
    known = {job_id: _line_of(job) for job_id, job in left.items() if job.args}
    for job_id, definition in crontab_definitions(crontab.entries, *source[:2], source.user, known):
        wanted = {**definition, "trigger": definition["trigger"].for_job(job_id), **given}
        job = left.pop(job_id, None)
        if job is None and replace:
            job = scheduler.get_job(job_id, "default")
        elif job is None and scheduler.get_job(job_id, "default") is not None:
            raise JobIdConflictError(job_id)
        changes.append(_adding(job_id, wanted) if job is None else _changing(job, wanted))
    return changes + [Change("removed", job.id, job.name, str(job.trigger)) for job in left.values()]


def apply_import(scheduler: GeventScheduler, changes: Iterable[Change]) -> None:
    """Make the changes of a plan. Paused jobs stay paused."""
    changes = list(changes)
    added = [{"id": change.job_id, **change.arguments} for change in changes if change.action == "added"]
    scheduler.add_jobs(added, replace_existing=True)  # a process that starts with this one may have been faster
    for change in changes:
        if change.action in ("changed", "moved"):
            _modify(scheduler, change)
        elif change.action == "removed":
            with suppress(JobNotFoundError):
                scheduler.remove_job(change.job_id, "default")


class CrontabFile(NamedTuple):
    """A crontab without mistakes, and its source."""

    source: Source
    crontab: Crontab


def load_crontab(file: str, timezone: str | tzinfo | None) -> CrontabFile:
    """The crontab in a file.

    :param timezone: the zone of the schedules above the first CRON_TZ
    :raises ConfigurationError: if the file cannot be read, or lines have mistakes; the error names all of these lines
    """
    source = source_of(file)
    crontab = read_crontab(read_text_with_bytes(file), system=source.system, timezone=timezone)
    if crontab.errors:
        raise ConfigurationError("\n".join(f"{file}: {error}" for error in crontab.errors))
    return CrontabFile(source, crontab)


def crontab_jobs(scheduler: GeventScheduler, loaded: CrontabFile) -> list[Job]:
    """The jobs that a crontab would add. Nothing is stored.

    The scheduler may run these commands from now on, and gets the notifiers that mail their output.
    """
    definitions = crontab_definitions(loaded.crontab.entries, *loaded.source[:2], loaded.source.user)
    add_mail_notifiers(scheduler, loaded.crontab.entries)
    added = (_adding(job_id, definition) for job_id, definition in definitions)
    return [engine_of(scheduler).build_job({"id": change.job_id, **change.arguments}) for change in added]


def write_crontab(scheduler: GeventScheduler, loaded: CrontabFile) -> dict[str, int]:
    """Give a scheduler's default store the jobs of a crontab. Logs the crontab's warnings.

    :return: how many jobs were added, changed, moved, removed and unchanged
    :raises ConfigurationError: if a job that is not from this file has one of the ids
    """
    try:
        changes = plan_import(scheduler, loaded.crontab, loaded.source)
    except JobIdConflictError as error:
        taken = f"the job id {error.job_id!r} is taken by a job that is not from this file"
        raise ConfigurationError(f"{loaded.source.file}: {taken}") from error
    for warning in loaded.crontab.warnings:
        runner_log().warning("crontab.doubtful", file=loaded.source.file, **warning._asdict())
    apply_import(scheduler, changes)
    return dict(Counter(change.action for change in changes))


def _line_of(job: JobHandle) -> CrontabLine:
    return CrontabLine(str(job.args[0]), job.kwargs.get("user"), job.trigger)


def _adding(job_id: str, wanted: dict[str, Any]) -> Change:
    if REBOOT_TAG in wanted["tags"]:
        wanted["next_run_time"] = END_OF_TIME
    return Change("added", job_id, wanted["name"], str(wanted["trigger"]), wanted)


def _changing(job: JobHandle, wanted: Mapping[str, Any]) -> Change:
    differing = dict(_differing(job, wanted))
    if REBOOT_TAG in wanted["tags"] and "trigger" in differing:
        differing["next_run_time"] = END_OF_TIME
    action = "changed" if differing.keys() - {"metadata"} else "moved" if differing else "unchanged"
    return Change(action, job.id, wanted["name"], str(wanted["trigger"]), differing)


def _differing(job: JobHandle, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if job.func_ref != wanted["func"] or job.parked is not None:  # a change makes its owner try it again
        yield "func", wanted["func"]
    if not wanted["trigger"].same_schedule(job.trigger):
        yield "trigger", wanted["trigger"]
    metadata = {**job.metadata, **wanted["metadata"]}
    if metadata != job.metadata:
        yield "metadata", metadata
    notify = (*(name for name in job.policy["notify"] if not name.startswith(MAIL)), *wanted["notify"])
    if list(notify) != job.policy["notify"]:
        yield "notify", notify
    if wanted["keep_output"] is not None and job.policy["keep_output"] is None:  # else somebody has set it
        yield "keep_output", wanted["keep_output"]
    for name in wanted.keys() - {"func", "trigger", "metadata", "notify", "keep_output"}:
        if plain(getattr(job, name)) != plain(wanted[name]):
            yield name, wanted[name]


def _modify(scheduler: GeventScheduler, change: Change) -> None:
    with suppress(JobNotFoundError):
        job = scheduler.get_job(change.job_id, "default")
        scheduler.modify_job(change.job_id, "default", **change.arguments)
        if job is not None and (pause := job.pause_info) is not None and "next_run_time" in change.arguments:
            now = scheduler.clock.now_ms()
            engine_of(scheduler).change_job(change.job_id, lambda changed: paused(changed, pause, now), "default")
