"""The watchdog: reports code that holds gevent's hub without yielding, and the job that it belongs to."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from gevent import get_hub
from gevent.monkey import get_original

from gsched.event_loop.threads import start_native_thread, thread_ident
from gsched.events import EVENT_HUB_BLOCKED, SchedulerEvent
from gsched.executors.greenlet import GreenletPoolExecutor
from gsched.monitoring.loop_shares import LoopShares

_allocate_lock = get_original("_thread", "allocate_lock")
_STACK_FRAMES = 20
_TOO_LONG = 10  # times the limit: the loop may never turn again, and then no event is delivered


class Watchdog:
    """Emits `hub.blocked` with seconds, job and stack if the event loop did not turn for `limit_seconds`.

    The event comes when the loop turns again. After ten times the limit, standard error gets a report meanwhile.

    A timer in the loop notes each turn. A native thread reads the note, and takes the stack when the note is old.
    gevent's own monitor traces every switch of greenlets for that, which made no-op runs a fifth slower.

    :param limit_seconds: None watches nothing
    :param shares: gives the shares of the last minute for which jobs held the event loop; None while they are unknown
    :ivar blocked: how often the limit was exceeded
    """

    def __init__(
        self,
        limit_seconds: float | None,
        emit: Callable[[SchedulerEvent], None],
        shares: Callable[[], LoopShares | None] = lambda: None,
    ) -> None:
        self._limit = limit_seconds
        self._emit = emit
        self._shares = shares
        self._turned = 0.0
        self.blocked = 0
        # The loop's last turn, and what was seen since: written by the native thread, taken by the timer.
        self._caught: tuple[float, dict[str, Any]] | None = None

    def start(self) -> None:
        """Watch the calling thread's hub."""
        if self._limit is None:
            return
        self._period = self._limit / 4
        self._ident = thread_ident()
        self._turned = time.monotonic()
        self._timer = get_hub().loop.timer(self._period, repeat=self._period, ref=False)
        self._timer.start(self._turn)
        self._stopped = _allocate_lock()
        self._stopped.acquire()
        start_native_thread(self._watch)

    def stop(self) -> None:
        """Watch no more."""
        if self._limit is not None:
            self._timer.stop()
            self._timer.close()
            self._stopped.release()

    def _turn(self) -> None:
        self._turned = time.monotonic()
        caught, self._caught = self._caught, None
        if caught is not None:
            self.blocked += 1
            before, seen = caught
            held = round(self._turned - before - self._period, 3)
            shares = self._shares()
            if shares is not None:
                seen["holders"] = dict(shares.by_job)
            self._emit(SchedulerEvent(EVENT_HUB_BLOCKED, seconds=held, **seen))

    def _watch(self) -> None:
        """In a native thread: only plain Python here, no gevent."""
        assert self._limit is not None
        reported = 0.0  # the loop's last turn before the last report
        while not self._stopped.acquire(timeout=self._period):
            turned, frame = self._turned, None  # once: after a SIGSTOP, the loop may turn while we look
            held = time.monotonic() - turned
            if held > self._limit + self._period:
                frame = sys._current_frames().get(self._ident)
            if frame is None:
                continue
            if self._caught is None:
                self._caught = turned, _describe(frame)
            if held > self._limit * _TOO_LONG and reported != turned:
                reported = turned
                _write_out(held, frame)


def _write_out(held: float, frame: FrameType) -> None:
    description = "".join(f"\n{key}: {value}" for key, value in _describe(frame).items())
    os.write(2, f"gsched: gevent's hub has been blocked for {held:.1f} s{description}".encode(errors="replace"))


def _describe(frame: FrameType) -> dict[str, Any]:
    stack = "".join(traceback.format_stack(frame, limit=_STACK_FRAMES))
    outer: FrameType | None = frame
    while outer is not None and outer.f_code is not GreenletPoolExecutor.execute.__code__:
        outer = outer.f_back
    if outer is None:
        return {"stack": stack}
    run = outer.f_locals["run"]
    return {"job_id": run.job.id, "job_name": run.job.name, "run_id": run.id, "stack": stack}
