"""Since when a job fails: counted in memory, and in batches that a database adds up."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, strategies as st

from gsched.history.records import LiveCounters
from gsched.jobs.outcomes import SUCCEEDED_WITH_NONE, Outcome, Result, Span
from gsched.jobs.run import Run

ENDS = (
    *("succeeded", "briefly", "failed", "timed_out", "cancelled", "retried", "skipped", "requested"),
    "requested_fails",
)


def count(counters: LiveCounters, end: str, at: int) -> None:
    """Count what became of an instant (ms), as stores do."""
    if end == "briefly":  # as stores count most successes
        counters.noted += 1
    elif end == "skipped":
        counters.count_span(Span(Outcome.SKIPPED, at, at + 1))
    else:
        run = Run(SimpleNamespace(id="job"), at, owner=None, request="r" if end.startswith("requested") else None)
        run.started_ms, run.finished_ms = at, at + 1
        failed = "failed" if end == "requested_fails" else end
        counters.count(run, SUCCEEDED_WITH_NONE if end in ("succeeded", "requested") else Result(Outcome(failed)))


def failing_since(ends: list[str]) -> int | None:
    """By the rule: the first failure after the last success; requests only end a row of failures."""
    since = None
    for at, end in enumerate(ends):
        if end in ("succeeded", "briefly", "requested"):
            since = None
        elif end in ("failed", "timed_out") and since is None:
            since = at
    return since


def added(stored: int | None, batch: LiveCounters) -> int | None:
    """What a database keeps after a batch: see `SqlRecords.count` and `MongoRecords.count`."""
    if batch.failing_ms is not None:
        return batch.failing_ms if batch.has_succeeded or stored is None else stored
    return None if batch.has_succeeded else stored


@given(st.lists(st.sampled_from([end for end in ENDS if end != "requested_fails"]), max_size=40))
def test_a_job_fails_since_the_first_failure_after_its_last_success(ends):
    counters = LiveCounters(recent=True)
    for at, end in enumerate(ends):
        count(counters, end, at)
    assert counters.failing_ms == failing_since(ends)


@given(st.lists(st.lists(st.sampled_from(ENDS), max_size=6), max_size=8), st.sets(st.integers(0, 7)), st.booleans())
def test_batches_add_up_to_the_same_however_they_are_cut_and_put_together(batches, kept_back, recent):
    stored, at, waiting = None, 0, None
    for number, ends in enumerate(batches):
        counters = LiveCounters(recent)
        for end in ends:
            count(counters, end, at)
            at += 1
        if waiting is not None:
            counters.add_earlier(waiting)
        waiting = counters if number in kept_back else None  # the database did not take it: it comes with the next
        if waiting is None:
            stored = added(stored, counters)
    if waiting is not None:
        stored = added(stored, waiting)
    assert stored == failing_since([end for ends in batches for end in ends])


def test_a_request_that_fails_does_not_begin_a_row_of_failures():
    counters = LiveCounters(recent=True)
    count(counters, "requested_fails", 5)
    assert counters.failing_ms is None
    count(counters, "failed", 6)
    count(counters, "requested_fails", 7)
    assert counters.failing_ms == 6
