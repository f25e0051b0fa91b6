"""The MongoDB store: jobs that survive their process and are shared by any number of processes."""

from __future__ import annotations

from gsched.stores.mongodb.store import MongoDBJobStore

__all__ = ["MongoDBJobStore"]
