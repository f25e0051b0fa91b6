"""gsched job remove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from gsched.cli.chosen_jobs import Chosen, choosing, counted
from gsched.cli.confirm import confirm
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output
from gsched.config import Configuration
from gsched.errors import JobNotFoundError, StoreConflictError
from gsched.runner.exit_codes import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.schedulers.handle import JobHandle

COLUMNS = (Column("id", lambda job: job.id), Column("name", lambda job: job.name))


@click.command()
@configured(*PLACE)
@choosing(everything=False)
def remove(configuration: Configuration, out: Output, jobs: Chosen, yes: bool, dry_run: bool) -> None:
    """Remove jobs. Runs in progress go on, and the history stays."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        found = jobs.find(scheduler)
        if dry_run:
            out.rows(COLUMNS, found)
            return
        confirm(f"Remove {counted(found)}?", yes)
        failures: list[str] = []
        out.rows(COLUMNS, _removed(found, failures))
        if failures:
            message = f"{len(failures)} of {len(found)} jobs were not removed: {failures[0]}"
            raise CommandRefused(message, Exit.CONFLICT)


def _removed(found: Sequence[JobHandle], failures: list[str]) -> Iterator[JobHandle]:
    """Remove the jobs one after the other, and give each. Jobs that are gone meanwhile are left out."""
    for job in found:
        try:
            job.remove()
            yield job
        except JobNotFoundError:
            continue
        except StoreConflictError as error:
            failures.append(str(error))
