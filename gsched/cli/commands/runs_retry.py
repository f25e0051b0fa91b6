"""gsched runs retry."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.runner.exit_codes import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.schedulers.gevent import GeventScheduler

COLUMNS = (
    Column("job_id", attrgetter("job_id"), wide=True),
    Column("run_id", attrgetter("run_id")),
    Column("outcome", attrgetter("outcome")),
    Column("scheduled_at", attrgetter("scheduled_at"), wide=True),
    Column("attempt", attrgetter("attempt")),
    Column("left_out", attrgetter("left_out")),
)


@click.command()
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1, type=JobId())
@configured(*PLACE)
@output_options
@click.option("--job", metavar="JOB", type=JobId(), help="Runs of this job.")
@click.option("--tag", help="Runs of jobs that had this tag.")
@click.option("--outcome", help="Runs with this outcome: failed, timed_out, lost, missed, skipped or cancelled.")
@click.option("--since", metavar="TIME", help="Runs due then or later: ISO 8601, or how long ago (1h).")
@click.option(
    "--limit", type=click.IntRange(1), default=1000, show_default=True, metavar="N", help="Add N attempts at most."
)
@click.option("--dry-run", is_flag=True, help="Show what would run again. Change nothing.")
@jobstore_option
def retry(
    configuration: Configuration,
    out: Output,
    run_ids: tuple[str, ...],
    job: str | None,
    tag: str | None,
    outcome: str | None,
    since: str | None,
    limit: int,
    dry_run: bool,
    jobstore: str | None,
) -> int:
    """Run again, now, the runs with these ids; or choose, by the options, runs that ended without success.

    Each runs with its own id and scheduled time, and the next attempt number; on a paused job, too. A run whose next
    attempt waits already is left out, so a repeated command adds nothing twice.
    """
    from gsched.cli.find_job import find_job_id
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner

    with open_store(configuration) as scheduler:
        named = [_run_id(scheduler, each, jobstore) for each in run_ids] or None
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        try:
            done = scheduler.retry_runs(
                named, jobstore, job_id=job_id, tag=tag, outcome=outcome, since=since, limit=limit, dry_run=dry_run
            )
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        out.rows(COLUMNS, done)
        if not dry_run and any(run.attempt is not None for run in done):
            warn_if_no_runner(scheduler, jobstore)
        return Exit.OK if named is None or all(run.attempt is not None for run in done) else Exit.FAILED


def _run_id(scheduler: GeventScheduler, wanted: str, jobstore: str | None) -> str:
    """The id of the run with this id, or of the only one whose id begins so. Raises CommandRefused."""
    from gsched.cli.find_job import find_job_id, find_run

    found = find_run(scheduler, wanted, jobstore)
    if found is not None:
        return found.run_id
    job_id, is_scheduled, _ = wanted.rpartition("@")
    find_job_id(scheduler, job_id if is_scheduled else wanted.partition("!")[0], jobstore)
    remedy = "gsched runs list has the ids of runs; --job chooses the runs of a job"
    raise CommandRefused(f"the history has no run {wanted!r}", Exit.NOT_FOUND, remedy)
