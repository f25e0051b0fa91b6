"""The store as a scheduler sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gsched.clock import Clock
from gsched.errors import FuncRefError
from gsched.funcref import AllowedFunctions
from gsched.job import Job
from gsched.stores.base import BaseJobStore, HubSide
from gsched.stores.mongodb.connection import Connection
from gsched.stores.mongodb.definitions import MongoDefinitions


class MongoDBJobStore(MongoDefinitions, BaseJobStore):
    """Keeps jobs in MongoDB.

    In a process that only adds, changes and lists jobs it needs no scheduler that runs.

    The server is named by `uri`, by `host` (a name or a URI) and `port`, or by `client`; without any of them it is
    the one on this machine. What is written is confirmed by a majority of the replica set, what is read comes from its
    primary, whatever a given client's defaults are.

    :param uri: "mongodb://..." or "mongodb+srv://..."
    :param client: a MongoClient of yours, or "module:name" of one; it is never closed here
    :param database: in which database the collections are
    :param collection: name of the collection of jobs
    :param modules: modules in which stored function references may be resolved, beside those that the scheduler allows
    :param client_options: options for PyMongo's MongoClient
    :raises ConfigurationError: if an argument cannot be right
    """

    def __init__(
        self,
        uri: str | None = None,
        *,
        client: Any = None,
        database: str = "gsched",
        collection: str = "jobs",
        modules: Iterable[str] = (),
        host: Any = None,
        port: int | None = None,
        **client_options: Any,
    ) -> None:
        given = {"host": host, "port": port}
        address = {name: value for name, value in given.items() if value is not None}
        self._modules = [modules] if isinstance(modules, str) else list(modules)
        self._connection = Connection(
            uri=uri, client=client, database=database, collection=collection, address=address, options=client_options
        )

    def bind(self, alias: str, clock: Clock, allowed: AllowedFunctions) -> None:
        super().bind(alias, clock, _Widened(allowed, self._modules) if self._modules else allowed)

    def start(self, hub: HubSide, paused: bool) -> None:
        raise NotImplementedError("jobs in MongoDB can be defined, but not run yet")

    def pause(self) -> None:
        """Nothing is claimed."""

    def resume(self) -> None:
        """Nothing is claimed."""

    def stop(self) -> None:
        """Nothing is claimed."""

    def close(self) -> None:
        self._connection.close()

    def end(self, job: Job) -> None:
        self._delete_ended(job)

    def park(self, job: Job, reason: str | None) -> None:
        self._mark_parked(job, reason)


class _Widened(AllowedFunctions):
    """What the scheduler allows, and the store's own modules."""

    def __init__(self, allowed: AllowedFunctions, modules: Iterable[str]) -> None:
        super().__init__(modules)
        self._allowed = allowed

    def register(self, ref: str, func: Callable[..., Any]) -> None:
        self._allowed.register(ref, func)

    def resolve(self, ref: str) -> Callable[..., Any]:
        try:
            return self._allowed.resolve(ref)
        except FuncRefError:
            return super().resolve(ref)
