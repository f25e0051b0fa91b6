"""Executors: where runs are executed. Names are imported when they are used, because worker processes need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.lazy_names import lazy_names

if TYPE_CHECKING:
    from gsched.executors.base import BaseExecutor
    from gsched.executors.greenlet import GreenletPoolExecutor
    from gsched.executors.process import ProcessPoolExecutor, RemoteError
    from gsched.executors.thread import ThreadPoolExecutor

__all__ = ["BaseExecutor", "GreenletPoolExecutor", "ProcessPoolExecutor", "RemoteError", "ThreadPoolExecutor"]

__getattr__ = lazy_names(__name__, {
    "BaseExecutor": "gsched.executors.base",
    "GreenletPoolExecutor": "gsched.executors.greenlet",
    "ProcessPoolExecutor": "gsched.executors.process",
    "RemoteError": "gsched.executors.process",
    "ThreadPoolExecutor": "gsched.executors.thread",
})
