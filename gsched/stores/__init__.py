"""Job stores: the contract, the messages to the hub, and the memory store. The databases are in the folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.jobs.query import JobQuery
from gsched.lazy_names import lazy_names
from gsched.stores.base import BaseJobStore
from gsched.stores.memory import MemoryJobStore

if TYPE_CHECKING:
    from gsched.stores.mongodb import MongoDBJobStore
    from gsched.stores.sql import SQLAlchemyJobStore, SQLJobStore

__all__ = [
    "BaseJobStore", "JobQuery", "MemoryJobStore", "MongoDBJobStore", "SQLAlchemyJobStore", "SQLJobStore",
]  # fmt: skip

# Imported when somebody asks for them: other programs need not have these drivers, nor have them in memory.
__getattr__ = lazy_names(__name__, {
    "MongoDBJobStore": "gsched.stores.mongodb",
    "SQLAlchemyJobStore": "gsched.stores.sql",
    "SQLJobStore": "gsched.stores.sql",
})
