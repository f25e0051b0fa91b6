"""gsched job list, show, next."""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import job_argument, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, columns, output_options
from gsched.cli.printing import say, say_next
from gsched.config import Configuration
from gsched.errors import ConfigurationError, InvalidJobError
from gsched.shapes.jobs import JOB, job_values, next_run_times
from gsched.times.durations import rough_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from gsched.monitoring.job_pages import JobPage
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle

_OF_SEVERAL = Column("jobstore", lambda job: job.jobstore)


def _columns(due: Callable[[JobHandle], Any], overdue: OverdueJobs) -> tuple[Column, ...]:
    """The columns of a list of jobs.

    :param due: gives a text or time for people: when a job is due
    :param overdue: the jobs that are overdue
    """
    in_table = {"state": overdue.state_in_words, "next_run_time": due}
    shown = columns(JOB, in_table=in_table, json_only=("schedule", "group", "pause"))
    return (*shown, Column("overdue", overdue.has, json_only=True))


class OverdueJobs:
    """The jobs that are overdue. Asks each store once."""

    def __init__(self, scheduler: GeventScheduler) -> None:
        self._seconds = cache(lambda alias: {each.job_id: each.seconds for each in scheduler.admin.get_overdue(alias)})

    def has(self, job: JobHandle) -> bool:
        """True if the job is overdue."""
        return job.id in self._seconds(job.jobstore)

    def state_in_words(self, job: JobHandle) -> str:
        """The state; of a paused job why, by whom and until when; of an overdue job for how long."""
        pause, state = job.pause_info, job.state
        if pause is not None and state == "paused":
            return pause.words(job.trigger.timezone)
        if not self.has(job):
            return state
        return f"{state}, overdue for {rough_duration(self._seconds(job.jobstore)[job.id])}"


@click.command("list")
@configured(*PLACE)
@output_options
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--group", help="Only jobs of this group.")
@click.option("--state", type=click.Choice(["scheduled", "paused", "parked"]), help="Only jobs in this state.")
@click.option("--text", help="Only jobs with this text in their id or name.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="List at most N jobs.")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="N", help="Leave out the first N jobs.")
@click.option("--failing", is_flag=True, help="A page of the jobs whose last run failed.")
@click.option("--overdue", is_flag=True, help="A page of the overdue jobs.")
@click.option("--sort", type=click.Choice(["next", "id"]), help="A page of jobs in this order.")
@click.option("--after", metavar="PLACE", help="A page: go on where the page before ended; '' is the first page.")
@jobstore_option
def list_jobs(
    configuration: Configuration,
    out: Output,
    jobstore: str | None,
    failing: bool,
    overdue: bool,
    sort: str | None,
    after: str | None,
    **which: Any,
) -> None:
    """List jobs, the next due first. If no runner has begun a job in time, a table shows for how long it has been due.

    More than 2,000 jobs come in the order of their stored times, which may be past; the times shown are the true ones.

    With --after, --sort, --failing or --overdue, the command lists a page (100 jobs, or --limit), and names the place
    where the next one begins: each page costs the same. By time, jobs that run meanwhile change their places; by id,
    they do not.
    """
    from gsched.cli.due import DueTimes
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner

    with open_store(configuration) as scheduler:
        of_several = (_OF_SEVERAL,) if len(scheduler.stores) > 1 else ()
        of_all = _columns(DueTimes(scheduler).of, OverdueJobs(scheduler))
        if failing or overdue or sort is not None or after is not None:
            asked = {"failing": failing, "overdue": overdue, "sort": sort or "next", "after": after or None}
            page = _page(scheduler, jobstore, **asked, **which)
            out.rows((*of_all, *of_several), [row.job for row in page.rows])
            if page.stopped_early:
                say("gsched: the search was stopped after a second: write more of the text, or go on", err=True)
            say_next(page.next)
        else:
            out.rows((*of_all, *of_several), scheduler.iter_jobs(jobstore, **which))
        warn_if_no_runner(scheduler, jobstore)


def _page(scheduler: GeventScheduler, jobstore: str | None, **which: Any) -> JobPage[JobHandle]:
    from gsched.jobs.query import JobQuery

    try:
        return scheduler.admin.find(JobQuery(**which), jobstore)
    except (ConfigurationError, InvalidJobError) as error:
        raise click.UsageError(str(error)) from None


@click.command()
@job_argument
@configured(*PLACE)
@output_options
@jobstore_option
def show(configuration: Configuration, out: Output, job_id: str, jobstore: str | None) -> None:
    """Show a job's options and its counts: runs, failures, the last run and the last error.

    Of the options about retries, overlap, catch-up, pauses and times to keep, a table has those that differ from the
    defaults.
    """
    from gsched.cli.due import DueTimes
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.jobs.policy_options import own_policy_options

    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        values = job_values(job, scheduler.get_counters(job.id, job.jobstore), scheduler.clock.now_ms())
        if out.form not in ("json", "jsonl"):
            plain = job.policy.keys() - own_policy_options(job.definition.policy).keys() - {"recover"}
            values = {name: value for name, value in values.items() if name not in plain}
        if out.form == "table":
            values["next_run_time"] = DueTimes(scheduler).of(job)
            values["state"] = OverdueJobs(scheduler).state_in_words(job)
            del values["pause"]  # the state says it in words
        out.one([Column(name, itemgetter(name)) for name in values], values)
        warn_if_no_runner(scheduler, job.jobstore)


@click.command("next")
@job_argument
@configured(*PLACE)
@output_options
@click.option("--count", type=click.IntRange(1, 100_000), default=10, show_default=True, metavar="N")
@jobstore_option
def next_times(configuration: Configuration, out: Output, job_id: str, jobstore: str | None, count: int) -> None:
    """Print the times at which a job is due next. For a paused job, print the times at which it would be due."""
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        if reason := job.parked:
            say(f"gsched: {job.id!r} is parked, and none of these will run: {reason}", err=True)
        elif (pause := job.pause_info) is not None:
            until = "until it is resumed" if pause.until is None else "before then, unless it is resumed"
            words = pause.words(job.trigger.timezone)
            say(f"gsched: {job.id!r} is {words}; it is not due {until}", err=True)
        times = list(next_run_times(job.definition, scheduler.clock.now_ms(), count))
        if len(times) < count:
            say(f"gsched: {job.id!r} is due {len(times) or 'no'} more times", err=True)
        out.rows([Column("next_run_time", lambda time: time)], times)
