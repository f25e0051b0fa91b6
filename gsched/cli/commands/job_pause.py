"""gsched job pause, resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from gsched.cli.chosen_jobs import COLUMNS, Chosen, choosing, counted
from gsched.cli.confirm import confirm
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output
from gsched.cli.printing import say
from gsched.cli.time_ahead import pause_end
from gsched.config import Configuration
from gsched.errors import InvalidJobError

if TYPE_CHECKING:
    from gsched.events import JobPauseEvent
    from gsched.jobs.audit import Act
    from gsched.jobs.job import Job
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle

@click.command()
@configured(*PLACE, "timezone")
@choosing(everything=True)
@click.option("--reason", help="Why. The reason is shown wherever the pause is.")
@click.option("--until", metavar="TIME", help="When the pause ends by itself: 18:00, 2h, 2026-11-23T08:00.")
def pause(
    configuration: Configuration,
    out: Output,
    jobs: Chosen,
    yes: bool,
    dry_run: bool,
    reason: str | None,
    until: str | None,
) -> None:
    """Pause jobs: they are not due until they are resumed, or until a time. Runs in progress go on.

    A job that is named by its id, and paused already, keeps its pause but for the reason and the time that are given.
    With --tag, --prefix, --group or --all, a job that is paused for as long already stays as it is.

    A time without an offset is in the zone of --timezone; without that flag, in this machine's.
    """
    from gsched.cli.open_store import open_store
    from gsched.events import paused_event
    from gsched.schedulers.engine import engine_of
    from gsched.schedulers.verbs.pause import Pausing

    with open_store(configuration) as scheduler:
        try:
            end = None if until is None else pause_end(until, scheduler.timezone, scheduler.clock.now_ms())
            pausing = Pausing.wanted_of(engine_of(scheduler), reason, end, None)
        except InvalidJobError as error:
            raise click.UsageError(f"--{error}") from None
        change = pausing.change if jobs.job_ids else pausing.change_if_shorter
        _change(scheduler, out, "Pause", jobs, change, paused_event, pausing.act, yes=yes, dry_run=dry_run)


@click.command()
@configured(*PLACE)
@choosing(everything=True)
@click.option("--reason", help="Only jobs that are paused for this reason.")
def resume(
    configuration: Configuration, out: Output, jobs: Chosen, yes: bool, dry_run: bool, reason: str | None
) -> None:
    """Resume paused jobs: they are due again from now on. Parked jobs are tried again."""
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.schedulers.verbs.pause import Resuming

    with open_store(configuration) as scheduler:
        resuming = Resuming(scheduler.clock.now_ms(), None, reason)
        change = resuming.change if jobs.job_ids and reason is None else resuming.change_if_held
        _change(scheduler, out, "Resume", jobs, change, resuming.event, resuming.act, yes=yes, dry_run=dry_run)
        if not dry_run:
            warn_if_no_runner(scheduler, jobs.jobstore)


def _change(
    scheduler: GeventScheduler,
    out: Output,
    verb: str,
    jobs: Chosen,
    change: Callable[[Job], Job | None],
    event: Callable[[Job], JobPauseEvent],
    act: Act | None,
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    """Change the chosen jobs, many in a round trip, and print those that are changed."""
    found = jobs.find(scheduler)
    if dry_run:
        out.rows(COLUMNS, found)
        return
    if not jobs.job_ids:
        confirm(f"{verb} {counted(found)}?", yes)
    changed = 0

    def count() -> Iterator[JobHandle]:
        nonlocal changed
        for job in _changed(scheduler, found, change, event, act, jobs.words):
            changed += 1
            yield job

    out.rows(COLUMNS, count())
    if changed < len(found):
        say(f"gsched: {len(found) - changed} of {len(found)} jobs stay as they are", err=True)


def _changed(
    scheduler: GeventScheduler,
    found: Sequence[JobHandle],
    change: Callable[[Job], Job | None],
    event: Callable[[Job], JobPauseEvent],
    act: Act | None,
    words: str,
) -> Iterator[JobHandle]:
    from gsched.schedulers.engine import engine_of
    from gsched.schedulers.handle import JobHandle

    engine = engine_of(scheduler)
    for alias in dict.fromkeys(job.jobstore for job in found):
        job_ids = [job.id for job in found if job.jobstore == alias]
        for job in engine.change_jobs(job_ids, change, alias, event, act, words):
            yield JobHandle(scheduler, engine, job)
