"""gsched check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import click

from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, as_text, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import ConfigurationError

if TYPE_CHECKING:
    from gsched.jobs.job import Job
    from gsched.jobs.limits import GroupLimits
    from gsched.runner.place import StoreChoice
    from gsched.schedulers.gevent import GeventScheduler

_TIMES = 3
_MOST_GROUPS = 20


class Found(NamedTuple):
    """A job, and where it is: with the application, declared in the configuration, or stored."""

    job: Job
    source: str
    state: str
    times: list[datetime]
    final: datetime | None


COLUMNS = (
    Column("id", lambda found: found.job.id),
    Column("source", lambda found: found.source),
    Column("state", lambda found: found.state),
    Column("trigger", lambda found: str(found.job.trigger)),
    Column("next_run_times", lambda found: found.times),
    Column("final_run_time", lambda found: found.final, wide=True),
    Column("parked", lambda found: found.job.parked, wide=True),
    Column("group", lambda found: found.job.policy.group, wide=True),
)


@click.command()
@configured(*PLACE, "name", "timezone", "crontab", reports_problems=True)
@output_options
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="List at most N stored jobs."
)
def check(configuration: Configuration, out: Output, limit: int) -> None:
    """Import the application, validate the configuration, list jobs with their next three runs, and ask the store.

    The command starts nothing and changes nothing: it shows jobs that the application adds, and declared ones, and does
    not store them. (If an application has a job store of its own and adds jobs while it is imported, it stores them
    itself.)
    """
    from gsched.event_loop.patch import patch_all
    from gsched.files.rights import REMEDY
    from gsched.jobs.limits import GroupLimits
    from gsched.policies.retries import SHORTEN, why_never_retried
    from gsched.policies.spreading import awaits_phase
    from gsched.runner.application import load_application
    from gsched.runner.declared_limits import read_limits
    from gsched.runner.foreign_files import foreign_files
    from gsched.runner.place import place_of

    patch_all()
    wrong = list(configuration.problems)
    try:
        place = place_of(configuration, None if configuration.app is None else load_application(configuration.app))
        _check_settings(configuration, place)
        own = list(_own_jobs(configuration, place))
    except ConfigurationError as error:
        wrong.append(str(error))
    try:
        declared = GroupLimits(read_limits(configuration))
    except ConfigurationError as error:
        wrong.append(str(error))
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    _say(f"application {configuration.app or '(none)'}: valid")
    _say(f"configuration {configuration.path or '(no file)'}: valid")
    for reason in foreign_files(configuration):
        _say(f"warning: {reason}; {REMEDY}")
    for found in own:
        if found.final is not None:
            _say(f"job {found.job.id!r} is due for the last time at {as_text(found.final)}")
        elif not found.times and found.state != "paused":
            _say(f"job {found.job.id!r} is not due any more")
        if awaits_phase(found.job):
            _say(f"job {found.job.id!r} is spread: its phase is chosen when it is stored, and delays the times below")
        if (why := why_never_retried(found.job)) is not None:
            _say(f"warning: job {found.job.id!r} is never retried: {why}; {SHORTEN}")
    out.rows(COLUMNS, _and_stored(configuration, place, own, declared, limit))


def _check_settings(configuration: Configuration, place: StoreChoice) -> None:
    """Raises ConfigurationError for settings that would keep a runner from starting."""
    from gsched.config import origin
    from gsched.runner.place import refuse_memory_for_many
    from gsched.web.address import parse_address

    if place.kind == "memory":
        refuse_memory_for_many(configuration, place)
    if configuration.probe is not None:
        try:
            parse_address(configuration.probe)
        except ConfigurationError as error:
            problem = str(error).removeprefix("probe: ")
            raise ConfigurationError(f"{origin(configuration, 'probe')}: {problem}") from None


def _own_jobs(configuration: Configuration, place: StoreChoice) -> Iterator[Found]:
    """The application's jobs that wait for a store, and those that files declare. Raises ConfigurationError."""
    from gsched.runner.build import runner_scheduler
    from gsched.runner.declared import read_declarations

    has_store = place.kind == "application"
    if not has_store:  # they come into memory, instead of the store that is configured
        configuration = replace(configuration, store=None, embedded=False, embedded_mongodb=False, memory=True)
    try:
        scheduler = runner_scheduler(configuration)[0]
    except ConfigurationError as error:
        _complain_of_jobs_too(configuration, error)
        raise
    declarations = read_declarations(configuration, scheduler)
    if doubts := [doubt for declaration in declarations for doubt in declaration.doubts]:
        raise ConfigurationError("\n".join(doubts))
    declared = [declaration.job for declaration in declarations]
    waiting = [] if has_store else [handle.definition for handle in scheduler.get_jobs()]
    for source, jobs in (
        ("application", waiting), ("declared", declared), ("crontab", _of_crontab(configuration, scheduler))
    ):  # fmt: skip
        yield from (_found(job, source, scheduler.clock.now_ms()) for job in jobs)


