"""gsched runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.lazy import LazyGroup
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, as_text, columns, output_options
from gsched.cli.printing import say, say_next
from gsched.config import Configuration
from gsched.errors import ConfigurationError, JobNotFoundError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.shapes.runs import ATTEMPT, EXPLANATION, RUN

if TYPE_CHECKING:
    from gsched.history.queries import RunInfo, RunQuery
    from gsched.schedulers.gevent import GeventScheduler

TABLE = {
    "list": ("gsched.cli.commands.runs:list_runs", "List recorded runs and skipped instants, the newest first."),
    "show": ("gsched.cli.commands.runs:show", "Show a run, or explain the outcome of an instant."),
    "output": ("gsched.cli.commands.runs_output:output", "Print what a run has printed, if its job keeps that."),
    "cancel": ("gsched.cli.commands.runs_cancel:cancel", "Cancel a run, on whatever machine."),
    "retry": ("gsched.cli.commands.runs_retry:retry", "Run failed runs again, now."),
    "tail": ("gsched.cli.commands.runs_tail:tail", "Print runs as they end."),
}
COLUMNS = columns(RUN, narrow=("run_id", "outcome", "started_at", "duration"))


@click.group(cls=LazyGroup, table=TABLE)
def runs() -> None:
    """The outcomes of due instants, from the history. It has everything but plain successes, unless configured."""


@click.command("list")
@configured(*PLACE)
@output_options
@click.option("--job", metavar="JOB", type=JobId(), help="Only runs of this job.")
@click.option("--outcome", help="Only runs with this outcome: failed, timed_out, lost ...; or running, waiting.")
@click.option("--tag", help="Only runs of jobs that had this tag.")
@click.option("--since", metavar="TIME", help="Only runs due then or later: ISO 8601, or how long ago (1h).")
@click.option("--until", metavar="TIME", help="Only runs due before then.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="N", help="Leave out the newest N runs.")
@click.option("--after", metavar="PLACE", help="A page: go on where the page before ended; '' is the first page.")
@jobstore_option
def list_runs(
    configuration: Configuration, out: Output, job: str | None, jobstore: str | None, after: str | None, **which: Any
) -> None:
    """List recorded runs and skipped instants, the newest first.

    Of the successes, these are recorded: runs on request, runs that took seconds, and what store.history.successes
    keeps. With --after, the command names the place where the next page begins: each page costs the same.
    """
    from gsched.cli.find_job import find_job_id
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        try:
            if after is None:
                out.rows(columns_of(out), scheduler.get_runs(job_id, jobstore, **which))
            else:
                page = scheduler.admin.runs(_query(scheduler, job_id, after, **which), jobstore)
                out.rows(columns_of(out), page.runs)
                say_next(page.next)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None


def _query(
    scheduler: GeventScheduler, job_id: str | None, after: str, since: str | None, until: str | None, **which: Any
) -> RunQuery:
    from gsched.history.queries import RunQuery
    from gsched.times.relative import as_past

    now, zone = scheduler.clock.now_ms(), scheduler.timezone
    begin, end = as_past(since, now, zone, "since"), as_past(until, now, zone, "until")
    return RunQuery(job_id, since=begin, until=end, before=after or None, **which)


@click.command()
@click.argument("run", metavar="RUN_ID|JOB", type=JobId())
@click.argument("instant", required=False)
@configured(*PLACE)
@output_options
@jobstore_option
def show(
    configuration: Configuration, out: Output, run: str, instant: str | None, jobstore: str | None
) -> None:
    """Show a run, by its last attempt; or explain the outcome of a job's INSTANT (ISO 8601), and why.

    The beginning of a run's id is enough if no other run's id begins in the same way. A job's id shows its last run.
    """
    from gsched.cli.find_job import find_job_id, find_run
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        if instant is not None:
            _explain(scheduler, out, find_job_id(scheduler, run, jobstore), instant, jobstore)
            return
        found = find_run(scheduler, run, jobstore)
        if found is not None:
            _show(out, found)
            return
        job_id, is_scheduled, due = run.rpartition("@")
        if is_scheduled and scheduler.get_job(run, jobstore) is None:
            _explain(scheduler, out, job_id, due, jobstore)
            return
        job_id = find_job_id(scheduler, run, jobstore)
        for last in scheduler.get_runs(job_id, jobstore, limit=1):
            _show(out, last)
            return
        raise CommandRefused(
            f"the history has no run of {job_id!r}", Exit.NOT_FOUND, "gsched runs show JOB INSTANT explains an instant"
        )


def columns_of(out: Output) -> Sequence[Column]:
    """The columns of a list of runs."""
    return (*COLUMNS, Column("why", partial(_why, out))) if out.form == "table" else COLUMNS


def _why(out: Output, run: RunInfo) -> str:
    """Why the run ended so; until when it waits."""
    if run.outcome == "waiting":
        return f"due {as_text(out.in_zone(run.due_at))}"
    return run.reason or ": ".join(filter(None, (run.error_type, run.error_message)))


def _show(out: Output, attempt: RunInfo) -> None:
    out.one(columns(ATTEMPT, in_table={"command": lambda run: run.command and str(run.command)}), attempt)


def _explain(scheduler: GeventScheduler, out: Output, job_id: str, instant: str, jobstore: str | None) -> None:
    try:
        explanation = scheduler.explain(job_id, instant, jobstore)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    except JobNotFoundError as error:
        raise CommandRefused(str(error), Exit.NOT_FOUND) from None
    if out.form == "table":
        say(str(explanation))
    else:
        out.one(columns(EXPLANATION), explanation)
