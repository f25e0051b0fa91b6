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
from gsched.runner.exits import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.handle import JobHandle
    from gsched.history import RunInfo
    from gsched.scheduler import GeventScheduler

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
@click.option("--timeout", type=Duration(), metavar="DURATION", help="With --wait: how long at most.")
@jobstore_option
def run(
    configuration: Configuration, out: Output, job_id: str, jobstore: str | None, wait: bool, timeout: float | None
) -> int:
    """Run a job once, now, paused or not; its schedule stays as it is. Prints the id of the run.

    A process that runs the jobs of this store runs it. The request stays until there is one.
    """
    from gsched.cli.finding import find_job
    from gsched.cli.runners import absent_runner, no_runner_line, warn_if_no_runner
    from gsched.cli.target import target

    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait.")
    with target(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        run_id = job.run()
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
    run: RunInfo | None = None
    for run in _looks(scheduler, job, run_id, timeout):
        if run is not None and run.outcome not in ("running", "waiting"):
            return run
    raise _not_ended(scheduler, job, run_id, run)


def _not_ended(scheduler: GeventScheduler, job: JobHandle, run_id: str, seen: RunInfo | None) -> CommandRefused:
    """What to say of a run that has not ended in time.

    :param seen: what the history has of the run; None, or waiting, while no runner has begun it
    """
    from gsched.cli.runners import absent_runner

    tells = "gsched runs show tells what became of it"
    if (last := absent_runner(scheduler, job.jobstore)) is None:
        return CommandRefused(f"the run {run_id!r} has not ended", Exit.FAILED, f"it goes on; {tells}")
    if seen is None or seen.outcome == "waiting":
        message, remedy = f"the run {run_id!r} has not begun: no runner is alive{last}", "the request stays until then"
    else:
        message, remedy = f"the run {run_id!r} has not ended, and no runner is alive{last}", tells
    return CommandRefused(message, Exit.FAILED, f"start a runner: `gsched run`; {remedy}")


def _looks(
    scheduler: GeventScheduler, job: JobHandle, run_id: str, timeout: float | None
) -> Iterator[RunInfo | None]:
    """What is known of the run, again and again."""
    import gevent

    end = sys.maxsize if timeout is None else scheduler.now_ms() + timeout * 1000
    while scheduler.now_ms() < end:
        yield next(iter(scheduler.get_runs(job.id, job.jobstore, run_id=run_id, limit=1)), None)
        gevent.sleep(_LOOK_EVERY_SECONDS)
