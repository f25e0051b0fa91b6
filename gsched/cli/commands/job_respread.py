"""gsched job respread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gsched.cli.chosen_jobs import COLUMNS, Chosen, choosing, counted
from gsched.cli.confirm import confirm
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output
from gsched.cli.printing import say
from gsched.config import Configuration

if TYPE_CHECKING:
    from gsched.schedulers.handle import JobHandle


@click.command()
@configured(*PLACE)
@choosing(everything=True)
def respread(configuration: Configuration, out: Output, jobs: Chosen, yes: bool, dry_run: bool) -> None:
    """Give jobs phases at equal distances, and print those that move.

    Intervals are spread over their length. Jobs with other triggers are spread over the duration that their option
    `spread` names; all other jobs stay as they are. With --dry-run, print the jobs that would move.
    """
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.schedulers.engine import engine_of
    from gsched.schedulers.handle import JobHandle
    from gsched.schedulers.verbs.pause import Selection
    from gsched.schedulers.verbs.respread import respread_each

    with open_store(configuration) as scheduler:
        found = jobs.find(scheduler)
        if not (jobs.job_ids or dry_run):
            confirm(f"Respread {counted(found)}?", yes)
        chosen, engine, moved = Selection([job.id for job in found], None, None, False), engine_of(scheduler), 0

        def count() -> Iterator[JobHandle]:
            nonlocal moved
            for job in respread_each(engine, chosen, jobs.jobstore, dry_run=dry_run):
                moved += 1
                yield JobHandle(scheduler, engine, job)

        out.rows(COLUMNS, count())
        if moved < len(found):
            say(f"gsched: {len(found) - moved} of {len(found)} jobs stay as they are", err=True)
        if not dry_run:
            warn_if_no_runner(scheduler, jobs.jobstore)
