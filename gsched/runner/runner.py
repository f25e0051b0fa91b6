"""One runner process: configure logging, build the scheduler, start it, drain it."""

from __future__ import annotations

from gsched.cli.exits import Exit
from gsched.config import Configuration
from gsched.runner.building import runner_scheduler


def run_jobs(configuration: Configuration) -> int:
    """Run jobs until a signal ends it; the exit code."""
    scheduler = runner_scheduler(configuration)
    scheduler.run_forever()
    return Exit.OK
