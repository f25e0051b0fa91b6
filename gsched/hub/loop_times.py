"""Who holds the event loop: measures for how long each greenlet runs on it, in short windows."""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Any, Final, NamedTuple

from gevent import get_hub
from greenlet import gettrace, greenlet, settrace

from gsched.executors.greenlet import GreenletWorker
from gsched.monitoring.activity import PERIOD_SECONDS
from gsched.monitoring.loop_shares import LoopShares
from gsched.times.clock import Clock, SystemClock, Timer

# Tracing makes a switch between greenlets slower, and no-op runs by an eighth. So it is on for a tenth of the time.
_WINDOW_SECONDS: Final = 0.05
_GAP_SECONDS: Final = 0.3, 0.6  # at random between these, so that no job's period keeps clear of the windows
_MOST_WINDOWS: Final = math.ceil(PERIOD_SECONDS / (_WINDOW_SECONDS + _GAP_SECONDS[0]))  # there are in a minute
_MOST_JOBS: Final = 20  # of a window are remembered
_SHOWN_JOBS: Final = 5


class _Window(NamedTuple):
    """What a window has seen, in seconds, and when it ended."""

    ended: float
    jobs: float
    gsched: float
    other: float
    by_job: dict[str, float]


class LoopTimes:
    """Estimates who holds the event loop of the thread that starts it.

    What begins within a window counts, and it counts whole, however long it takes. The loop begins a window late if it
    is held at that moment; the window ends on time nevertheless. Otherwise what holds the loop for long would be
    counted too often, because late windows begin in the middle of a rush.

    Nothing is measured while other code traces the greenlets of the thread.

    :param clock: another one is for tests; a scheduler's may be one that stands still
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._now = self._clock.monotonic
        self._windows: deque[_Window] = deque(maxlen=_MOST_WINDOWS)
        self._timer: Timer | None = None
        self._trace: Any = self._switched  # one object, so that it is known again

    def start(self, scheduler: greenlet) -> None:
        """Measure from now on.

        :param scheduler: the greenlet whose time is gsched's own
        """
        self._scheduler = scheduler
        self._hub = get_hub()
        self._next_window()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if gettrace() is self._trace:
            settrace(None)

    def _next_window(self) -> None:
        gap = random.uniform(*_GAP_SECONDS)
        self._call_after(gap, self.begin_window, self._now() + gap)

    def _call_after(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(seconds, call, *args)
        self._timer.let_loop_end()

    # -- a window -------------------------------------------------------------------------------------------------

    def begin_window(self, begins: float) -> None:
        """Called in the event loop: trace what it runs.

        :param begins: when the window was to begin
        """
        if gettrace() is None:
            self._jobs: dict[str, float] = {}
            self._gsched = self._other = 0.0
            self._since = self._now()
            self._until = begins + _WINDOW_SECONDS
            settrace(self._trace)
        self._call_after(_WINDOW_SECONDS, self.end_window)

    def _switched(self, _: str, greenlets: tuple[greenlet, greenlet]) -> None:
        """Called at each switch from a greenlet to another one."""
        now, since = self._now(), self._since
        self._since = now
        if since > self._until:
            return
        left = greenlets[0]
        if isinstance(left, GreenletWorker):
            job_id = left.job_id
            self._jobs[job_id] = self._jobs.get(job_id, 0.0) + now - since
        elif left is self._scheduler:
            self._gsched += now - since
        elif left is not self._hub:
            self._other += now - since

    def end_window(self) -> None:
        """Called in the event loop: trace no more, and remember what was seen."""
        if gettrace() is self._trace:
            settrace(None)
            now = self._now()
            seen = sum(self._jobs.values()), self._gsched, self._other
            self._windows.append(_Window(now, *seen, _longest(self._jobs, _MOST_JOBS)))
        self._next_window()

    # -- the estimate ---------------------------------------------------------------------------------------------

    def shares(self) -> LoopShares | None:
        """What the windows of the last minute have seen; None if there was none. Call it in any thread."""
        since = self._now() - PERIOD_SECONDS
        windows = [each for each in [*self._windows] if each.ended >= since]
        if not windows:
            return None
        seconds = len(windows) * _WINDOW_SECONDS
        by_job: defaultdict[str, float] = defaultdict(float)
        for each in windows:
            for job_id, held in each.by_job.items():
                by_job[job_id] += held

        def share(held: float) -> float:
            return round(held / seconds, 4)

        return LoopShares(
            share(sum(each.jobs for each in windows)),
            share(sum(each.gsched for each in windows)),
            share(sum(each.other for each in windows)),
            {job_id: share(held) for job_id, held in _longest(by_job, _SHOWN_JOBS).items()},
        )


def _longest(by_job: Mapping[str, float], most: int) -> dict[str, float]:
    return dict(nlargest(most, by_job.items(), key=lambda each: each[1]))
