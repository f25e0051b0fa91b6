"""gsched job list, show, next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import job_argument, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from gsched.jobs.job import Job
    from gsched.schedulers.handle import JobHandle

_OF_SEVERAL = Column("jobstore", lambda job: job.jobstore)

_OPTIONS = (
    "id", "name", "state", "func_ref", "args", "kwargs", "trigger", "next_run_time", "executor", "jobstore",
    "misfire_grace_time", "coalesce", "max_instances", "timeout", "recover", "tags", "metadata", "parked",
)  # fmt: skip
_ENDLESS_MS = 221_845_392_000_000  # the year 9000: a trigger that is due then ends only with the calendar
_OF_PAUSE = ("reason", "by", "at", "until", "cause")
_FIGURES = ("runs", "failures", "last_run", "last_duration", "last_error")


def _columns(due: Callable[[JobHandle], Any]) -> tuple[Column, ...]:
    """The columns of a list of jobs.

    :param due: gives a text or time for people: when a job is due
    """
    return (
        Column("id", lambda job: job.id),
        Column("name", lambda job: job.name),
        Column("state", lambda job: job.state, in_table=state_in_words),
        Column("next_run_time", lambda job: job.next_run_time, in_table=due),
        Column("trigger", lambda job: str(job.trigger)),
        Column("tags", lambda job: list(job.tags)),
    )


def state_in_words(job: JobHandle) -> str:
    """The state; of a paused job why, by whom and until when."""
    pause = job.pause_info
    return job.state if pause is None or job.state != "paused" else pause.words(job.trigger.timezone)


def pause_fields(job: JobHandle) -> dict[str, Any] | None:
    """The pause of a paused job, in JSON's types but for its times."""
    pause = job.pause_info
    return None if pause is None else {name: getattr(pause, name) for name in _OF_PAUSE}


@click.command("list")
@configured(*PLACE)
@output_options
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--state", type=click.Choice(["scheduled", "paused", "parked"]), help="Only jobs in this state.")
@click.option("--text", help="Only jobs with this text in their id or name.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="List at most N jobs.")
@click.option("--skip", type=click.IntRange(0), default=0, metavar="N", help="Leave out the first N jobs.")
@jobstore_option
def list_jobs(configuration: Configuration, out: Output, jobstore: str | None, **which: Any) -> None:
    """List jobs, the next due first. If no runner has begun a job in time, a table shows for how long it has been due.

    More than 2,000 jobs come in the order of their stored times, which may be past; the times shown are the true ones.
    """
    from gsched.cli.due import DueTimes
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner

    with open_store(configuration) as scheduler:
        of_several = (_OF_SEVERAL,) if len(scheduler.stores) > 1 else ()
        columns = (*_columns(DueTimes(scheduler).of), *of_several, Column("pause", pause_fields, json_only=True))
        out.rows(columns, scheduler.iter_jobs(jobstore, **which))
        warn_if_no_runner(scheduler, jobstore)


@click.command()
@job_argument
@configured(*PLACE)
@output_options
@jobstore_option
def show(configuration: Configuration, out: Output, job_id: str, jobstore: str | None) -> None:
    """Show a job's options and its counts: runs, failures, the last run and the last error.

    Of the options about retries, overlap, catch-up and pauses, a table has those that differ from the defaults.
    """
    from gsched.cli.due import DueTimes
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.jobs.policy_options import own_policy_options

    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        figures = scheduler.get_counters(job.id, job.jobstore)
        values = {name: _shown(job, name) for name in _OPTIONS}
        values["pause"] = pause_fields(job)
        values |= job.policy if out.form in ("json", "jsonl") else own_policy_options(job.definition.policy)
        values["final_run_time"] = final_run_time(job.definition, scheduler.clock.now_ms())
        values |= {name: getattr(figures, name) for name in _FIGURES}
        if out.form == "table":
            values["next_run_time"] = DueTimes(scheduler).of(job)
            values["state"] = state_in_words(job)
            del values["pause"]  # the state says it in words
        out.one([Column(name, itemgetter(name)) for name in values], values)
        warn_if_no_runner(scheduler, job.jobstore)


def _shown(job: JobHandle, name: str) -> Any:
    if name == "trigger":
        return str(job.trigger)
    value = getattr(job, name)
    return dict(value) if name in ("kwargs", "metadata") else list(value) if name in ("args", "tags") else value


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


def next_run_times(job: Job, now: int, count: int) -> Iterator[datetime]:
    """At most `count` times at which a job is due after `now` (ms), as if it were neither paused nor parked."""
    from gsched.times.instants import from_ms

    due = _due(job, now)
    instants = () if due is None else islice(job.instants(due), count)
    return (from_ms(instant, job.trigger.timezone) for instant in instants)


def final_run_time(job: Job, now: int) -> datetime | None:
    """The last time at which a job is due, as if it were neither paused nor parked; None if its trigger has no end."""
    from gsched.times.instants import MAX_MS, from_ms

    due = _due(job, now)
    final = None if due is None else job.last_ms(due, MAX_MS)
    return None if final is None or final > _ENDLESS_MS else from_ms(final, job.trigger.timezone)


def _due(job: Job, now: int) -> int | None:
    return job.evolve(pause=None, parked=None).next_due_ms(now)
