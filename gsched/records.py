"""Records: what became of due instants, in the small form in which stores keep it until somebody reads it.

Making one costs the hub a few microseconds. It holds neither the job nor the frames of an error, hence none of the
user's objects.
"""

from __future__ import annotations

import traceback
from array import array
from collections.abc import Iterator
from types import CodeType
from typing import Final

from gsched.errors import ConfigurationError, message_of
from gsched.history import RUNNING, JobFigures, RunInfo, RunQuery
from gsched.instants import from_ms
from gsched.job import Job
from gsched.planning import Span
from gsched.recent import KEPT, LAST, packed, read_packed
from gsched.run import Outcome, Result, Run, run_id

LONG_RUN_MS: Final = 3000
_NOTHING: Final = array("Q", [0])  # times a number it takes as much memory as it needs; made of bytes it takes more
_COALESCED: Final = Outcome.COALESCED  # where too much is due, looked at for every run
_LONGEST_TRACEBACK: Final = 8000
_MOST_FRAMES: Final = 50
_MOST_LINKS: Final = 10  # errors that caused each other


class Keeping:
    """Which of what became of due instants the history keeps: the rule of every store.

    - What did not succeed is always kept: failed, timed out, cancelled, missed, skipped, lost.
    - Successes, and instants coalesced into a later one's run, are kept as the option `history_successes` says: "none",
      "all", or a number n for every n-th of them.
    - A success is kept all the same if somebody asked for the run, if it took three seconds or more, or if it was not
      the first attempt.

    :raises ConfigurationError: for any other value of the option
    """

    def __init__(self, successes: str | int) -> None:
        if successes not in ("none", "all") and (
            isinstance(successes, bool) or not isinstance(successes, int) or successes < 1
        ):
            raise ConfigurationError(f"history_successes: expected 'none', 'all' or a whole number, got {successes!r}")
        self.successes = successes
        self.every = int(successes == "all") if isinstance(successes, str) else successes
        self._seen = 0

    def keeps(self, run: Run, result: Result) -> bool:
        """Whether to keep what became of a run."""
        if result.outcome is not Outcome.SUCCEEDED or run.request is not None or run.attempt > 1 or run.recorded:
            return True
        duration = run.duration
        return (duration is not None and duration * 1000 >= LONG_RUN_MS) or self._is_nth()

    def keeps_span(self, span: Span) -> bool:
        """Whether to keep what became of instants that ended without a run."""
        return span.outcome is not _COALESCED or self._is_nth()

    def _is_nth(self) -> bool:
        self._seen += 1
        return self.every > 0 and self._seen % self.every == 0


