"""gsched runs."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.lazy import LazyGroup
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import ConfigurationError, JobNotFoundError
from gsched.runner.exits import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.history import RunInfo
    from gsched.scheduler import GeventScheduler

TABLE = {
    "list": ("gsched.cli.runs:list_runs", "List what became of due instants, the newest first."),
    "show": ("gsched.cli.runs:show", "Show a run, or explain what became of a job at an instant."),
    "tail": ("gsched.cli.runs_tail:tail", "Follow what becomes of due instants."),
}
COLUMNS = (
    Column("job_id", attrgetter("job_id"), wide=True),
    Column("job_name", attrgetter("job_name"), wide=True),
    Column("run_id", attrgetter("run_id")),
    Column("outcome", attrgetter("outcome")),
    Column("reason", attrgetter("reason"), wide=True),
    Column("scheduled_at", attrgetter("scheduled_at"), wide=True),
    Column("until", attrgetter("until"), wide=True),
    Column("started_at", attrgetter("started_at")),
    Column("duration", attrgetter("duration")),
    Column("lateness", attrgetter("lateness"), wide=True),
    Column("attempt", attrgetter("attempt"), wide=True),
    Column("node", attrgetter("node"), wide=True),
    Column("tags", lambda run: list(run.tags), wide=True),
    Column("error_type", attrgetter("error_type"), wide=True),
    Column("error_message", attrgetter("error_message"), wide=True),
)
WHY = Column("why", lambda run: run.reason or ": ".join(filter(None, (run.error_type, run.error_message))))
_EXPLAINED = ("job_id", "instant", "outcome", "recorded", "sentence", "before", "after")


@click.group(cls=LazyGroup, table=TABLE)
def runs() -> None:
    """What became of due instants, as far as the history has it: all but successes, and of those what is configured."""


@click.command("list")
@configured(*PLACE)
@output_options
@click.option("--job", metavar="JOB", type=JobId(), help="Only of this job.")
@click.option("--outcome", help="Only runs with this outcome: failed, timed_out, lost ...; or running.")
@click.option("--tag", help="Only of jobs that had this tag.")
@click.option("--since", metavar="TIME", help="Only what was due then or later: ISO 8601, or how long ago (1h).")
@click.option("--until", metavar="TIME", help="Only what was due before.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="N", help="Leave out so many of the newest.")
@jobstore_option
def list_runs(
    configuration: Configuration, out: Output, job: str | None, jobstore: str | None, **which: Any
) -> None:
    """List what became of due instants, the newest first.

    Successes are in the list only if somebody asked for the run, if it took seconds, or if the configuration says so
    (store.history.successes).
    """
    from gsched.cli.finding import find_job_id
    from gsched.cli.target import target

    columns = (*COLUMNS, WHY) if out.form == "table" else COLUMNS
    with target(configuration) as scheduler:
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        try:
            found = scheduler.get_runs(job_id, jobstore, **which)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        out.rows(columns, found)


@click.command()
@click.argument("run", metavar="RUN_ID|JOB", type=JobId())
@click.argument("instant", required=False)
@configured(*PLACE)
@output_options
@jobstore_option
def show(
    configuration: Configuration, out: Output, run: str, instant: str | None, jobstore: str | None
) -> None:
    """Show a run, its last attempt; or explain what became of a job at an INSTANT (ISO 8601), and why.

    The beginning of a run's id is enough if it is one run's; a job's id alone shows its last run.
    """
    from gsched.cli.finding import find_job_id, find_run
    from gsched.cli.target import target

    with target(configuration) as scheduler:
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


def _show(out: Output, attempt: RunInfo) -> None:
    names = [field.name for field in fields(attempt)]
    out.one([Column(name, attrgetter(name)) for name in (*names[:-1], "duration", "lateness", "traceback")], attempt)


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
        out.one([Column(name, attrgetter(name)) for name in _EXPLAINED], explanation)
