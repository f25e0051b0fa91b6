"""gsched job pause, resume, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.confirming import confirm, yes_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.config import Configuration
from gsched.errors import JobNotFoundError, StoreConflictError
from gsched.runner.exits import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.handle import JobHandle
    from gsched.scheduler import GeventScheduler

COLUMNS = (
    Column("id", lambda job: job.id),
    Column("state", lambda job: job.state),
    Column("next_run_time", lambda job: job.next_run_time),
)
REMOVED = (Column("id", lambda job: job.id), Column("name", lambda job: job.name))


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments and options by which jobs are chosen, and how carefully."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show which jobs are meant."),
        yes_option,
        jobstore_option,
        click.option("--tag", help="All jobs with this tag."),
        output_options,
        configured(*PLACE),
        click.argument("job_ids", metavar="[JOB]...", nargs=-1, type=JobId()),
    ):
        command = option(command)
    return command


@click.command()
@_selecting
def pause(configuration: Configuration, **selected: Any) -> None:
    """Let jobs not be due until they are resumed. Their runs in progress go on."""
    _change(configuration, "Pause", _paused, **selected)


@click.command()
@_selecting
def resume(configuration: Configuration, **selected: Any) -> None:
    """Let paused jobs be due again, from now on."""
    _change(configuration, "Resume", _resumed, needs_runner=True, **selected)


@click.command()
@_selecting
def remove(configuration: Configuration, **selected: Any) -> None:
    """Remove jobs. Their runs in progress go on, and their history stays."""
    _change(configuration, "Remove", _removed, always_ask=True, columns=REMOVED, **selected)


def _paused(job: JobHandle) -> JobHandle:
    job.pause()
    return job


def _resumed(job: JobHandle) -> JobHandle:
    job.resume()
    return job


def _removed(job: JobHandle) -> JobHandle:
    job.remove()
    return job


def _change(
    configuration: Configuration,
    verb: str,
    change: Callable[[JobHandle], JobHandle],
    *,
    out: Output,
    job_ids: Sequence[str],
    tag: str | None,
    jobstore: str | None,
    yes: bool,
    dry_run: bool,
    always_ask: bool = False,
    needs_runner: bool = False,
    columns: Sequence[Column] = COLUMNS,
) -> None:
    from gsched.cli.runners import warn_if_no_runner
    from gsched.cli.target import target

    if job_ids and tag is not None:
        raise click.UsageError("Name jobs, or a tag with --tag, but not both.")
    if not job_ids and tag is None:
        raise click.UsageError("Name jobs, or a tag with --tag.")
    with target(configuration) as scheduler:
        chosen = _chosen(scheduler, job_ids, tag, jobstore)
        if not chosen:
            raise CommandRefused(f"no job has the tag {tag!r}", Exit.NOT_FOUND)
        if dry_run:
            out.rows(columns, filter(None, (scheduler.get_job(*one) for one in chosen)))
            return
        if always_ask or tag is not None:
            confirm(f"{verb} {_counted(chosen)}?", yes)
        failures: list[str] = []
        out.rows(columns, _changed(scheduler, chosen, change, failures))
        if failures:
            message = f"{len(failures)} of {len(chosen)} jobs are as they were: {failures[0]}"
            raise CommandRefused(message, Exit.CONFLICT)
        if needs_runner:
            warn_if_no_runner(scheduler, jobstore)


def _chosen(
    scheduler: GeventScheduler, job_ids: Sequence[str], tag: str | None, jobstore: str | None
) -> list[tuple[str, str]]:
    """Which jobs are meant, by id and store. All are found before any is changed, for changes reorder the list."""
    from gsched.cli.finding import find_job

    if tag is not None:
        jobs = scheduler.iter_jobs(jobstore, tag=tag)
    else:
        jobs = (find_job(scheduler, job_id, jobstore) for job_id in job_ids)
    return list(dict.fromkeys((job.id, job.jobstore) for job in jobs))


def _counted(chosen: list[tuple[str, str]]) -> str:
    return f"the job {chosen[0][0]!r}" if len(chosen) == 1 else f"{len(chosen)} jobs"


def _changed(
    scheduler: GeventScheduler,
    chosen: list[tuple[str, str]],
    change: Callable[[JobHandle], JobHandle],
    failures: list[str],
) -> Iterator[JobHandle]:
    """The jobs as they are changed, one after the other; those that are gone meanwhile are left out."""
    for job_id, alias in chosen:
        job = scheduler.get_job(job_id, alias)
        try:
            if job is not None:
                yield change(job)
        except JobNotFoundError:
            continue
        except StoreConflictError as error:
            failures.append(str(error))
