"""A Qt object that calls functions in the thread that has made it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final

_BINDINGS: Final = ("PySide6", "PyQt6", "PySide2", "PyQt5")


def make_relay() -> Any:
    """A relay of the calling thread. `relay.called.emit(callback, event)` anywhere calls `callback(event)` there.

    :raises ImportError: if there is no Qt
    """
    return _relay_class()()


@cache
def _relay_class() -> type[Any]:
    core = _qt_core()
    signal = core.Signal if hasattr(core, "Signal") else core.pyqtSignal

    class Relay(core.QObject):  # type: ignore[misc, name-defined]
        called = signal(object, object)

        def __init__(self) -> None:
            super().__init__()
            self.called.connect(self.call)  # Qt sees at each emission whether it comes from another thread

        def call(self, callback: Callable[[Any], object], event: Any) -> None:
            callback(event)

    return Relay


def _qt_core() -> Any:
    for binding in _BINDINGS:
        with suppress(ImportError):
            return import_module(f"{binding}.QtCore")
    raise ImportError(f"QtScheduler: there is no Qt; install one of {', '.join(_BINDINGS)}")
