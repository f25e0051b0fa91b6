"""Chooses the place where the jobs of a configuration are kept."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.files.data_directory import SQLITE_FILE, holds_mongodb, holds_sqlite, refuse_mongodb, refuse_sqlite
from gsched.runner.application import working_directory
from gsched.runner.data_directory import data_directory
from gsched.runner.sqlite_url import is_sqlite, sqlite_file
from gsched.runner.store_url import shown_url
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler

_GENERATED_ID: Final = re.compile(r"[0-9a-f]{32}")
_NO_SQLALCHEMY: Final = "SQLAlchemy is not installed, which jobs in SQLite need: pip install 'gsched[sql]'"


class StoreChoice(NamedTuple):
    """The job store that was chosen.

    :ivar kind: mongodb, sqlite, embedded_mongodb, memory, or application, if the application has a store of its own
    :ivar why: the address of the store, or the reason for the choice, without passwords
    """

    kind: str
    why: str


def place_of(configuration: Configuration, application: GeventScheduler | None) -> StoreChoice:
    """The store that the configuration names; else a SQLite file in the data directory, or memory if that cannot be.

    :raises ConfigurationError: if the data directory holds the jobs of another kind of store, or if the working
        directory was deleted, from which relative paths and commands start
    """
    working_directory()
    if application is not None and has_own_store(application):
        return StoreChoice("application", "its own")
    if is_sqlite(configuration.store):
        return StoreChoice("sqlite", str(sqlite_file(configuration)))
    if configuration.store is not None:
        return StoreChoice("mongodb", shown_url(configuration.store))
    if configuration.memory:
        return StoreChoice("memory", "configured")
    directory = data_directory(configuration)
    if configuration.embedded_mongodb:
        refuse_sqlite(directory)
        return StoreChoice("embedded_mongodb", str(directory))
    if not configuration.embedded and application is not None and _has_nameless_jobs(application):
        why = "jobs of the application have no ids: elsewhere each start would add them once more"
        return StoreChoice("memory", why)
    refuse_mongodb(directory)
    if not configuration.embedded and find_spec("sqlalchemy") is None:
        return _memory_without_sqlalchemy(directory)
    return StoreChoice("sqlite", str(directory / SQLITE_FILE))


def is_there(place: StoreChoice) -> bool:
    """False if the store is a file or a directory of this machine that does not exist yet."""
    if place.kind == "sqlite":
        return os.path.exists(place.why)
    return place.kind != "embedded_mongodb" or holds_mongodb(Path(place.why))


def has_own_store(application: GeventScheduler) -> bool:
    """True if the application's scheduler has a default store of its own."""
    return "default" in application.stores and not engine_of(application).is_pending("default")


def refuse_memory_for_many(configuration: Configuration, place: StoreChoice) -> None:
    """Raises ConfigurationError if several processes are to share jobs in memory."""
    if configuration.processes > 1:
        raise ConfigurationError(
            f"{configuration.processes} processes cannot share jobs in memory ({place.why}): each would run all of "
            "them; name a store, or run one process"
        )


def _memory_without_sqlalchemy(directory: Path) -> StoreChoice:
    if holds_sqlite(directory):
        raise ConfigurationError(f"{directory / SQLITE_FILE} holds jobs, but {_NO_SQLALCHEMY}; or --memory")
    return StoreChoice("memory", _NO_SQLALCHEMY)


def _has_nameless_jobs(application: GeventScheduler) -> bool:
    """True if the application has added jobs without ids, which each start would add once more."""
    return any(_GENERATED_ID.fullmatch(job.id) for job in application.get_jobs(pending=True))
