"""gsched errors."""

from __future__ import annotations

import click

from gsched.cli.arguments import jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, as_text, columns, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.shapes.questions import ERROR_GROUP

_NARROW = {
    "error": ("count", "outcome", "error_type", "message", "jobs", "last"),
    "job": ("count", "job_id", "outcome", "message", "last"),
    "node": ("count", "node", "jobs", "outcome", "message", "last"),
}


@click.command()
@configured(*PLACE)
@output_options
@click.option("--since", default="24h", show_default=True, metavar="TIME", help="How long ago, or ISO 8601.")
@click.option("--by", type=click.Choice(list(_NARROW)), default="error", show_default=True, help="What is alike.")
@click.option("--tag", help="Only failures of jobs that had this tag.")
@click.option(
    "--limit", type=click.IntRange(1, 20_000), default=2000, show_default=True, metavar="N",
    help="Look at the newest N failures.",
)
@jobstore_option
def errors(
    configuration: Configuration,
    out: Output,
    since: str,
    by: str,
    tag: str | None,
    limit: int,
    jobstore: str | None,
) -> None:
    """Show the failures of the last day in groups, the largest first: what is alike but for numbers is one group."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        try:
            found = scheduler.admin.error_groups(jobstore, since=since, tag=tag, by=by, limit=limit)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        out.rows(columns(ERROR_GROUP, narrow=_NARROW[by]), found.groups)
        if found.records == limit:
            at = as_text(out.in_zone(found.since))
            say(f"gsched: only the newest {limit} failures count here, those since {at}; more: --limit", err=True)
