"""The jobs that a command line names: by ids, by a tag, by how their ids begin, or all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.confirm import yes_option
from gsched.cli.output import Column, output_options
from gsched.jobs.audit import ALL_JOBS
from gsched.runner.exit_codes import CommandRefused, Exit

if TYPE_CHECKING:
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle


def _next_run(job: JobHandle) -> Any:
    from gsched.cli.due import next_run

    return next_run(job)


COLUMNS = (
    Column("id", lambda job: job.id),
    Column("state", lambda job: job.state),
    Column("next_run_time", lambda job: job.next_run_time, in_table=_next_run),
)


class Chosen(NamedTuple):
    """The jobs that a command line names in one of these ways.

    :ivar jobstore: only jobs of this store; None: of all stores
    """

    job_ids: Sequence[str]
    tag: str | None
    jobstore: str | None
    prefix: str | None = None
    everything: bool = False
    group: str | None = None

    def find(self, scheduler: GeventScheduler) -> list[JobHandle]:
        """The named jobs, each once. Raises CommandRefused if there are none.

        All of them are found before the first is changed, because changes reorder lists.
        """
        from gsched.cli.find_job import find_job

        if self.job_ids:
            return list(dict.fromkeys(find_job(scheduler, job_id, self.jobstore) for job_id in self.job_ids))
        found = list(scheduler.iter_jobs(self.jobstore, tag=self.tag, prefix=self.prefix, group=self.group))
        if not found:
            raise CommandRefused(f"no job {self._words()}", Exit.NOT_FOUND)
        return found

    @property
    def words(self) -> str:
        """The jobs in words, for the audit."""
        if self.job_ids:
            return f"{len(self.job_ids)} jobs"
        for what in ("tag", "group", "prefix"):
            if (value := getattr(self, what)) is not None:
                return f"{what}:{value}"
        return ALL_JOBS

    def _words(self) -> str:
        if self.tag is not None:
            return f"has the tag {self.tag!r}"
        if self.group is not None:
            return f"is in the group {self.group!r}"
        return "is in the store" if self.prefix is None else f"has an id that begins with {self.prefix!r}"


def choosing(*, everything: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the options that choose jobs, ask for confirmation, or only show the jobs. The command gets `jobs`.

    :param everything: the command may be for all jobs
    """
    options = [
        click.option("--dry-run", is_flag=True, help="Only show the jobs that are chosen."),
        yes_option,
        jobstore_option,
        click.option("--group", help="All jobs of this group."),
        click.option("--prefix", help="All jobs whose ids begin so."),
        click.option("--tag", help="All jobs with this tag."),
        output_options,
        click.argument("job_ids", metavar="[JOB]...", nargs=-1, type=JobId()),
    ]
    if everything:
        options.insert(3, click.option("--all", "everything", is_flag=True, help="All jobs of the store."))

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def choose(*args: Any, **given: Any) -> Any:
            chosen = Chosen(**{name: given.pop(name) for name in Chosen._fields if name in given})
            _check(chosen, everything)
            return command(*args, jobs=chosen, **given)

        wrapped: Callable[..., Any] = choose
        for option in options:
            wrapped = option(wrapped)
        return wrapped

    return decorate


def _check(chosen: Chosen, everything: bool) -> None:
    """Raises click.UsageError unless the jobs are named in one way."""
    words = [chosen.tag, chosen.prefix, chosen.group]
    named = [bool(chosen.job_ids), chosen.everything, *(word is not None for word in words)].count(True)
    if named != 1:
        ways = "--tag, --prefix, --group or --all" if everything else "--tag, --prefix or --group"
        raise click.UsageError(f"Name jobs, or write {ways}{', but not both' if named else ''}.")


def counted(found: Sequence[JobHandle]) -> str:
    """How many jobs these are, for a question."""
    return f"the job {found[0].id!r}" if len(found) == 1 else f"{len(found)} jobs"
