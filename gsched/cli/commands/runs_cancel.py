"""gsched runs cancel."""

from __future__ import annotations

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.config import Configuration
from gsched.runner.exit_codes import CommandRefused, Exit


@click.command()
@click.argument("run", metavar="RUN_ID", type=JobId())
@configured(*PLACE)
@output_options
@click.option("--reason", help="Why, for `gsched audit`.")
@jobstore_option
def cancel(configuration: Configuration, out: Output, run: str, reason: str | None, jobstore: str | None) -> None:
    """Cancel a run, on whatever machine it is in progress. A run that waits never begins.

    The beginning of a run's id is enough if no other run's id begins in the same way. Runs of a few seconds have no
    record while they are in progress, and are not found.
    """
    from gsched.cli.find_job import find_run
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        found = find_run(scheduler, run, jobstore)
        run_id = run if found is None else found.run_id
        if not scheduler.admin.request_cancel(run_id, jobstore, reason=reason):
            ended = "" if found is None else f": it has ended, {found.outcome.replace('_', ' ')}"
            remedy = "gsched runs list --outcome running has those that take long, --outcome waiting those that wait"
            raise CommandRefused(f"no run {run_id!r} is in progress{ended}", Exit.NOT_FOUND, remedy)
        out.one([Column("run_id", lambda each: each), Column("cancel", lambda each: "requested")], run_id)
