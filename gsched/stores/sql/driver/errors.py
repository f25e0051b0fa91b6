"""Errors of the driver in our own words."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gsched.errors import StoreAccessError, StoreError, StoreUnreachableError
from gsched.wording import without_noise

# What SQLite says, and what it means. https://sqlite.org/rescode.html has the list.
_UNREACHABLE = ("database is locked", "database table is locked", "unable to open database file", "disk i/o error")
_REFUSED = ("attempt to write a readonly database", "access permission denied", "authorization denied")
_FULL = "database or disk is full"
_NO_DATABASE = ("file is not a database", "database disk image is malformed")


def translated(error: SQLAlchemyError, place: str) -> StoreError:
    """The error as one of ours.

    :param place: where the database is, as people may see it
    """
    said = without_noise(str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error))
    lowered = said.lower()
    if any(each in lowered for each in _UNREACHABLE):
        return StoreUnreachableError(f"{place}: {said}; another process may hold its lock, or the path may be wrong")
    if any(each in lowered for each in _REFUSED):
        return StoreAccessError(f"{place}: {said}; give this user the right to write the file and its directory")
    if _FULL in lowered:
        return StoreUnreachableError(f"{place}: {said}; make room, what waits is written then")
    if any(each in lowered for each in _NO_DATABASE):
        return StoreError(f"{place}: {said}; name another file, or restore this one from a backup")
    return StoreError(f"{place}: {said}")
