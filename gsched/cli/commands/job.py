"""gsched job."""

from __future__ import annotations

import click

from gsched.cli.elsewhere import OF_JOBS
from gsched.cli.lazy import LazyGroup

TABLE = {
    "list": ("gsched.cli.commands.job_show:list_jobs", "List jobs, the next due first."),
    "show": ("gsched.cli.commands.job_show:show", "Show a job's options and its counts."),
    "next": ("gsched.cli.commands.job_show:next_times", "Print the times at which a job is due next."),
    "add": ("gsched.cli.commands.job_add:add", "Add a job that runs a shell command, or calls a function."),
    "run": ("gsched.cli.commands.job_run:run", "Run a job once, now; its schedule stays as it is."),
    "pause": ("gsched.cli.commands.job_pause:pause", "Pause jobs, for a reason and until a time: they are not due."),
    "resume": ("gsched.cli.commands.job_pause:resume", "Resume paused jobs: they are due again from now on."),
    "respread": ("gsched.cli.commands.job_respread:respread", "Spread jobs evenly, so that they do not begin at once."),
    "remove": ("gsched.cli.commands.job_remove:remove", "Remove jobs; their runs in progress go on."),
    "edit": ("gsched.cli.commands.job_edit:edit", "Edit a job as text, in an editor."),
    "copy": ("gsched.cli.commands.job_copy:copy", "Add a job that is like another."),
    "rename": ("gsched.cli.commands.job_copy:rename", "Give a job another id."),
    "set": ("gsched.cli.commands.job_set:set_options", "Change a job's options or its trigger."),
}


@click.group(cls=LazyGroup, table=TABLE, elsewhere=OF_JOBS)
def job() -> None:
    """List, show, add, change, pause, resume, run and remove jobs.

    Jobs are named by their ids. The beginning of an id is enough if no other job's id begins in the same way.
    """