class Record:
    """What became of a run or a span; see RunInfo for the fields. Times are milliseconds since the epoch."""

    __slots__ = (
        "attempt",
        "error_message",
        "error_type",
        "finished_ms",
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
        self.job_id, self.job_name, self.tags = job.id, job.name, job.tags
        self.scheduled_ms = scheduled
        self.outcome, self.reason = outcome, reason
        self.attempt, self.node = attempt, node
        self.until_ms: int | None = None
        self.started_ms: int | None = None
        self.finished_ms: int | None = None
        self.request: str | None = None
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.trace: Trace | None = None

    @classmethod
    def of_run(cls, run: Run, result: Result | None, node: str | None = None) -> Record:
        """What became of a run; None: it has not ended."""
        outcome = RUNNING if result is None else str(result.outcome)
        made = cls(run.job, run.scheduled_ms, outcome, None if result is None else result.reason, run.attempt, node)
        made.started_ms, made.finished_ms = run.started_ms, run.finished_ms
        made.request = run.request
        if result is not None and result.error is not None:
            made.error_type, made.error_message = type(result.error).__name__, message_of(result.error)
            made.trace = Trace(result.error)
        return made

    @classmethod
    def of_span(cls, job: Job, span: Span, node: str | None = None) -> Record:
        """What became of instants that ended without a run. One that was lost had been claimed: attempt 1.

        Several that were lost have a record of their own: that of an attempt may say how the first of them has ended.
        """
        attempt = 1 if span.outcome is Outcome.LOST and span.end == span.first + 1 else 0
        made = cls(job, span.first, str(span.outcome), span.reason, attempt, node)
        made.until_ms, made.request = span.end, span.request
        return made

    @property
    def run_id(self) -> str:
        return run_id(self.job_id, self.scheduled_ms, self.request)

    @property
    def last_ms(self) -> int:
        """The last millisecond that it is about."""
        return self.scheduled_ms if self.until_ms is None else self.until_ms - 1

    def matches(self, query: RunQuery) -> bool:
        """Whether it belongs to the list."""
        return (
            query.job_id in (None, self.job_id)
            and query.outcome in (None, self.outcome)
            and query.run_id in (None, self.run_id)
            and (query.since is None or self.last_ms >= query.since)
            and (query.until is None or self.scheduled_ms < query.until)
            and (query.tag is None or query.tag in self.tags)
        )

    def info(self) -> RunInfo:
        """As users see it."""
        return RunInfo(
            job_id=self.job_id,
            job_name=self.job_name,
            run_id=self.run_id,
            tags=self.tags,
            outcome=self.outcome,
            reason=self.reason,
            scheduled_at=from_ms(self.scheduled_ms),
            until=None if self.until_ms is None else from_ms(self.until_ms),
            started_at=None if self.started_ms is None else from_ms(self.started_ms),
            finished_at=None if self.finished_ms is None else from_ms(self.finished_ms),
            attempt=self.attempt,
            node=self.node,
            request=self.request,
            error_type=self.error_type,
            error_message=self.error_message,
            traceback=None if self.trace is None else self.trace.text(),
        )


class Trace:
    """An error's traceback without its frames, which would keep the job's variables alive; made into text when read."""

    __slots__ = ("_parts",)

    def __init__(self, error: BaseException) -> None:
        self._parts = tuple(_parts(error))

    def text(self) -> str:
        """As Python prints it; of one that is too long, the end."""
        said: list[str] = []
        for introduction, frames, last_line in self._parts:
            said.append(introduction)
            if frames:
                said.append("Traceback (most recent call last):\n")
                summaries = [traceback.FrameSummary(code.co_filename, line, code.co_name) for code, line in frames]
                said += traceback.StackSummary.from_list(summaries).format()
            said.append(last_line)
        return "".join(said)[-_LONGEST_TRACEBACK:].encode(errors="replace").decode()


_Part = tuple[str, tuple[tuple[CodeType, int], ...], str]


def _parts(error: BaseException) -> Iterator[_Part]:
    """For each of the errors that led to this one, in the order in which Python prints them: introduction, frames, and
    the lines that name it."""
    links: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    following = ""
    while id(error) not in seen and len(links) < _MOST_LINKS:
        links.append((error, following))
        seen.add(id(error))
        if error.__cause__ is not None:
            error, following = error.__cause__, "The above exception was the direct cause of the following exception:"
        elif error.__context__ is not None and not error.__suppress_context__:
            error = error.__context__
            following = "During handling of the above exception, another exception occurred:"
    introduction = ""
    for each, following in reversed(links):
        yield introduction, _frames(each), _last_lines(each)
        introduction = f"\n{following}\n\n"


def _frames(error: BaseException) -> tuple[tuple[CodeType, int], ...]:
    """Where the error passed, the outermost first."""
    frames: list[tuple[CodeType, int]] = []
    at = error.__traceback__
    while at is not None:
        frames.append((at.tb_frame.f_code, at.tb_lineno or at.tb_frame.f_code.co_firstlineno))
        at = at.tb_next
    return tuple(frames[-_MOST_FRAMES:])


def _last_lines(error: BaseException) -> str:
    kind = type(error)
    home = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    name = home + kind.__qualname__
    message = message_of(error)
    lines = [f"{name}: {message}" if message else name, *map(str, getattr(error, "__notes__", ()))]
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  | {type(each).__qualname__}: {message_of(each)}" for each in error.exceptions[:_MOST_LINKS]]
    return "\n".join(lines) + "\n"


class Tally:
    """One job's figures as they are counted.

    Stores count most successes themselves, without a call: one more in `noted`, the times, and the entry in `recent`.

    :param recent: whether to keep the job's last outcomes
    :ivar noted: how many outcomes there were, of runs and of instants without one
    :ivar recent: the last of them, as `gsched.recent.packed` makes them: the n-th of all, from 0 on, at n & LAST
    """

    __slots__ = ("_unlike_runs", "error", "failures", "finished_ms", "noted", "recent", "started_ms")

    def __init__(self, recent: bool) -> None:
        self.noted = self.failures = 0
        self.started_ms: int | None = None  # of the last run
        self.finished_ms: int | None = None
        self.error: str | None = None
        self.recent: array[int] | None = _NOTHING * KEPT if recent else None
        self._unlike_runs = 0  # by how many the runs are more than what is noted

    @property
    def runs(self) -> int:
        """How many runs were started and have ended."""
        return self.noted + self._unlike_runs

    def count(self, run: Run, result: Result) -> None:
        """A run that was started has ended."""
        self.started_ms = run.started_ms
        self.finished_ms = run.finished_ms
        if result.outcome is not Outcome.SUCCEEDED:
            self.failures += 1
            self.error = _said(result)
        if run.request is None:
            late, took = run.lateness or 0.0, run.duration or 0.0
            self._note(packed(run.scheduled_ms, round(late * 1000), round(took * 1000), result.outcome))
        else:  # it is on record, and was not due
            self._unlike_runs += 1

    def count_span(self, span: Span) -> None:
        """Due instants have ended without a run; the first of them stands for all. Coalesced ones are left out: if too
        much is due, they would drive out everything else."""
        if span.request is None and span.outcome is not _COALESCED:
            self._note(packed(span.first, 0, 0, span.outcome))
            self._unlike_runs -= 1

    def _note(self, number: int) -> None:
        if self.recent is not None:
            self.recent[self.noted & LAST] = number
        self.noted += 1

    def last_outcomes(self) -> list[int]:
        """The last outcomes as `gsched.recent.packed` makes them, the oldest first."""
        if self.recent is None:
            return []
        return [self.recent[number & LAST] for number in range(max(0, self.noted - KEPT), self.noted)]

    def add_earlier(self, earlier: Tally) -> None:
        """Count in what was counted before this."""
        runs, outcomes = self.runs + earlier.runs, [*earlier.last_outcomes(), *self.last_outcomes()]
        self.noted = 0
        for number in outcomes:
            self._note(number)
        self._unlike_runs = runs - self.noted
        self.failures += earlier.failures
        if self.started_ms is None:
            self.started_ms, self.finished_ms = earlier.started_ms, earlier.finished_ms
        self.error = self.error or earlier.error

    @property
    def duration(self) -> float | None:
        """Seconds that the last run took."""
        if self.started_ms is None or self.finished_ms is None:
            return None
        return (self.finished_ms - self.started_ms) / 1000

    def figures(self) -> JobFigures:
        """As users see them."""
        last_run = None if self.started_ms is None else from_ms(self.started_ms)
        recent = read_packed(self.last_outcomes())
        return JobFigures(self.runs, self.failures, last_run, self.duration, self.error, recent)


def _said(result: Result) -> str:
    """What a run that did not succeed left behind, in a line."""
    error = result.error
    if error is None:
        return f"{result.outcome}: {result.reason}" if result.reason else str(result.outcome)
    return f"{result.outcome}: {type(error).__name__}: {message_of(error)[:500]}"
