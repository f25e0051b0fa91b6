"""gsched runs tail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.commands.runs import columns_of
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, output_options
from gsched.config import Configuration
from gsched.errors import ConfigurationError

if TYPE_CHECKING:
    from gsched.history.queries import RunInfo, RunQuery
    from gsched.schedulers.gevent import GeventScheduler


@click.command()
@configured(*PLACE)
@output_options
@click.option("-n", "--lines", type=click.IntRange(0), default=10, show_default=True, metavar="N", help="Past runs.")
@click.option("--job", metavar="JOB", type=JobId(), help="Only runs of this job.")
@click.option("--outcome", help="Only runs with this outcome: failed, timed_out, lost ...; or running.")
@jobstore_option
def tail(
    configuration: Configuration,
    out: Output,
    lines: int,
    job: str | None,
    outcome: str | None,
    jobstore: str | None,
) -> None:
    """Print runs and skipped instants as they are recorded, until Ctrl-C.

    Of the successes, these are recorded: runs on request, runs that took seconds, and what store.history.successes
    keeps.
    """
    from gsched.cli.find_job import find_job_id
    from gsched.cli.open_store import open_store
    from gsched.cli.streaming import print_stream
    from gsched.history.queries import RunQuery

    with open_store(configuration) as scheduler:
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        try:
            wanted = RunQuery(job_id, outcome)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        print_stream(out, columns_of(out), _runs(scheduler, wanted, lines, jobstore))


def _runs(scheduler: GeventScheduler, wanted: RunQuery, lines: int, jobstore: str | None) -> Iterator[RunInfo]:
    """The last few runs on record, read once the feed is open; then those from the feed."""
    from gsched.cli.streaming import followed

    past: set[tuple[str, int, str]] | None = None
    for event in followed(scheduler, jobstore):
        if past is None:
            some = scheduler.get_runs(wanted.job_id, jobstore, wanted.outcome, limit=lines) if lines else []
            past = {_key(run) for run in some}
            yield from reversed(some)
        run = event.run
        if run is not None and _is(run, wanted) and _key(run) not in past:
            yield run


def _key(run: RunInfo) -> tuple[str, int, str]:
    return run.run_id, run.attempt, run.outcome


def _is(run: RunInfo, wanted: RunQuery) -> bool:
    return wanted.job_id in (None, run.job_id) and wanted.outcome in (None, run.outcome)
