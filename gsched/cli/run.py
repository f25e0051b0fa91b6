"""gsched run."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, configured
from gsched.config import Configuration, with_flags


@click.command()
@configured(
    *PLACE, "name", "timezone", "processes", "probe", "drain_timeout", "pid_file", "crontab", "log_format", "log_level"
)
@click.option("-v", "--verbose", "loudness", flag_value="debug", help="The same as --log-level debug.")
@click.option("-q", "--quiet", "loudness", flag_value="warning", help="The same as --log-level warning.")
def run(configuration: Configuration, loudness: str | None) -> int:
    """Run jobs until TERM or Ctrl-C: those of an application, of the configuration file, of the store.

    A second one cancels what is in progress. HUP reloads the configuration file, USR1 logs what every greenlet does.
    """
    if loudness is not None:
        configuration = with_flags(configuration, log_level=loudness)
    from gsched.runner.launching import launch

    return launch(configuration)
