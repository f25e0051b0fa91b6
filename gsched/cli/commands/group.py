"""gsched group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import jobstore_option
from gsched.cli.commands.limit import one_store
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.cli.printing import say
from gsched.cli.time_ahead import pause_end
from gsched.config import Configuration
from gsched.errors import ConfigurationError, InvalidJobError
from gsched.shapes.groups import GROUP

if TYPE_CHECKING:
    from gsched.monitoring.groups import GroupInfo


def _limit_in_words(group: GroupInfo) -> str | None:
    return None if group.limit is None else f"{group.limit.words()} ({group.limit.pattern})"


def _pause_in_words(group: GroupInfo) -> str | None:
    return None if group.pause is None else group.pause.words()


COLUMNS = columns(GROUP, in_table={"limit": _limit_in_words, "pause": _pause_in_words})


@click.group()
def group() -> None:
    """Groups of jobs: list, pause, resume.

    A job belongs to the group that its option `group` names. GROUP may also be the beginning of groups with "*" at its
    end, such as 'host:*'.
    """


@group.command("list")
@configured(*PLACE)
@output_options
@jobstore_option
def list_groups(configuration: Configuration, out: Output, jobstore: str | None) -> None:
    """List the groups that jobs are in, and those with a limit or a pause of their own.

    Runners tell each two seconds what the groups with a limit or a pause are doing: how many runs are in progress, how
    many jobs wait for their turn and since when, and how many runs began within the last minute.
    """
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner

    with open_store(configuration) as scheduler:
        out.rows(COLUMNS, scheduler.admin.get_groups(jobstore))
        warn_if_no_runner(scheduler, jobstore)


@group.command()
@click.argument("group", metavar="GROUP")
@configured(*PLACE, "timezone")
@click.option("--reason", help="Why. The reason is shown wherever the pause is.")
@click.option("--until", metavar="TIME", help="When the pause ends by itself: 18:00, 2h, 2026-11-23T08:00.")
@one_store
def pause(
    configuration: Configuration, group: str, reason: str | None, until: str | None, jobstore: str
) -> None:
    """Pause a group: no run of its jobs begins until it is resumed, or until a time. Runs in progress go on.

    The jobs stay due: what is due meanwhile waits, and coalesces as each job says. A group that is paused already keeps
    its pause but for the reason and the time that are given.
    """
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        try:
            end = None if until is None else pause_end(until, scheduler.timezone, scheduler.clock.now_ms())
            made = scheduler.pause_group(group, reason, end, jobstore=jobstore)
        except InvalidJobError as error:
            raise click.UsageError(f"--{error}") from None
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        say(f"gsched: {group!r} is {made.words(scheduler.timezone)}", err=True)


@group.command()
@click.argument("group", metavar="GROUP")
@configured(*PLACE)
@one_store
def resume(configuration: Configuration, group: str, jobstore: str) -> None:
    """Resume a paused group: what waits begins, as the limits allow."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        scheduler.resume_group(group, jobstore=jobstore)
