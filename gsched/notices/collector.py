"""Collects notices in memory until the desk writes them to the outbox."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from gsched.jobs.job import Job
from gsched.notices.notice import NOTIFIER_FAILED, OUTPUT, RECOVERED, REPEATED, Notice
from gsched.notices.notifier import Notifier
from gsched.notices.occurrences import Occurrence
from gsched.notices.outbox import DELAY_MS, OUTPUT_DELAY_MS, OpenFailure
from gsched.times.clock import Clock

MOST_GROUPS: Final = 200  # different notices of a notifier in one of its periods; all further ones become one notice

JobKey = tuple[str, str]  # the alias of the store, and the id


class Collector:
    """Turns occurrences into notices, and counts equal ones.

    The number of notices for one notifier has a bound, however many jobs fail.

    :param notifiers: gives the current notifiers
    """

    def __init__(self, notifiers: Callable[[], Iterable[Notifier]], clock: Clock) -> None:
        self._notifiers = notifiers
        self._clock = clock
        self._waiting: dict[str, Notice] = {}
        self._recent: dict[str, OrderedDict[str, float]] = {}  # by notifier: when (monotonic) a notice's period ends
        self._failing: set[JobKey] = set()
        self._recovered: dict[JobKey, Job] = {}

    @property
    def has_failing_jobs(self) -> bool:
        """True if the next success of some job is to be reported."""
        return bool(self._failing)

    @property
    def is_empty(self) -> bool:
        """True if nothing waits to be written."""
        return not self._waiting and not self._recovered

    def note(self, occurrence: Occurrence) -> None:
        """Make a notice of the occurrence for each notifier that reports it."""
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
                now + (OUTPUT_DELAY_MS if occurrence.kind == OUTPUT else DELAY_MS),
                "" if job is None else _name_of(job),
                occurrence.text,
                occurrence.instant,
                occurrence.run_id,
            )
            self._put(notifier, notice)
            if job is not None and occurrence.kind in REPEATED:
                self._failing.add((job.jobstore, job.id))
                self._recovered.pop((job.jobstore, job.id), None)

    def note_success(self, job: Job) -> None:
        """Record that a run of the job has succeeded. If the job was failing, its recovery is reported."""
        key = job.jobstore, job.id
        if key in self._failing:
            self._recovered.setdefault(key, job)

    def know(self, failures: Iterable[OpenFailure]) -> None:
        """Take over which jobs fail: these from the outbox, and those whose notices are not written yet."""
        unwritten = {(each.jobstore, each.job_id) for each in self._waiting.values() if each.kind in REPEATED}
        self._failing = unwritten | {(failure.jobstore, failure.job_id) for failure in failures}

    def take(self) -> list[Notice]:
        """Remove the notices that wait to be written, and give them."""
        notices, self._waiting = list(self._waiting.values()), {}
        return notices

    def take_recovered(self) -> dict[JobKey, Job]:
        """Remove the jobs that have succeeded after failures, and give them."""
        recovered, self._recovered = self._recovered, {}
        self._failing -= recovered.keys()
        return recovered

    def recoveries(self, recovered: Mapping[JobKey, Job], failures: Iterable[OpenFailure]) -> list[Notice]:
        """The notices of these jobs' recovery, for the notifiers with an open failure of them.

        A recovery is due no earlier than the notice of the failure.
        """
        now = self._clock.now_ms()
        due: dict[tuple[str, JobKey], int] = {}
        for failure in failures:
            key = failure.notifier, (failure.jobstore, failure.job_id)
            due[key] = max(due.get(key, now + DELAY_MS), failure.due_at or 0)
        return [
            Notice(notifier.name, RECOVERED, *key, "", 1, now, now, due[notifier.name, key], _name_of(job))
            for notifier in self._notifiers()
            if RECOVERED in notifier.events
            for key, job in recovered.items()
            if (notifier.name, key) in due
        ]

    def give_back(self, notices: Iterable[Notice], recovered: Mapping[JobKey, Job]) -> None:
        """Put back notices and recovered jobs that could not be written."""
        for notice in notices:
            self._add(notice)
        for key, job in recovered.items():
            self._failing.add(key)
            self._recovered.setdefault(key, job)

    def _put(self, notifier: Notifier, notice: Notice) -> None:
        now = self._clock.monotonic()
        recent = self._recent.setdefault(notifier.name, OrderedDict())
        while recent and next(iter(recent.values())) <= now:
            recent.popitem(last=False)
        if notice.id not in recent and len(recent) >= MOST_GROUPS:
            notice = replace(notice, job_id="", what="", job_name="", text="", instant=None, run_id="")
        elif notice.id not in recent:
            recent[notice.id] = now + notifier.every_ms / 1000
        self._add(notice)

    def _add(self, notice: Notice) -> None:
        known = self._waiting.get(notice.id)
        self._waiting[notice.id] = notice if known is None else known.with_later(notice)


def _name_of(job: Job) -> str:
    return "" if job.name == job.id else job.name


def _is_told(notifier: Notifier, occurrence: Occurrence) -> bool:
    if occurrence.job is None:  # only notifiers for all jobs report it, and none reports its own failure
        return notifier.all_jobs and not (occurrence.kind == NOTIFIER_FAILED and occurrence.what == notifier.name)
    return notifier.is_for(occurrence.job)
