"""gsched store."""

from __future__ import annotations

import sys
from typing import IO

import click

from gsched.cli.arguments import jobstore_option
from gsched.cli.confirm import confirm, yes_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.cli.progress import progress
from gsched.config import Configuration
from gsched.errors import ConfigurationError, InvalidJobError, JobIdConflictError
from gsched.runner.exit_codes import CommandRefused, Exit

STATISTICS = (
    Column("jobs", lambda found: sum(found.jobs.values())),
    Column("scheduled", lambda found: found.jobs["scheduled"]),
    Column("paused", lambda found: found.jobs["paused"]),
    Column("parked", lambda found: found.jobs["parked"]),
    Column("records", lambda found: sum(found.records.values())),
    Column("records_by_outcome", lambda found: dict(found.records)),
    Column("oldest_record", lambda found: found.oldest),
    Column("nodes", lambda found: dict(found.nodes)),
    Column("owned_slots", lambda found: found.owned_slots),
    Column("bytes", lambda found: sum(found.sizes.values())),
    Column("bytes_by_collection", lambda found: dict(found.sizes)),
)
_one_store = click.option("--jobstore", metavar="ALIAS", default="default", show_default=True, help="The job store.")


@click.group()
def store() -> None:
    """Prepare, measure, copy, export, import and purge the store."""


@store.command()
@configured(*PLACE)
@_one_store
def init(configuration: Configuration, jobstore: str) -> None:
    """Make the collections and indexes. Schedulers make them when they start, if their user may."""
    from gsched.cli.open_store import open_store

    with open_store(configuration, makes_store=True) as scheduler:
        scheduler.admin.prepare_store(jobstore)
        say(f"gsched: the store {jobstore!r} is ready", err=True)


@store.command()
@configured(*PLACE)
@output_options
@_one_store
def stats(configuration: Configuration, out: Output, jobstore: str) -> None:
    """Print how much the store holds: jobs by state, the history by outcome, nodes, sizes on disk."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        out.one(STATISTICS, scheduler.admin.get_statistics(jobstore))


@store.command("export")
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True))
@configured(*PLACE)
@jobstore_option
def export_jobs(configuration: Configuration, file: str, jobstore: str | None) -> None:
    """Write jobs as JSON Lines to FILE or to stdout, with their next run times and pauses. A failure leaves no file."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        aliases = [jobstore] if jobstore is not None else list(scheduler.stores)
        total = sum(sum(scheduler.admin.get_statistics(alias).jobs.values()) for alias in aliases) if _shows() else 0
        with progress("exporting", total) as note:
            count = scheduler.export_jobs(sys.stdout if file == "-" else file, jobstore, note)
        say(f"gsched: exported {count} jobs", err=True)


@store.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@configured(*PLACE)
@click.option("--replace", is_flag=True, help="Replace jobs with the same ids; without it they are a conflict.")
@_one_store
def import_jobs(configuration: Configuration, file: str, jobstore: str, replace: bool) -> None:
    """Add the jobs that `export` wrote to FILE, or to stdin (-). All are checked before the first is added.

    The command looks for no functions: if the function of a job is missing on the node that owns the job, the job is
    parked there.
    """
    from gsched.cli.open_store import open_store

    with open_store(configuration, makes_store=True) as scheduler:
        source: IO[str] | str = sys.stdin if file == "-" else file
        try:
            with progress("importing") as note:
                count = scheduler.import_jobs(source, jobstore, replace, note)
        except InvalidJobError as error:
            raise CommandRefused(str(error), Exit.FAILED) from None
        except JobIdConflictError as error:
            raise CommandRefused(f"the job id {error.job_id!r} is taken", Exit.CONFLICT, "write --replace") from None
        say(f"gsched: imported {count} jobs", err=True)


@store.command()
@click.argument("file", type=click.Path(dir_okay=False))
@configured(*PLACE)
@_one_store
def backup(configuration: Configuration, file: str, jobstore: str) -> None:
    """Copy a SQLite store, which may be in use, to FILE, which must not exist: jobs, history and claims."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        try:
            scheduler.admin.backup_store(file, jobstore)
        except ConfigurationError as error:
            raise CommandRefused(str(error)) from None
        say(f"gsched: copied to {file}", err=True)


@store.command()
@click.option("--older-than", required=True, metavar="TIME", help="How long ago (14d), or ISO 8601.")
@configured(*PLACE)
@_one_store
@yes_option
@click.option("--dry-run", is_flag=True, help="Only print how many records would be removed.")
def purge(configuration: Configuration, older_than: str, jobstore: str, yes: bool, dry_run: bool) -> None:
    """Remove the history of runs that were due long ago. The counts of jobs stay.

    The database itself removes records that are older than store.history.keep.
    """
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        try:
            count = scheduler.admin.count_runs(older_than, jobstore)
        except ConfigurationError as error:
            raise click.UsageError(str(error).replace("before:", "--older-than:")) from None
        if dry_run or not count:
            say(f"gsched: {count} records are older", err=True)
            return
        confirm(f"Remove {count} records of the history?", yes)
        with progress("purging", count) as note:
            purged = scheduler.admin.purge_runs(older_than, jobstore, note)
        say(f"gsched: removed {purged} records", err=True)


def _shows() -> bool:
    """True if somebody sees the progress. If not, the jobs need not be counted, which takes the database a while."""
    return sys.stderr.isatty()
