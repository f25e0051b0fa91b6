"""Runs that wait for a worker, when some of them are in groups: the groups take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from itertools import chain

from gsched.jobs.run import Run


class RunsInTurn:
    """A queue of runs that serves groups in turn, and the runs of one group in order. Runs without a group are one
    group. So a group with thousands of waiting runs delays a run of another group by one run, not by all of them.

    It has what executors use of a deque.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._by_group: OrderedDict[str | None, deque[Run]] = OrderedDict()  # the group whose turn it is comes first
        self._count = 0
        for run in runs:
            self.append(run)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Run]:
        return chain.from_iterable(self._by_group.values())

    def __getitem__(self, index: int) -> Run:
        """The next run. Only index 0 is there."""
        assert index == 0
        return next(iter(self._by_group.values()))[0]

    def append(self, run: Run) -> None:
        self._by_group.setdefault(run.job.policy.group, deque()).append(run)
        self._count += 1

    def popleft(self) -> Run:
        group, runs = next(iter(self._by_group.items()))
        run = runs.popleft()
        self._by_group.move_to_end(group)
        self._drop_if_empty(group)
        self._count -= 1
        return run

    def remove(self, run: Run) -> None:
        group = run.job.policy.group
        self._by_group[group].remove(run)
        self._drop_if_empty(group)
        self._count -= 1

    def clear(self) -> None:
        self._by_group.clear()
        self._count = 0

    def _drop_if_empty(self, group: str | None) -> None:
        if not self._by_group[group]:
            del self._by_group[group]
