"""gsched job run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import Duration, job_argument, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import InvalidJobError
from gsched.jobs.policy import OVERLAPS
from gsched.runner.exit_codes import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.history.queries import RunInfo
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle

_LOOK_EVERY_SECONDS = 0.2

REQUESTED = (Column("run_id", lambda run_id: run_id),)
ENDED = (
    Column("run_id", lambda run: run.run_id),
    Column("outcome", lambda run: run.outcome),
    Column("duration", lambda run: run.duration),
    Column("reason", lambda run: run.reason),
    Column("error_type", lambda run: run.error_type),
    Column("error_message", lambda run: run.error_message),
)


@click.command()
@job_argument
@configured(*PLACE)
@output_options
@click.option("--wait", is_flag=True, help="Wait for the outcome; exit with 1 if it is not a success.")
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Wait so long at most.")
@click.option(
    "--overlap", type=click.Choice(OVERLAPS),
    help="What becomes of the run while max_instances runs are in progress. Default: what the job's overlap says.",
)
@click.option("--request", metavar="NAME", help="Name the run: a second command with this name asks for no second run.")
@jobstore_option
def run(
    configuration: Configuration,
    out: Output,
    job_id: str,
    jobstore: str | None,
    wait: bool,
    timeout: float | None,
    overlap: str | None,
    request: str | None,
) -> int:
    """Run a job once, now, paused or not; its schedule stays as it is. Prints the id of the run.

    A runner of this store executes the run. If no runner is alive, the request waits for one.
    """
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import absent_runner, no_runner_line, warn_if_no_runner

    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait.")
    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        try:
            run_id = job.run(overlap=overlap, request=request)
        except InvalidJobError as error:
            if str(error).startswith("request:"):
                raise click.UsageError(f"--{error}") from None
            raise
        if not wait:
            out.rows(REQUESTED, [run_id])
            warn_if_no_runner(scheduler, job.jobstore)
            return Exit.OK
        last = absent_runner(scheduler, job.jobstore)
        say(f"gsched: waiting for {run_id}{'' if last is None else f'; {no_runner_line(last)}'}", err=True)
        ended = _wait(scheduler, job, run_id, timeout)
        out.rows(ENDED, [ended])
        return Exit.OK if ended.outcome == "succeeded" else Exit.FAILED


def _wait(scheduler: GeventScheduler, job: JobHandle, run_id: str, timeout: float | None) -> RunInfo:
    from gsched.history.queries import UNENDED

    run: RunInfo | None = None
    for run in _looks(scheduler, job, run_id, timeout):
        if run is not None and run.outcome not in (*UNENDED, "retried"):
            return run
    raise _not_ended(scheduler, job, run_id, run)


def _not_ended(scheduler: GeventScheduler, job: JobHandle, run_id: str, seen: RunInfo | None) -> CommandRefused:
    """The error for a run that has not ended in time.

    :param seen: the run in the history; None, or waiting, if no runner has begun it
    """
    from gsched.cli.runners import absent_runner

    look = "gsched runs show has its outcome later"
    if (last := absent_runner(scheduler, job.jobstore)) is None:
        return CommandRefused(f"the run {run_id!r} has not ended", Exit.FAILED, f"it goes on; {look}")
    if seen is None or seen.outcome == "waiting":
        message, remedy = f"the run {run_id!r} has not begun: no runner is alive{last}", "the request stays until then"
    else:
        message, remedy = f"the run {run_id!r} has not ended, and no runner is alive{last}", look
    return CommandRefused(message, Exit.FAILED, f"start a runner: `gsched run`; {remedy}")


def _looks(
    scheduler: GeventScheduler, job: JobHandle, run_id: str, timeout: float | None
) -> Iterator[RunInfo | None]:
    """The last attempt at the run as the history has it, until the timeout; None while it has none."""
    import gevent

    end = sys.maxsize if timeout is None else scheduler.clock.now_ms() + timeout * 1000
    while scheduler.clock.now_ms() < end:
        yield next(iter(scheduler.get_runs(job.id, job.jobstore, run_id=run_id)), None)
        gevent.sleep(_LOOK_EVERY_SECONDS)
