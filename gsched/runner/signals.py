"""Signals: their handlers write down which one came, and wake the greenlet that acts."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from gevent.event import Event

HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Signals:
    """What others want of this process, in order: signals, and what the program itself says by `note`."""

    def __init__(self) -> None:
        self._noted: deque[int | None] = deque()
        self._wakeup = Event()

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Inside the block, signals are noted and do nothing else."""
        before = {number: signal.signal(number, self._handle) for number in HANDLED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def note(self, number: int | None) -> None:
        """As if this signal had come; None: there is nothing more to wait for."""
        self._noted.append(number)
        self._wakeup.set()

    def __iter__(self) -> Iterator[int]:
        """Wait for one signal after the other, until None is noted."""
        while True:
            while self._noted:
                number = self._noted.popleft()
                if number is None:
                    return
                yield number
            self._wakeup.clear()
            if not self._noted:  # a handler may interrupt us anywhere
                self._wakeup.wait()

    def _handle(self, number: int, _: Any) -> None:
        self.note(number)
