"""gsched run."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, WEB, configured
from gsched.config import Configuration, with_flags


@click.command()
@configured(
    *PLACE, *WEB, "web_public_url", "name", "timezone", "processes", "probe", "web", "drain_timeout", "pid_file",
    "crontab", "log_format", "log_level",
)  # fmt: skip
@click.option("-v", "--verbose", "loudness", flag_value="debug", help="The same as --log-level debug.")
@click.option("-q", "--quiet", "loudness", flag_value="warning", help="The same as --log-level warning.")
def run(configuration: Configuration, loudness: str | None) -> int:
    """Run the jobs of an application, of the configuration file and of the store, until TERM or Ctrl-C.

    A second TERM or Ctrl-C cancels runs in progress. HUP reloads the configuration file, and USR1 logs the stacks of
    all greenlets.
    """
    if loudness is not None:
        configuration = with_flags(configuration, log_level=loudness)
    from gsched.runner.launch import launch

    return launch(configuration)
