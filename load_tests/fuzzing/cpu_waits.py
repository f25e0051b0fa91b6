"""For how long processes could have run while others had the CPU: of a busy machine, that time is nobody's fault."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

import gevent

EVERY = 0.5  # seconds between two samples
NANOSECONDS = 1e9


class CpuWaits:
    """Samples for how long the threads of processes have waited for a CPU, as Linux counts it.

    :param groups: the ids of the processes by now, in groups that wait for each other: nodes, and their database
    """

    def __init__(self, groups: Callable[[], Iterable[Iterable[int]]]) -> None:
        self._groups = groups
        self._samples: list[tuple[float, list[dict[str, int]]]] = []
        self._sampling = gevent.spawn(self._sample)

    def _sample(self) -> None:
        while True:
            self._samples.append((time.time(), [_waits(group) for group in self._groups()]))
            gevent.sleep(EVERY)

    def between(self, since: float, until: float) -> float:
        """Seconds: the sum over the groups of the longest wait of a thread."""
        before = [each for when, each in self._samples if when <= since][-1:] or [[]]
        after = [each for when, each in self._samples if when >= until][:1] or [self._samples[-1][1]]
        earlier = {thread: waited for group in before[0] for thread, waited in group.items()}
        longest = (
            max((waited - earlier.get(thread, 0) for thread, waited in each.items()), default=0) for each in after[0]
        )
        return sum(longest) / NANOSECONDS

    def close(self) -> None:
        self._sampling.kill()


def _waits(processes: Iterable[int]) -> dict[str, int]:
    """Nanoseconds, by thread; nothing of those that have ended."""
    waits = {}
    for process in processes:
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/schedstat") as file:
                    waits[f"{process}/{thread}"] = int(file.read().split()[1])
        except OSError:
            continue
    return waits
