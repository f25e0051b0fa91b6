"""Executors: where runs are executed."""

from gsched.executors.base import BaseExecutor
from gsched.executors.greenlet import GreenletPoolExecutor

__all__ = ["BaseExecutor", "GreenletPoolExecutor"]
