"""gsched run."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, configured
from gsched.config import Configuration


@click.command()
@configured(
    *PLACE, "name", "timezone", "processes", "probe", "drain_timeout", "pid_file", "log_format"
)
def run(configuration: Configuration) -> int:
    """Run jobs until TERM or Ctrl-C: those of an application, of the configuration file, of the store."""
    from gsched.runner.patching import patch

    patch()
    from gsched.runner.runner import run_jobs

    return run_jobs(configuration)
