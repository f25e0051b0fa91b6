"""Job stores: the contract, the messages to the hub, and the memory store. The databases are in the folders."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gsched.jobs.query import JobQuery
from gsched.stores.base import BaseJobStore
from gsched.stores.memory import MemoryJobStore

if TYPE_CHECKING:
    from gsched.stores.mongodb import MongoDBJobStore
    from gsched.stores.sql import SQLAlchemyJobStore, SQLJobStore

__all__ = [
    "BaseJobStore", "JobQuery", "MemoryJobStore", "MongoDBJobStore", "SQLAlchemyJobStore", "SQLJobStore",
]  # fmt: skip

# Imported when somebody asks for them: other programs need not have these drivers, nor have them in memory.
_HOMES: Final = {
    "MongoDBJobStore": "gsched.stores.mongodb",
    "SQLAlchemyJobStore": "gsched.stores.sql",
    "SQLJobStore": "gsched.stores.sql",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
