"""A MongoDB for tests: one private mongod per session, a fresh database per test.

A test module that needs it says `pytest_plugins = ["mongodb"]`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from folders import database_parent

from gsched import GeventScheduler, MongoDBJobStore
from gsched.embedded import EmbeddedMongo, EmbeddedMongoError, find_mongod, open_embedded


@cache
def mongod() -> EmbeddedMongo:
    """The session's mongod, started when it is first needed."""
    from pymongo import MongoClient

    directory = tempfile.mkdtemp(prefix="gsched-", dir=database_parent())
    server = open_embedded(directory)
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:  # not in forked children
            server.close()
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(stop)
    with MongoClient(server.uri) as administrator:
        # By the clocks that tests move, records are from the past: the server would delete them as expired.
        administrator.admin.command({"setParameter": 1, "ttlMonitorEnabled": False})
    return server


@cache
def client() -> Any:
    """A plain client, for looking at what is stored."""
    from pymongo import MongoClient

    made: Any = MongoClient(mongod().uri, tz_aware=True, datetime_conversion="DATETIME_AUTO")
    atexit.register(made.close)
    return made


@pytest.fixture
def needs_mongod() -> None:
    """Without one, tests are skipped at home, and fail on CI."""
    try:
        find_mongod()
    except EmbeddedMongoError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no mongod: {error}")


@pytest.fixture
def uri(needs_mongod: None) -> str:
    """The address of the session's MongoDB."""
    return mongod().uri


@pytest.fixture
def database(uri: str) -> Iterator[Any]:
    """A database of the test's own (PyMongo's object; `.name` for a store), dropped afterwards."""
    made = client()[f"test_{uuid.uuid4().hex[:12]}"]
    yield made
    made.client.drop_database(made.name)


@pytest.fixture
def emptied_database(uri: str) -> Iterator[Any]:
    """A database with no documents, that may have the collections and indexes of an earlier test of this process:
    MongoDB takes longer to make and to drop these than for most tests."""
    made = client()[f"emptied_{os.getpid()}"]
    yield made
    for collection in list(made.list_collections()):
        if collection["options"]:  # a validator, for one
            made.drop_collection(collection["name"])
        else:
            made[collection["name"]].delete_many({})


@pytest.fixture
def address(uri: str, database: Any) -> str:
    """The address of that database, as commands take it."""
    return uri.replace("/?", f"/{database.name}?")


@pytest.fixture
def jobs(uri: str, database: Any) -> Iterator[GeventScheduler]:
    """A scheduler that has its jobs in that database, not started."""
    scheduler = GeventScheduler(jobstores={"default": MongoDBJobStore(uri, database=database.name)}, timezone="UTC")
    yield scheduler
    scheduler.close()
