"""The ledger: checks that every due instant ended in exactly one outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gsched.events import EVENT_ALL, JobExecutionEvent, JobSubmissionEvent
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Span
from gsched.schedulers.gevent import GeventScheduler
from gsched.times.instants import from_ms


class Ledger:
    """Records the outcome of each instant, from a scheduler's events, and compares it with the triggers' arithmetic."""

    def __init__(self, scheduler: GeventScheduler) -> None:
        self._runs: list[tuple[str, int, str]] = []  # job id, instant, outcome
        self._spans: list[tuple[str, Span]] = []
        scheduler.add_listener(self._record, EVENT_ALL)

    def _record(self, event: object) -> None:
        if isinstance(event, JobExecutionEvent) and event.result is not None and event.run.request is None:
            self._runs.append((event.job_id, event.run.scheduled_ms, str(event.result.outcome)))
        elif isinstance(event, JobSubmissionEvent) and event.name != "run.submitted" and event.request is None:
            self._spans.append((event.job_id, event.span))

    def problems(self, job: Job, first: int, until: int) -> list[str]:
        """The problems with the instants of `job` from `first` (which is due) to `until`, both in ms, inclusive."""
        recorded = [(instant, outcome) for job_id, instant, outcome in self._runs if job_id == job.id]
        for job_id, span in self._spans:
            if job_id == job.id:
                recorded += [(instant, str(span.outcome)) for instant in job.instants(span.first, span.end - 1)]
        return [f"{job.id}: {problem}" for problem in mismatches(job.instants(first, until), recorded)]

    def outcomes(self, job_id: str) -> Counter[str]:
        """How many runs, and spans of instants without a run, ended in each outcome."""
        counts = Counter(outcome for known, _, outcome in self._runs if known == job_id)
        return counts + Counter(str(span.outcome) for known, span in self._spans if known == job_id)


def mismatches(predicted: Iterable[int], recorded: Iterable[tuple[int, str]]) -> list[str]:
    """The differences between predicted instants (ms) and recorded (instant, outcome) pairs."""
    expected = set(predicted)
    seen: dict[int, list[str]] = {}
    for instant, outcome in recorded:
        seen.setdefault(instant, []).append(outcome)
    problems = [f"{_show(instant)} has no outcome" for instant in sorted(expected - seen.keys())]
    problems += [f"{_show(instant)} was never due, but {seen[instant]}" for instant in sorted(seen.keys() - expected)]
    problems += [
        f"{_show(instant)} has {len(outcomes)} outcomes: {outcomes}"
        for instant, outcomes in sorted(seen.items())
        if len(outcomes) > 1 and instant in expected
    ]
    return problems


def _show(instant: int) -> str:
    return from_ms(instant).isoformat(timespec="milliseconds")