def _complain_of_jobs_too(configuration: Configuration, error: ConfigurationError) -> None:
    """Raise the problems of the jobs, too. The configured scheduler cannot be made, so a plain one reads the jobs."""
    from gsched.runner.build import runner_scheduler
    from gsched.runner.declared import read_declarations

    parts = {alias: {"type": "greenlet"} for alias in configuration.executors}
    other = replace(configuration, app=None, executors=parts, defaults={})
    try:
        read_declarations(other, runner_scheduler(other)[0])
    except ConfigurationError as more:
        if str(more) != str(error):
            raise ConfigurationError(f"{error}\n{more}") from None


def _of_crontab(configuration: Configuration, scheduler: GeventScheduler) -> list[Job]:
    from gsched.runner.crontab.sync import crontab_jobs, load_crontab

    if configuration.crontab is None:
        return []
    loaded = load_crontab(configuration.crontab, configuration.timezone or scheduler.timezone)
    for warning in loaded.crontab.warnings:
        _say(f"{configuration.crontab}: warning: {warning}")
    return crontab_jobs(scheduler, loaded)


def _and_stored(
    configuration: Configuration, place: StoreChoice, own: list[Found], declared: GroupLimits, limit: int
) -> Iterator[Found]:
    """The application's and declared jobs; then those of the store, which is asked only now. At the end the limits of
    their groups are told."""
    from gsched.cli.open_store import open_store
    from gsched.runner.place import is_there

    yield from own
    if place.kind == "memory":
        _say(f"store: memory ({place.why})")
        _say_limits(own, declared)
        return
    if not is_there(place):
        what = "a SQLite file, to be made at" if place.kind == "sqlite" else "a private MongoDB, to be made in"
        _say(f"store: {what} {place.why}")
        _say_limits(own, declared)
        return
    if place.kind != "application":  # which has its jobs in memory by now
        configuration = replace(configuration, app=None)
    with open_store(configuration) as scheduler:
        for alias in scheduler.stores:
            scheduler.admin.ping_store(alias)
            _say(f"store {alias}: answers")
        known = {found.job.id for found in own}
        others = (handle.definition for handle in scheduler.iter_jobs() if handle.id not in known)
        stored = [_found(job, "stored", scheduler.clock.now_ms()) for job in islice(others, limit)]
        yield from stored
        if next(others, None) is not None:
            _say("the store has more jobs: gsched job list")
        _say_limits([*own, *stored], scheduler.get_limits().with_limits(declared.by_pattern.values()))


def _say_limits(found: list[Found], limits: GroupLimits) -> None:
    """Say which limit each group of these jobs has."""
    groups = dict.fromkeys(each.job.policy.group for each in found if each.job.policy.group is not None)
    for group in islice(groups, _MOST_GROUPS):
        limit = limits.of(group)
        words = "it has no limit" if limit is None else f"{limit.words()} (limit {limit.pattern!r})"
        _say(f"group {group!r}: {words}")
    if len(groups) > _MOST_GROUPS:
        _say(f"there are {len(groups) - _MOST_GROUPS} more groups")


def _found(job: Job, source: str, now: int) -> Found:
    from gsched.shapes.jobs import final_run_time, next_run_times

    times = [] if job.paused else list(next_run_times(job, now, _TIMES))
    return Found(job, source, job.state_at(now), times, final_run_time(job, now))


def _say(text: str) -> None:
    say(f"gsched: {text}", err=True)
