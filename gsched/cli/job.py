"""gsched job."""

from __future__ import annotations

import click

from gsched.cli.lazy import LazyGroup

TABLE = {
    "list": ("gsched.cli.job_reading:list_jobs", "List jobs, the next due first."),
    "show": ("gsched.cli.job_reading:show", "Show all of a job, and what it did."),
    "next": ("gsched.cli.job_reading:next_times", "The times at which a job is due next."),
    "run": ("gsched.cli.job_running:run", "Run a job once, now; its schedule stays as it is."),
    "pause": ("gsched.cli.job_changing:pause", "Let jobs not be due until they are resumed."),
    "resume": ("gsched.cli.job_changing:resume", "Let paused jobs be due again, from now on."),
    "remove": ("gsched.cli.job_changing:remove", "Remove jobs; their runs in progress go on."),
    "set": ("gsched.cli.job_setting:set_options", "Change a job's options or its trigger."),
}


@click.group(cls=LazyGroup, table=TABLE)
def job() -> None:
    """List, show, pause, resume, change, run and remove jobs.

    Jobs are named by their ids; the beginning of one is enough if no other job's id begins so.
    """
