"""gsched crontab import."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import Duration
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import JobIdConflictError
from gsched.files.text import read_text_with_bytes, text_with_bytes
from gsched.runner.exit_codes import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.runner.crontab.lines import Crontab
    from gsched.runner.crontab.sync import Change
    from gsched.schedulers.gevent import GeventScheduler

COLUMNS = (
    Column("action", lambda change: change.action),
    Column("id", lambda change: change.job_id),
    Column("trigger", lambda change: change.trigger),
    Column("command", lambda change: change.name),
)


@click.command("import")
@click.argument("file", metavar="FILE|-")
@configured(*PLACE, "timezone")
@output_options
@click.option("--system", is_flag=True, help="Lines name the user before the command (default for /etc/crontab).")
@click.option("--user", metavar="NAME", help="Run the commands as this user; only a runner of root can.")
@click.option("--prefix", help="What the jobs' ids begin with.  Default: the file's name and a slash.")
@click.option("--timeout", type=Duration(), metavar="DURATION", help="Stop commands that take longer.")
@click.option(
    "--misfire-grace-time", type=Duration(), metavar="DURATION",
    help="Do not run a command that is later than this.  Default: run it, once.",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Also replace jobs with the same ids that are not from this file.")
@click.option("--skip-bad", is_flag=True, help="Import the lines that are right if others are wrong.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def import_file(
    configuration: Configuration,
    out: Output,
    file: str,
    system: bool,
    user: str | None,
    prefix: str | None,
    replace: bool,
    skip_bad: bool,
    dry_run: bool,
    **options: float | None,
) -> None:
    """Import a crontab's commands as jobs.

    If you import the same file again, jobs are added, changed and removed as its lines are; paused jobs stay paused. A
    command's output goes to the runner's log, and its exit status is the run's outcome.
    """
    from gsched.runner.commands import COMMANDS
    from gsched.runner.crontab.jobs import MAIL
    from gsched.runner.crontab.lines import read_crontab
    from gsched.runner.crontab.sync import apply_import, plan_import, source_of

    source = source_of(file, system=system, user=user, prefix=prefix)
    text = _text(file)
    # Before a store is made for it; an application's time zone is known only then.
    _report(file, read_crontab(text, system=source.system, timezone=configuration.timezone), skip_bad)
    with _scheduler(configuration, dry_run) as scheduler:
        zone = configuration.timezone or scheduler.timezone
        crontab = read_crontab(text, system=source.system, timezone=zone)
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        try:
            changes = plan_import(scheduler, crontab, source, options=given, replace=replace)
        except JobIdConflictError as error:
            raise CommandRefused(
                f"the job id {error.job_id!r} is taken by a job that is not from {file}",
                Exit.CONFLICT, "--prefix TEXT gives these jobs other ids; --replace replaces that job",
            ) from None  # fmt: skip
        if not dry_run:
            apply_import(scheduler, changes)
    out.rows(COLUMNS, changes)
    _sum_up(changes, dry_run)
    if recipients := sorted({address for entry in crontab.entries for address in entry.mail_to}):
        say("MAILTO: a runner with --crontab FILE mails by itself; others need a section", err=True)
        say(" and ".join(f'[notify."{MAIL}{each}"]' for each in recipients), err=True)
    if configuration.store is not None and COMMANDS not in configuration.modules:
        say(f'Runners of this store need modules = ["{COMMANDS}"] in [store]: whoever can write', err=True)
        say("to the database can have commands run there.", err=True)


@contextmanager
def _scheduler(configuration: Configuration, dry_run: bool) -> Iterator[GeventScheduler]:
    """A scheduler with the store. A dry run makes no store: if there is none, it compares with an empty one."""
    from gsched.cli.open_store import open_store
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.stores import MemoryJobStore

    if dry_run and not _has_store(configuration):
        yield GeventScheduler(jobstores={"default": MemoryJobStore()}, timezone=configuration.timezone)
        return
    with open_store(configuration, makes_store=True) as scheduler:
        yield scheduler


def _has_store(configuration: Configuration) -> bool:
    """True if there is a store already. An application counts as having one: to look would import the application."""
    from gsched.runner.place import is_there, place_of

    if configuration.memory:
        return False
    return configuration.app is not None or is_there(place_of(configuration, None))


def _text(file: str) -> str:
    return read_text_with_bytes(file) if file != "-" else text_with_bytes(sys.stdin.buffer.read(), "-")


def _report(file: str, crontab: Crontab, skip_bad: bool) -> None:
    from gsched.runner.crontab.lines import Remark
    from gsched.runner.crontab.notes import beyond_cron

    notes = [Remark(each.line, each.schedule, note) for each in crontab.entries for note in beyond_cron(each.schedule)]
    for kind, remarks in (("error", crontab.errors), ("warning", crontab.warnings), ("note", notes)):
        for remark in remarks:
            say(f"{file}: {kind}: {remark}", err=True)
    if crontab.errors and not skip_bad:
        lines = "1 line is" if len(crontab.errors) == 1 else f"{len(crontab.errors)} lines are"
        raise CommandRefused(
            f"{file}: {lines} wrong; nothing was imported", Exit.INVALID, "--skip-bad imports the others"
        )


def _sum_up(changes: list[Change], dry_run: bool) -> None:
    counts = Counter(change.action for change in changes)
    summary = ", ".join(f"{count} {action}" for action, count in counts.items()) or "no jobs"
    say(f"{summary} (dry run: nothing was done)" if dry_run else summary, err=True)
