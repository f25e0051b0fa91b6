"""The timetable: the entries of a lane in order of their due times, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Generic, Protocol, TypeVar


class Scheduled(Protocol):
    """An entry of a timetable, with the time (ms) at which it is due; None while it is in no timetable."""

    due: int | None


EntryT = TypeVar("EntryT", bound=Scheduled)


class Timetable(Generic[EntryT]):
    """Entries by due time.

    A heap of distinct times, each with the list of its entries. 10^5 jobs that recur every second share at most 1,000
    times, so an entry mostly costs an append instead of a walk through a heap of 10^5. An entry whose `due` has changed
    stays where it was and is passed over; when such entries are more than half, the table is rebuilt. An entry that is
    alone at its time has no list, which saves memory for the many that are due hours from now.
    """

    def __init__(self) -> None:
        self._times: list[int] = []
        self._entries: dict[int, EntryT | list[EntryT]] = {}
        self._current: list[EntryT] = []  # the entries of the time that is being served, last one first
        self._current_due = 0
        self._live = self._stale = 0

    def __len__(self) -> int:
        return self._live

    def add(self, entry: EntryT, due: int) -> None:
        """Put an entry that is not in the timetable at `due`."""
        entry.due = due
        self._live += 1
        bucket = self._entries.get(due)
        if bucket is None:
            self._entries[due] = entry
            heappush(self._times, due)
            if self._current and due < self._current_due:
                self._put_current_back()
        elif isinstance(bucket, list):
            bucket.append(entry)
        else:
            self._entries[due] = [bucket, entry]

    def remove(self, entry: EntryT) -> None:
        """Take an entry out; nothing happens if it is in no timetable."""
        if entry.due is None:
            return
        entry.due = None
        self._live -= 1
        self._stale += 1
        if self._stale > self._live + 1000:
            self._rebuild()

    def next_due(self) -> int | None:
        """The earliest time at which an entry may be due, or None."""
        if self._current:
            return self._current_due
        return self._times[0] if self._times else None

    def count_until(self, until: int, most: int) -> int:
        """How many entries are due up to `until`, counted up to `most`."""
        count = sum(entry.due == self._current_due for entry in self._current) if self._current_due <= until else 0
        unseen = [0]  # places in the heap: the places below a later time have later times
        while unseen and count < most:
            at = unseen.pop()
            if at < len(self._times) and (due := self._times[at]) <= until:
                bucket = self._entries[due]
                if isinstance(bucket, list):
                    count += sum(entry.due == due for entry in islice(bucket, most))
                else:
                    count += bucket.due == due
                unseen.append(2 * at + 1)
                unseen.append(2 * at + 2)
        return min(count, most)

    def pop(self, until: int) -> tuple[EntryT, int] | None:
        """Take out the first entry that is due up to `until`, with its time; None if there is none.

        Entries of one time come in the order in which they were added.
        """
        while True:
            if self._current and self._current_due > until:  # time went back meanwhile
                return None
            while self._current:
                entry = self._current.pop()
                if entry.due == self._current_due:
                    entry.due = None
                    self._live -= 1
                    return entry, self._current_due
                self._stale -= 1
            if not self._times or self._times[0] > until:
                return None
            self._current_due = heappop(self._times)
            self._current = _listed(self._entries.pop(self._current_due))
            self._current.reverse()

    def __iter__(self) -> Iterator[EntryT]:
        buckets = [(self._current_due, self._current[::-1])]
        buckets += [(due, _listed(bucket)) for due, bucket in self._entries.items()]
        # An entry that left its time and came back is in the list twice.
        return iter(dict.fromkeys(entry for due, bucket in buckets for entry in bucket if entry.due == due))

    def _put_current_back(self) -> None:
        """Serve an earlier time first, and the rest of the current time after it."""
        later = self._entries.get(self._current_due)
        if later is None:
            heappush(self._times, self._current_due)
        self._entries[self._current_due] = [*reversed(self._current), *([] if later is None else _listed(later))]
        self._current = []

    def _rebuild(self) -> None:
        kept: dict[int, list[EntryT]] = {}
        for entry in self:
            kept.setdefault(entry.due, []).append(entry)  # type: ignore[arg-type]
        self._entries = {due: bucket[0] if len(bucket) == 1 else bucket for due, bucket in kept.items()}
        self._times, self._current, self._stale = list(kept), [], 0
        heapify(self._times)


def _listed(bucket: EntryT | list[EntryT]) -> list[EntryT]:
    return bucket if isinstance(bucket, list) else [bucket]
