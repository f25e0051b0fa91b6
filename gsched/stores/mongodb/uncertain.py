"""Which instants of a job may have been in progress when its node died: those claimed and not known to have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gsched.job import Job
from gsched.planning import Span
from gsched.run import Outcome
from gsched.stores.mongodb.cluster import JobRecord, SlotRecord


class JobInSlot(NamedTuple):
    """A job that was admitted, and its slot as its taker finds it.

    :ivar later: the schedules that followed, if it is due by a former one: they answer for the instants that they share
    """

    record: JobRecord
    slot: SlotRecord
    later: tuple[JobRecord, ...] = ()


def uncertain_spans(job: JobInSlot) -> list[Span]:
    """The instants of an admitted job that were claimed but are not known to have ended."""
    spans = _claimed_spans(job.record, job.slot)
    if not job.later:
        return spans
    return [part for span in spans for part in parts_without(job.record.job, span, _shared(job, span))]


def _shared(job: JobInSlot, span: Span) -> Iterator[int]:
    """The instants of a span that schedules which followed have, too."""
    first = min((each.begins for each in job.later if each.begins is not None), default=span.end)
    for instant in job.record.job.instants(max(first, span.first), span.end - 1):
        if any(each.is_due_at(instant) for each in job.later):
            yield instant


def _claimed_spans(record: JobRecord, slot: SlotRecord) -> list[Span]:
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
