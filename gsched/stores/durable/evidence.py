"""What the claims tell about an instant of a job, for `explain`."""

from __future__ import annotations

from typing import Final, NamedTuple

from gsched.history.explanation import NEVER_BEFORE, Evidence
from gsched.stores.messages import ALWAYS
from gsched.times.instants import from_ms

NODES_KEPT_MS: Final = 86_400_000  # dead nodes are known for so long
_WRITTEN_MS: Final = 5000  # what ended longer ago has been written, unless the database was away


class JobTimes(NamedTuple):
    """What a database keeps of when a job is due, as of `JobRecord`. Times are ms since the epoch."""

    admitted: bool
    next_run: int | None
    begins: int | None
    late_until: int | None


class Owner(NamedTuple):
    """The node that owns a slot and has attached it.

    :ivar watermark: it has claimed all instants up to this time (ms)
    :ivar acked: all claimed instants up to this time (ms) have ended
    """

    node: str
    watermark: int
    acked: int


class SlotClaims(NamedTuple):
    """A slot: until when it was claimed, and until when that has ended, when its last owner gave it up. In ms.

    :ivar open_from: instants from this time on were in progress, or late, when the owner came; None if they have ended
    """

    watermark: int
    acked: int
    open_from: int | None = None
    owner: Owner | None = None


def claim_evidence(known: Evidence, job: JobTimes, slot: SlotClaims | None, instant: int, now: int) -> Evidence:
    """`known`, with how far the job's instants are decided and have ended.

    :param slot: the job's slot; None if the store has none yet
    :param instant: the instant that is to be explained (ms)
    """
    if not job.admitted or slot is None:
        obstacle = "no scheduler has run the jobs of this store yet" if slot is None else "no node has taken it up yet"
        begins, first = (NEVER_BEFORE, ALWAYS) if job.next_run is None else (job.next_run, job.next_run)
        return known._replace(begins=begins, decided=first, ended=first, obstacle=obstacle)
    owner = slot.owner or Owner("", slot.watermark, slot.acked)
    acked = owner.acked
    if slot.owner is not None and slot.open_from is not None and instant <= slot.watermark:
        acked = min(acked, slot.open_from)
    begins, ended = NEVER_BEFORE if job.begins is None else job.begins, min(acked + 1, now - _WRITTEN_MS)
    if job.late_until is not None and job.next_run is not None:  # what was late at the admission may be in progress
        begins = job.next_run
        if job.next_run <= instant <= job.late_until:
            ended = min(ended, job.next_run)
    who = "no node owns it at the moment; it is" if slot.owner is None else f"node {owner.node} has it"
    return known._replace(
        begins=begins,
        steady=NEVER_BEFORE if job.next_run is None else job.next_run,
        decided=owner.watermark + 1,
        ended=ended,
        node=owner.node if slot.owner is not None and instant > slot.watermark else None,  # others claimed before
        obstacle=f"{who} claimed up to {from_ms(owner.watermark).isoformat(' ', 'seconds')}",
    )
