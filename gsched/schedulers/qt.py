"""QtScheduler: BackgroundScheduler whose listeners are called in Qt's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gsched.events import EVENT_ALL
from gsched.events.bus import Listener
from gsched.jobs.callables import check_callable
from gsched.schedulers.background import BackgroundScheduler


class QtScheduler(BackgroundScheduler):
    """Schedules jobs in a program with Qt, as BackgroundScheduler does: PySide6, PyQt6, PySide2 or PyQt5.

    Jobs run in threads, where they must not touch widgets. Listeners are called in the thread that has made the
    scheduler, by its Qt event loop, so that they may.

    :raises ConfigurationError: for a setting that is unknown or cannot work
    :raises ImportError: if there is no Qt
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        from gsched.schedulers.qt_relay import make_relay

        super().__init__(*args, **options)
        self._relay = make_relay()

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        check_callable("listener", callback)
        super().add_listener(_InQtThread(self._relay, callback), mask)

    def remove_listener(self, callback: Listener) -> None:
        super().remove_listener(_InQtThread(self._relay, callback))


@dataclass(frozen=True)
class _InQtThread:
    relay: Any
    callback: Listener

    def __call__(self, event: Any) -> None:
        self.relay.called.emit(self.callback, event)
