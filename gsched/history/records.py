"""Records: the outcomes of due instants, in the small form in which stores keep them until they are read.

Making one costs the hub a few microseconds. It holds neither the job nor the frames of an error, hence none of the
user's objects.
"""

from __future__ import annotations

from array import array
from typing import Final

from gsched.errors import message_of
from gsched.history.queries import RUNNING, JobCounters, RunInfo, RunQuery
from gsched.history.recent import KEPT, LAST, packed, read_packed
from gsched.history.traces import Trace
from gsched.jobs.command_end import CommandEnd
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Result, Span
from gsched.jobs.run import Run, run_id
from gsched.times.instants import from_ms

_NOTHING: Final = array("Q", [0])  # multiplied, it takes as much memory as it needs; an array made of bytes takes more
_COALESCED: Final = Outcome.COALESCED  # used for every run if too much is due
_FAILURES: Final = (Outcome.FAILED, Outcome.TIMED_OUT)


class Record:
    """The outcome of a run or a span; see RunInfo for the fields. Times are milliseconds since the epoch."""

    __slots__ = (
        "attempt",
        "command",
        "due_ms",
        "error_message",
        "error_type",
        "finished_ms",
        "group",
        "job_id",
        "job_name",
        "node",
        "outcome",
        "reason",
        "request",
        "scheduled_ms",
        "started_ms",
        "tags",
        "trace",
        "until_ms",
    )  # fmt: skip

    def __init__(
        self, job: Job, scheduled: int, outcome: str, reason: str | None, attempt: int, node: str | None
    ) -> None:
        self.job_id, self.job_name, self.tags, self.group = job.id, job.name, job.tags, job.policy.group
        self.scheduled_ms = self.due_ms = scheduled
        self.outcome, self.reason = outcome, reason
        self.attempt, self.node = attempt, node
        self.until_ms: int | None = None
        self.started_ms: int | None = None
        self.finished_ms: int | None = None
        self.request: str | None = None
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.trace: Trace | None = None
        self.command: CommandEnd | None = None

    @classmethod
    def of_run(cls, run: Run, result: Result | None, node: str | None = None) -> Record:
        """The record of a run. Without a result it is in progress."""
        outcome = RUNNING if result is None else str(result.outcome)
        made = cls(run.job, run.scheduled_ms, outcome, None if result is None else result.reason, run.attempt, node)
        made.started_ms, made.finished_ms = run.started_ms, run.finished_ms
        made.request, made.command = run.request, run.command
        if run.due_ms is not None:
            made.due_ms = run.due_ms
        if result is not None and result.error is not None:
            made.error_type, made.error_message = type(result.error).__name__, message_of(result.error)
            made.trace = Trace(result.error)
        return made

    @classmethod
    def of_span(cls, job: Job, span: Span, node: str | None = None) -> Record:
        """The record of instants that ended without a run. A single lost instant is an attempt at its run.

        Several lost instants get a record of their own, because a record of the first one's attempt may exist already.
        """
        attempt = span.attempt if span.outcome is Outcome.LOST and span.end == span.first + 1 else 0
        made = cls(job, span.first, str(span.outcome), span.reason, attempt, node)
        made.until_ms, made.request = span.end, span.request
        return made

    @property
    def run_id(self) -> str:
        return run_id(self.job_id, self.scheduled_ms, self.request)

    @property
    def last_ms(self) -> int:
        """The last millisecond of its instants."""
        return self.scheduled_ms if self.until_ms is None else self.until_ms - 1

    def matches(self, query: RunQuery) -> bool:
        """True if it belongs to the list."""
        return (
            query.job_id in (None, self.job_id)
            and query.outcome in (None, self.outcome)
            and (query.run_id is None or query.run_id == self.run_id)  # making the id of each takes long
            and (query.since is None or self.last_ms >= query.since)
            and (query.until is None or self.scheduled_ms < query.until)
            and (query.tag is None or query.tag in self.tags)
            and query.node in (None, self.node)
        )

    def info(self) -> RunInfo:
        """The record for users."""
        return RunInfo(
            job_id=self.job_id,
            job_name=self.job_name,
            run_id=self.run_id,
            tags=self.tags,
            outcome=self.outcome,
            reason=self.reason,
            scheduled_at=from_ms(self.scheduled_ms),
            due_at=from_ms(self.due_ms),
            until=None if self.until_ms is None else from_ms(self.until_ms),
            started_at=None if self.started_ms is None else from_ms(self.started_ms),
            finished_at=None if self.finished_ms is None else from_ms(self.finished_ms),
            attempt=self.attempt,
            node=self.node,
            request=self.request,
            error_type=self.error_type,
            error_message=self.error_message,
            traceback=None if self.trace is None else self.trace.text(),
            command=self.command,
        )


