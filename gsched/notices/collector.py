"""Collects what notifiers are to be told, in memory, until it is written to the outbox."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from gsched.jobs.job import Job
from gsched.notices.notice import NOTIFIER_FAILED, RECOVERED, REPEATED, Notice
from gsched.notices.notifier import Notifier
from gsched.notices.occurrences import Occurrence
from gsched.notices.outbox import DELAY_MS, OpenFailure
from gsched.times.clock import Clock

MOST_GROUPS: Final = 200  # notices of a notifier that are counted apart in one of its periods; the rest is one number

_Job = tuple[str, str]  # the alias of the store, and the id


class Collector:
    """Turns occurrences into notices, and counts those that are the same.

    However many jobs fail, it keeps at most so many notices for a notifier.

    :param notifiers: gives the notifiers as they are now
    """

    def __init__(self, notifiers: Callable[[], Iterable[Notifier]], clock: Clock) -> None:
        self._notifiers = notifiers
        self._clock = clock
        self._waiting: dict[str, Notice] = {}
        self._recent: dict[str, OrderedDict[str, float]] = {}  # by notifier: ids of notices, until when (monotonic)
        self._open: dict[_Job, dict[str, int | None]] = {}  # of failing jobs: by notifier, when more is told
        self._recovered: dict[_Job, Job] = {}

    @property
    def has_failing_jobs(self) -> bool:
        """True if the success of some job is to be told."""
        return bool(self._open)

    @property
    def is_empty(self) -> bool:
        """True if nothing is to be written."""
        return not self._waiting and not self._recovered

    def note(self, occurrence: Occurrence) -> None:
        """Something has happened."""
        now, job = self._clock.now_ms(), occurrence.job
        for notifier in self._notifiers():
            if occurrence.kind not in notifier.events or not _is_told(notifier, occurrence):
                continue
            notice = Notice(
                notifier.name,
                occurrence.kind,
                "" if job is None else job.jobstore,
                "" if job is None else job.id,
                occurrence.what,
                1,
                now,
                now,
                now + DELAY_MS,
                "" if job is None or job.name == job.id else job.name,
                occurrence.text,
                occurrence.instant,
                occurrence.run_id,
            )
            self._put(notifier, notice)
            if job is not None and occurrence.kind in REPEATED:
                self._open.setdefault((job.jobstore, job.id), {}).setdefault(notifier.name, now + DELAY_MS)
                self._recovered.pop((job.jobstore, job.id), None)

    def note_success(self, job: Job) -> None:
        """A run of the job has succeeded."""
        key = job.jobstore, job.id
        if key in self._open and key not in self._recovered:
            self._recovered[key] = job

    def know(self, failures: Iterable[OpenFailure]) -> None:
        """These failures are in the outbox, and those that wait here are not yet."""
        unwritten = {(each.jobstore, each.job_id) for each in self._waiting.values() if each.kind in REPEATED}
        self._open = {key: names for key, names in self._open.items() if key in unwritten or key in self._recovered}
        for failure in failures:
            self._open.setdefault((failure.jobstore, failure.job_id), {})[failure.notifier] = failure.due_at

    def take(self) -> tuple[list[Notice], list[_Job]]:
        """What is to be written: notices, and the jobs that have recovered."""
        for key, job in self._recovered.items():
            self._note_recovery(job, self._open.pop(key, {}))
        notices, recovered = list(self._waiting.values()), list(self._recovered)
        self._waiting, self._recovered = {}, {}
        return notices, recovered

    def give_back(self, notices: Iterable[Notice]) -> None:
        """They could not be written."""
        for notice in notices:
            self._add(notice)

    def _note_recovery(self, job: Job, told: dict[str, int | None]) -> None:
        """Tell those that were told of a failure, or will be: not before that."""
        now = self._clock.now_ms()
        for notifier in self._notifiers():
            if notifier.name in told and RECOVERED in notifier.events:
                due = told[notifier.name] or now + DELAY_MS
                name = "" if job.name == job.id else job.name
                self._put(notifier, Notice(notifier.name, RECOVERED, job.jobstore, job.id, "", 1, now, now, due, name))

    def _put(self, notifier: Notifier, notice: Notice) -> None:
        now = self._clock.monotonic()
        recent = self._recent.setdefault(notifier.name, OrderedDict())
        while recent and next(iter(recent.values())) <= now:
            recent.popitem(last=False)
        if notice.id not in recent and len(recent) >= MOST_GROUPS:
            notice = replace(notice, job_id="", what="", job_name="", text="", instant=None, run_id="", output="")
        elif notice.id not in recent:
            recent[notice.id] = now + notifier.every_ms / 1000
        self._add(notice)

    def _add(self, notice: Notice) -> None:
        known = self._waiting.get(notice.id)
        self._waiting[notice.id] = notice if known is None else known.with_later(notice)


def _is_told(notifier: Notifier, occurrence: Occurrence) -> bool:
    if occurrence.job is None:  # the notifiers of single jobs are told of these alone
        return notifier.all_jobs and not (occurrence.kind == NOTIFIER_FAILED and occurrence.what == notifier.name)
    return notifier.is_for(occurrence.job)
