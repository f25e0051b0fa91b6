"""Job stores: where jobs are kept."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gsched.stores.base import BaseJobStore, JobQuery
from gsched.stores.memory import MemoryJobStore

if TYPE_CHECKING:
    from gsched.stores.mongodb import MongoDBJobStore

__all__ = ["BaseJobStore", "JobQuery", "MemoryJobStore", "MongoDBJobStore"]


def __getattr__(name: str) -> Any:
    # Only when it is asked for: programs without MongoDB need not have its driver in memory.
    if name == "MongoDBJobStore":
        return import_module("gsched.stores.mongodb").MongoDBJobStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
