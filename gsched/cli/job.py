"""gsched job."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.config import Configuration


@click.group()
def job() -> None:
    """List, show, pause, resume, change, run and remove jobs."""


COLUMNS = (
    Column("id", lambda job: job.id),
    Column("state", lambda job: job.state),
    Column("next_run_time", lambda job: job.next_run_time),
    Column("trigger", lambda job: str(job.trigger)),
    Column("tags", lambda job: list(job.tags)),
)


@job.command("list")
@configured(*PLACE)
@output_options
@click.option("--tag", help="Only jobs with this tag.")
def list_jobs(configuration: Configuration, out: Output, tag: str | None) -> None:
    """List jobs, the next due first."""
    from gsched.cli.target import target

    with target(configuration) as scheduler:
        out.rows(COLUMNS, scheduler.get_jobs(tag=tag))
