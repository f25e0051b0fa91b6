"""gsched job copy, rename."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import job_argument, jobstore_option
from gsched.cli.chosen_jobs import COLUMNS
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, output_options
from gsched.config import Configuration
from gsched.errors import JobIdConflictError
from gsched.runner.exit_codes import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.jobs.job import Job
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle

_new_id = click.argument("new_id", metavar="NEW_ID")


@click.command()
@job_argument
@_new_id
@configured(*PLACE)
@output_options
@click.option("--paused", is_flag=True, help="Add the copy paused, to edit it first.")
@jobstore_option
def copy(
    configuration: Configuration, out: Output, job_id: str, new_id: str, jobstore: str | None, paused: bool
) -> None:
    """Add a job with the function, the trigger and the options of another job. The copy of a paused job is paused.

    The copy has no history. It comes from no file, even if the other job comes from a configuration file or a crontab.
    """
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.jobs.pause import Pause
    from gsched.policies.pauses import paused as put_on_hold
    from gsched.runner.origins import without_origin
    from gsched.schedulers.job_builder import with_jitter
    from gsched.triggers.registry import trigger_from_fields
    from gsched.triggers.spread import spread_trigger, unspread

    with open_store(configuration) as scheduler:
        now = scheduler.clock.now_ms()
        job = find_job(scheduler, job_id, jobstore).definition
        fields, spread = unspread(job.trigger)
        trigger, due = spread_trigger(trigger_from_fields(fields), spread).for_job(new_id).begun(now)
        if due is None and (due := job.next_run_ms) is None:
            raise CommandRefused(f"{job.id!r} is not due again: a copy would not run either", Exit.INVALID)
        metadata = without_origin(job.metadata)
        made = with_jitter(job.evolve(id=new_id, trigger=trigger, next_run_ms=due, pause=None, metadata=metadata))
        pause = job.pause_at(now) or (Pause(at_ms=now) if paused else None)
        out.rows(COLUMNS, [_add(scheduler, made if pause is None else put_on_hold(made, pause, now))])
        warn_if_no_runner(scheduler, job.jobstore)


@click.command()
@job_argument
@_new_id
@configured(*PLACE)
@output_options
@jobstore_option
def rename(configuration: Configuration, out: Output, job_id: str, new_id: str, jobstore: str | None) -> None:
    """Give a job another id. The job keeps its next run time and its pause.

    The history stays under the old id, and the job's counts begin at 0. A run in progress goes on under the old id.
    """
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.runner.origins import origin_of

    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore).definition
        if (origin := origin_of(job)) is not None:
            raise CommandRefused(f"{job.id!r} comes from {origin}", Exit.CONFLICT, "rename the job there")
        due = job.next_due_ms(scheduler.clock.now_ms()) or job.next_run_ms
        new = _add(scheduler, job.evolve(id=new_id, trigger=job.trigger.for_job(new_id), next_run_ms=due), new_id)
        scheduler.remove_job(job.id, job.jobstore)
        out.rows(COLUMNS, [new])
        warn_if_no_runner(scheduler, job.jobstore)


def _add(scheduler: GeventScheduler, job: Job, *timed: str) -> JobHandle:
    """Add a job. Raises CommandRefused if its id is taken.

    :param timed: the job's id, if the job keeps its next run time
    """
    from gsched.jobs.audit import stamped
    from gsched.jobs.options import checked_text
    from gsched.schedulers.acting import act
    from gsched.schedulers.engine import engine_of
    from gsched.schedulers.handle import JobHandle

    engine, done = engine_of(scheduler), act("job.add", scheduler.clock.now_ms())
    checked_text("id", job.id)
    new = stamped([job.evolve(rev=1, last_change=None, parked=None)], done)
    try:
        (stored,) = engine.call(engine.add_jobs, new, job.jobstore, False, timed)
    except JobIdConflictError:
        raise CommandRefused(f"there is a job {job.id!r} already", Exit.CONFLICT, "choose another id") from None
    engine.call(engine.record, done, job.jobstore, job.id, 1)
    return JobHandle(scheduler, engine, stored)
