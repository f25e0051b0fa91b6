"""Which instants of a job may have been in progress when its node died: those claimed and not known to have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome
from gsched.stores.mongodb.cluster import JobRecord, SlotRecord


def uncertain_spans(record: JobRecord, slot: SlotRecord) -> list[Span]:
    """The instants of an admitted job that were claimed but are not known to have ended."""
    spans, covered = [], slot.acked
    stored = record.job.next_run_ms
    if stored is not None and record.is_late:
        spans.append(Span(Outcome.LOST, stored, record.late_until + 1))
        covered = max(covered, record.late_until)
    first = record.first_after(covered)
    if first is not None and first <= slot.watermark:
        spans.append(Span(Outcome.LOST, first, slot.watermark + 1))
    return spans


def parts_without(job: Job, span: Span, instants: Iterable[int]) -> Iterator[Span]:
    """The parts of a span between these instants."""
    first: int | None = span.first
    for instant in sorted(instants):
        if first is not None and first <= instant < span.end:
            if first < instant:
                yield span._replace(first=first, end=instant)
            first = job.next_ms(instant)
    if first is not None and first < span.end:
        yield span._replace(first=first)
