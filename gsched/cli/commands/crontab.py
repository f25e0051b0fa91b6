"""gsched crontab."""

from __future__ import annotations

import click

from gsched.cli.lazy import LazyGroup

TABLE = {
    "import": ("gsched.cli.commands.crontab_import:import_file", "Import a crontab's commands as jobs."),
    "explain": ("gsched.cli.commands.crontab_explain:explain", "Print the meaning of a cron expression."),
}


@click.group(cls=LazyGroup, table=TABLE)
def crontab() -> None:
    """Import a crontab's commands as jobs; explain a cron expression."""
