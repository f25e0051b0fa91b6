"""gsched crontab."""

from __future__ import annotations

import click

from gsched.cli.lazy import LazyGroup

TABLE = {
    "import": ("gsched.cli.crontab_import:import_file", "Import a crontab's commands as jobs."),
    "explain": ("gsched.cli.crontab_explain:explain", "Say in words what a cron expression means."),
}


@click.group(cls=LazyGroup, table=TABLE)
def crontab() -> None:
    """Import a crontab's commands as jobs; explain a cron expression."""
