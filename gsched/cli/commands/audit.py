"""gsched audit."""

from __future__ import annotations

import click

from gsched.cli.arguments import jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.cli.printing import say_next
from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.jobs.audit import ACTIONS
from gsched.shapes.questions import AUDIT_ENTRY


@click.command()
@configured(*PLACE)
@output_options
@click.option("--actor", metavar="NAME", help="Only what this person or program did.")
@click.option("--action", type=click.Choice(ACTIONS), help="Only actions of this kind.")
@click.option("--target", metavar="ID", help="Only what was done to this job, run or node.")
@click.option("--since", metavar="TIME", help="Only what was done then or later: ISO 8601, or how long ago (1h).")
@click.option("--until", metavar="TIME", help="Only what was done before then.")
@click.option("--after", metavar="PLACE", help="Go on where the page before ended, which named this place.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N")
@jobstore_option
def audit(
    configuration: Configuration,
    out: Output,
    actor: str | None,
    action: str | None,
    target: str | None,
    since: str | None,
    until: str | None,
    after: str | None,
    limit: int,
    jobstore: str | None,
) -> None:
    """Show who did what to the jobs, and why: on the command line, over the web, or in a program that names an actor.

    What a program does on nobody's behalf is not recorded. A change of many jobs is one entry, with their number.
    """
    from gsched.cli.open_store import open_store
    from gsched.jobs.audit import AuditQuery
    from gsched.times.relative import as_past

    with open_store(configuration) as scheduler:
        now, zone = scheduler.clock.now_ms(), scheduler.timezone
        try:
            begin, end = as_past(since, now, zone, "since"), as_past(until, now, zone, "until")
            query = AuditQuery(actor, action, target, begin, end, after or None, limit)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        page = scheduler.admin.audit(query, jobstore)
        narrow = ("at", "actor", "action", "target", "count", "reason")
        out.rows(columns(AUDIT_ENTRY, narrow=narrow), page.entries)
        say_next(page.next)
