"""The outbox of the memory store, and of notices that a store cannot keep: that the store does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gsched.notices.notice import REPEATED, Notice
from gsched.notices.outbox import KEPT_MS, ChannelState, Due, OpenFailure

_MOST: Final = 10_000


@dataclass
class _Kept:
    """A notice.

    :ivar due_at: None if all occurrences were sent
    :ivar next_at: the notice is not due again before this time
    """

    notice: Notice
    due_at: int | None
    next_at: int = 0
    is_open: bool = True


class MemoryOutbox:
    """Keeps notices in a dict: see `Outbox`. If there are more than 10,000, the oldest are dropped."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._states: dict[str, ChannelState] = {}

    def add(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            known = self._kept.get(notice.id)
            if known is None:
                self._kept[notice.id] = _Kept(notice, notice.due_at)
                continue
            together = known.notice.with_later(notice) if known.notice.count else notice
            known.notice = replace(together, told=known.notice.told)
            known.is_open = True
            if known.due_at is None:
                known.due_at = max(known.next_at, notice.due_at)
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    def due(self, notifier: str, now: int, most: int) -> Due:
        ready = [
            replace(each.notice, due_at=each.due_at)
            for each in self._kept.values()
            if each.due_at is not None and each.due_at <= now and each.notice.notifier == notifier
        ]
        return Due(sorted(ready, key=lambda notice: notice.due_at)[:most])

    def told(self, notices: Sequence[Notice], next_at: int) -> None:
        for notice in notices:
            known = self._kept.get(notice.id)
            if known is None:
                continue
            left = max(known.notice.count - notice.count, 0)
            if not left and notice.kind not in REPEATED:
                del self._kept[notice.id]
                continue
            known.notice = replace(
                known.notice, count=left, told=known.notice.told + notice.count, first_at=known.notice.last_at
            )
            known.next_at, known.due_at = next_at, next_at if left else None

    def open_failures(self, most: int) -> Sequence[OpenFailure]:
        found = [
            OpenFailure(each.notice.notifier, each.notice.jobstore, each.notice.job_id, each.due_at)
            for each in self._kept.values()
            if each.is_open and each.notice.kind in REPEATED and each.notice.job_id
        ]
        return found[:most]

    def close(self, jobs: Sequence[tuple[str, str]]) -> None:
        wanted = set(jobs)
        for each in self._kept.values():
            if each.notice.kind in REPEATED and (each.notice.jobstore, each.notice.job_id) in wanted:
                each.is_open = False

    def states(self) -> Sequence[ChannelState]:
        return list(self._states.values())

    def swap_state(self, state: ChannelState) -> bool:
        known = self._states.get(state.notifier)
        if (0 if known is None else known.rev) != state.rev - 1:
            return False
        self._states[state.notifier] = state
        return True

    def expire(self, now: int) -> None:
        self._kept = {key: each for key, each in self._kept.items() if not _is_over(each, now)}


def _is_over(kept: _Kept, now: int) -> bool:
    if kept.notice.last_at < now - KEPT_MS:
        return True
    return not kept.is_open and kept.due_at is None and kept.next_at <= now
