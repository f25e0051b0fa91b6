"""Job stores: where jobs are kept."""

from gsched.stores.base import BaseJobStore, JobQuery
from gsched.stores.memory import MemoryJobStore

__all__ = ["BaseJobStore", "JobQuery", "MemoryJobStore"]
