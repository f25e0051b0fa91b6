"""Executors: where runs are executed. Names are imported when they are used, because worker processes need none."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsched.executors.base import BaseExecutor
    from gsched.executors.greenlet import GreenletPoolExecutor
    from gsched.executors.process import ProcessPoolExecutor, RemoteError
    from gsched.executors.thread import ThreadPoolExecutor

__all__ = ["BaseExecutor", "GreenletPoolExecutor", "ProcessPoolExecutor", "RemoteError", "ThreadPoolExecutor"]

_HOMES = {
    "BaseExecutor": "base",
    "GreenletPoolExecutor": "greenlet",
    "ProcessPoolExecutor": "process",
    "RemoteError": "process",
    "ThreadPoolExecutor": "thread",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
