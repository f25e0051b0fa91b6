"""Copying a store that may be in use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Connection, select

from gsched.errors import ConfigurationError, StoreError
from gsched.stores.sql.driver.connection import SqlConnection

_PAGES_AT_ONCE: Final = 500


def backup(connection: SqlConnection, path: str) -> None:
    """Copy the store to a new file that only this user can read. Others read and write the store meanwhile.

    :raises ConfigurationError: if the file exists or cannot be made
    :raises StoreError: if the copy fails
    """
    version = select(connection.tables.meta.c.value)

    def transaction(line: Connection) -> None:
        # This read begins the transaction. Without it, SQLite begins the copy anew after each write of another process.
        line.execute(version).all()
        source: Any = line.connection.dbapi_connection
        _copy(source, part)

    with _new_file(path) as part:
        connection.apart(transaction, "BEGIN")


def _copy(source: Any, path: str) -> None:
    try:
        target = sqlite3.connect(path)
        try:
            source.backup(target, pages=_PAGES_AT_ONCE)
            target.execute("PRAGMA journal_mode=DELETE")  # the copy is one file, which a read-only disk can hold
        finally:
            target.close()
    except sqlite3.Error as error:
        raise StoreError(f"backup: {path}: {error}") from error


@contextmanager
def _new_file(path: str) -> Iterator[str]:
    """The name of an empty file, which gets the name `path` at the end: what has that name is a whole copy."""
    part = f"{path}.part"
    if os.path.lexists(path):
        raise ConfigurationError(f"backup: {path} exists; name a new file")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise ConfigurationError(f"backup: {part} exists: another backup writes it, or was killed; remove it") from None
    except OSError as error:
        raise ConfigurationError(f"backup: {path}: {error.strerror}") from None
    try:
        yield part
        os.rename(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
