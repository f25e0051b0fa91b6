"""Export and import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from gsched.errors import JobIdConflictError
from gsched.event_loop.batches import batches
from gsched.jobs.audit import Act, stamped
from gsched.jobs.callables import check_progress
from gsched.jobs.job import Job
from gsched.schedulers.acting import act
from gsched.schedulers.components import copy_limits
from gsched.schedulers.spreading import number
from gsched.schedulers.verbs.verbs import Verbs
from gsched.stores import JobQuery

if TYPE_CHECKING:
    from gsched.jobs.export import Target


class ExportVerbs(Verbs):
    """The verbs that write jobs to files and read them."""

    def export_jobs(
        self, outfile: Target, jobstore: str | None = None, progress: Callable[[int], object] | None = None
    ) -> int:
        """Write jobs as JSON Lines, with their next run times, pauses and phases, whole or not at all.

        Limits and pauses of groups are written, too.

        :param outfile: a path or an open text file
        :param jobstore: only those of this store; default: of all stores
        :param progress: called for each job with how many were written so far
        :return: how many jobs were written
        :raises InvalidJobError: for a job that JSON cannot express: its function is a lambda or a closure, or an
            argument has a type that neither JSON nor `gsched.jobs.export` knows
        """
        check_progress(progress)
        return self._engine.call(self._export, outfile, jobstore, progress)

    def _export(self, outfile: Target, jobstore: str | None, progress: Callable[[int], object] | None) -> int:
        from gsched.jobs.export import write_jobs  # few programs need it

        stores = [self._engine.stores[alias] for alias in self._engine.aliases(jobstore)]
        jobs, limits = (job for store in stores for job in store.find(JobQuery())), (each.limits() for each in stores)
        return write_jobs(jobs, outfile, progress, limits)

    def import_jobs(
        self,
        infile: Target,
        jobstore: str = "default",
        replace_existing: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Add the jobs that `export_jobs` wrote; all of them are checked before the first is added.

        Limits and pauses of groups come first. One that the store has already stays, unless `replace_existing`.

        Their functions must be in the scheduler's `modules`, or ones that the program has used itself.

        :param infile: a path or an open text file
        :param jobstore: alias of the store to add them to
        :param replace_existing: replace jobs with the same ids
        :param progress: called after each thousand with how many were added so far
        :return: how many jobs were added
        :raises InvalidJobError: naming a job that cannot be understood, and the reason
        :raises JobIdConflictError: if an id is taken
        """
        check_progress(progress)
        done = act("job.add", self._engine.now_ms())
        return self._engine.call(self._import, infile, jobstore, replace_existing, progress, done)

    def _import(
        self, infile: Target, jobstore: str, replace: bool, progress: Callable[[int], object] | None, done: Act | None
    ) -> int:
        """Reads the jobs twice, so that those that are checked already need not be kept."""
        from gsched.jobs.export import read_groups, read_jobs, rereadable  # few programs need it

        now, added = self._engine.now_ms(), 0
        with rereadable(infile) as file:
            start = file.tell()
            groups = read_groups(file)
            file.seek(start)
            for batch in batches(_all_different(read_jobs(file, self._engine.allowed, jobstore, now), replace)):
                self._engine.store_for_adding(jobstore).check_addable(batch, replace)
            file.seek(start)
            copy_limits(groups.at(now), self._engine.store_for_adding(jobstore), replace=replace)
            for batch in batches(read_jobs(file, self._engine.allowed, jobstore, now)):
                self._engine.add_jobs(stamped(batch, done), jobstore, replace, {job.id for job in batch})
                number(batch, self._engine.store(jobstore))
                added += len(batch)
                if progress is not None:
                    progress(added)
        self._engine.record(done, jobstore, f"{added} imported jobs", added)
        return added


def _all_different(jobs: Iterable[Job], replace: bool) -> Iterator[Job]:
    """The jobs. Raises JobIdConflictError at an id that comes again, unless they may replace each other."""
    seen: set[str] = set()
    for job in jobs:
        if not replace and job.id in seen:
            raise JobIdConflictError(job.id)
        seen.add(job.id)
        yield job