class LiveCounters:
    """One job's counters in memory, as they grow.

    Stores count most successes themselves, without a call: one more in `noted`, the times, and the entry in `recent`.

    :param recent: keep the job's last outcomes
    :ivar noted: how many outcomes there were, of runs and of instants without a run
    :ivar recent: the last outcomes, as `gsched.history.recent.packed` makes them: the n-th of all, from 0 on, at
        n & LAST
    """

    __slots__ = ("_rare", "noted", "recent", "started_ms", "took_ms")  # a million jobs have them

    def __init__(self, recent: bool) -> None:
        self.noted = 0
        self.started_ms: int | None = None  # of the last run
        self.took_ms: int | None = None  # a small number, which takes no memory of its own; the end would
        self.recent: array[int] | None = _NOTHING * KEPT if recent else None
        self._rare: _RareCounters | None = None

    @property
    def runs(self) -> int:
        """How many attempts at runs have started and ended."""
        return self.noted + (0 if self._rare is None else self._rare.unlike_runs)

    @property
    def failures(self) -> int:
        """How many of these attempts did not succeed, without those that were retried."""
        return 0 if self._rare is None else self._rare.failures

    @property
    def error(self) -> str | None:
        """The error of the last attempt that did not succeed, in a line."""
        return None if self._rare is None else self._rare.error

    @property
    def failing_ms(self) -> int | None:
        """When the first of the failures in a row began, if the last run that counts has failed; otherwise None."""
        rare = self._rare
        # Stores note a success by one more in `noted`, and by nothing else.
        return None if rare is None or rare.failing_noted != self.noted else rare.failing_ms

    @property
    def has_succeeded(self) -> bool:
        """True if one of the runs that were counted has succeeded."""
        rare = self._rare
        return self.noted > 0 if rare is None else rare.succeeded or self.noted > rare.unsuccessful

    def _go_on_failing(self, since: int | None) -> None:
        """After something was counted that is no success: the job has been failing since then, if it has."""
        if since is not None:
            rare = self._rarely()
            rare.failing_ms, rare.failing_noted = since, self.noted

    def _rarely(self) -> _RareCounters:
        if self._rare is None:
            self._rare = _RareCounters()
        return self._rare

    def count(self, run: Run, result: Result) -> None:
        """Count an attempt at a run that started and has ended. If the attempt is retried, it is no failure, and not
        the outcome of its instant."""
        failing = self.failing_ms
        late, took = round((run.lateness or 0.0) * 1000), round((run.duration or 0.0) * 1000)
        self.started_ms, self.took_ms = run.started_ms, took
        is_retried = result.outcome is Outcome.RETRIED
        if result.outcome is not Outcome.SUCCEEDED:
            rare = self._rarely()
            rare.failures += not is_retried
            rare.error = _said(result)
        if run.request is None and not is_retried:
            self._note(packed(run.scheduled_ms, late, took, result.outcome))
            if result.outcome is not Outcome.SUCCEEDED:
                self._rarely().unsuccessful += 1
        else:  # a requested run was not due
            self._rarely().unlike_runs += 1
        if result.outcome is Outcome.SUCCEEDED:
            if self._rare is not None:
                self._rare.succeeded, self._rare.failing_ms = True, None
        elif failing is None and result.outcome in _FAILURES and run.request is None:
            self._go_on_failing(run.started_ms)
        else:
            self._go_on_failing(failing)

    def count_span(self, span: Span) -> None:
        """Count due instants that ended without a run; the first of them stands for all.

        Coalesced instants are left out: if too much is due, they would push all other outcomes out of `recent`.
        """
        if span.request is None and span.outcome is not _COALESCED:
            failing = self.failing_ms
            self._note(packed(span.first, 0, 0, span.outcome))
            self._rarely().unlike_runs -= 1
            self._rarely().unsuccessful += 1
            self._go_on_failing(failing)

    def _note(self, number: int) -> None:
        if self.recent is not None:
            self.recent[self.noted & LAST] = number
        self.noted += 1

    def last_outcomes(self) -> list[int]:
        """The last outcomes as `gsched.history.recent.packed` makes them, the oldest first."""
        if self.recent is None:
            return []
        return [self.recent[number & LAST] for number in range(max(0, self.noted - KEPT), self.noted)]

    def add_earlier(self, earlier: LiveCounters) -> None:
        """Add counts from before these."""
        runs, outcomes = self.runs + earlier.runs, [*earlier.last_outcomes(), *self.last_outcomes()]
        succeeded, failing = self.has_succeeded or earlier.has_succeeded, self.failing_ms
        if not self.has_succeeded and earlier.failing_ms is not None:
            failing = earlier.failing_ms
        self.noted = 0
        for number in outcomes:
            self._note(number)
        if runs != self.noted or earlier.failures or self._rare is not None:
            rare = self._rarely()
            rare.unlike_runs = runs - self.noted
            rare.failures += earlier.failures
            rare.error = rare.error or earlier.error
            rare.unsuccessful, rare.succeeded = self.noted, succeeded
            self._go_on_failing(failing)
        if self.started_ms is None:
            self.started_ms, self.took_ms = earlier.started_ms, earlier.took_ms

    @property
    def duration(self) -> float | None:
        """Seconds that the last run took."""
        return None if self.took_ms is None else self.took_ms / 1000

    def snapshot(self) -> JobCounters:
        """The counters for users."""
        last_run = None if self.started_ms is None else from_ms(self.started_ms)
        recent = read_packed(self.last_outcomes())
        failing = None if self.failing_ms is None else from_ms(self.failing_ms)
        return JobCounters(self.runs, self.failures, last_run, self.duration, self.error, recent, failing)


class _RareCounters:
    """Figures that few jobs have: failed runs, and a number of runs other than the number of noted outcomes.

    :ivar unlike_runs: by how many the runs exceed the noted outcomes
    :ivar unsuccessful: how many of the noted outcomes are no successes
    :ivar succeeded: a run has succeeded that is not among the noted outcomes, or not known to be
    :ivar failing_ms: when the first of the failures in a row began, as of `failing_noted`
    :ivar failing_noted: how many outcomes were noted when the job was failing last
    """

    __slots__ = ("error", "failing_ms", "failing_noted", "failures", "succeeded", "unlike_runs", "unsuccessful")

    def __init__(self) -> None:
        self.failures = self.unlike_runs = self.unsuccessful = 0
        self.error: str | None = None
        self.failing_ms: int | None = None
        self.failing_noted = -1
        self.succeeded = False


def _said(result: Result) -> str:
    """The error of a run that did not succeed, in a line."""
    error = result.error
    if error is None:
        return f"{result.outcome}: {result.reason}" if result.reason else str(result.outcome)
    return f"{result.outcome}: {type(error).__name__}: {message_of(error)[:500]}"
