"""Runs on request: they wait in documents of their own, and are handed to the hub, once each, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from gsched.events import EVENT_JOB_SKIPPED, JobSubmissionEvent
from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome, Reason
from gsched.stores.base import HubSide, RunRequested
from gsched.stores.mongodb.cluster import Cluster, JobRecord, RunRecord
from gsched.stores.mongodb.tenure import Tenure
from gsched.triggers import DateTrigger

AT_ONCE = 100  # runs per transaction, for which the watermark and other jobs wait
JOBS_AT_ONCE = 200  # that are looked at for them


class Requests:
    """Takes runs that wait, for one tenure.

    Only the owner of a job's slot begins them, and only those of which the database says that they are in progress on
    this node: a node that is taken for dead begins none, and a crash leaves each either waiting or in progress.

    :param keep_alive: called before each write, so that others do not take us for dead
    :param can_run: whether the job can be run here; else its runs wait until somebody looks at it again
    """

    def __init__(
        self,
        cluster: Cluster,
        tenure: Tenure,
        hub: HubSide,
        keep_alive: Callable[[], None],
        can_run: Callable[[JobRecord], bool],
    ) -> None:
        self._cluster = cluster
        self._tenure = tenure
        self._hub = hub
        self._keep_alive = keep_alive
        self._can_run = can_run
        self._awaited: dict[str, None] = {}  # jobs of ours that runs may wait of
        self._taking: Sequence[RunRecord] = ()  # those that we may have taken

    @property
    def pending(self) -> bool:
        """Whether there may be more to take."""
        return bool(self._awaited or self._taking)

    @property
    def unsettled(self) -> bool:
        """Whether runs may have been taken of which the hub does not know."""
        return bool(self._taking)

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Runs of these jobs may wait."""
        self._awaited.update(dict.fromkeys(job_ids))

    def take_some(self) -> None:
        """Take some, and have the hub run them."""
        runs = self._taking or self._find_some()
        if runs:
            self._keep_alive()
            records = self._cluster.read_jobs({run.job_id for run in runs})
            self._taking = self._taking or [run for run in runs if self._may_begin(run, records)]
            self._begin(records)

    def _find_some(self) -> Sequence[RunRecord]:
        ids = list(islice(self._awaited, JOBS_AT_ONCE))
        if not ids:
            return ()
        runs = self._cluster.waiting_of(ids, AT_ONCE)
        if len(runs) < AT_ONCE:  # else there are more
            for job_id in ids:
                self._awaited.pop(job_id, None)
        return runs

    def _may_begin(self, run: RunRecord, records: Mapping[str, JobRecord]) -> bool:
        """Whether it is for us to say what becomes of it, and now."""
        record = records.get(run.job_id)
        is_ours = run.slot in self._tenure.slots and (record is None or self._can_run(record))
        if not is_ours:
            self._awaited.pop(run.job_id, None)
        return is_ours

    def _begin(self, records: Mapping[str, JobRecord]) -> None:
        gone = [run for run in self._taking if run.job_id not in records]
        here = [run for run in self._taking if run.job_id in records]
        self._cluster.skip_waiting(self._tenure.node, gone)
        begun = set(self._cluster.begin_waiting(self._tenure.node, here)) if here else set()
        for run in here:
            if run in begun:
                self._hub.post(self._requested(run, records[run.job_id].job))
            else:  # somebody else has withdrawn it, or the database refuses it: not again and again
                self._awaited.pop(run.job_id, None)
        for run in gone:
            self._hub.emit(self._skipped(run))
        self._taking = ()

    def _requested(self, run: RunRecord, job: Job) -> RunRequested:
        return RunRequested(job, run.request or "", run.scheduled, self._tenure.slots[run.slot].fence)

    def _skipped(self, run: RunRecord) -> JobSubmissionEvent:
        """The job was removed before the run began."""
        at = run.scheduled
        span = Span(Outcome.SKIPPED, at, at + 1, Reason.REMOVED_OR_PAUSED, run.request)
        job = Job(run.job_id, None, DateTrigger(from_ms(at)), jobstore=self._hub.alias, next_run_ms=at)
        return JobSubmissionEvent(EVENT_JOB_SKIPPED, job, span)
