"""Indexes: ours are made where they are missing; in whose place people have another, that serves as well, and stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo.errors import OperationFailure
from pymongo.operations import IndexModel

_RACE_CODES: Final = frozenset({48, 112, 117, 276})  # others make the same collection or index at this moment
_CONFLICT_CODES: Final = frozenset({85, 86})  # there is one with the same key, and another name or other options


def make_indexes(collection: Any, indexes: Sequence[IndexModel]) -> list[str]:
    """Make the collection and its indexes unless they are there. Any number of processes may do so at once.

    :return: the names of those in whose place there is another, with the same key
    """
    try:
        _make(collection, indexes)
    except OperationFailure as error:
        if error.code not in _CONFLICT_CODES:
            raise
        return [_name(index) for index in indexes if not _is_made(collection, index)]
    return []


def _is_made(collection: Any, index: IndexModel) -> bool:
    """Make this one; False if there is another in its place."""
    try:
        _make(collection, [index])
    except OperationFailure as error:
        if error.code not in _CONFLICT_CODES or missing_indexes(collection, [index]):
            raise
        return False
    return True


def _make(collection: Any, indexes: Sequence[IndexModel]) -> None:
    try:
        collection.create_indexes([*indexes])
    except OperationFailure as error:
        if error.code not in _RACE_CODES:
            raise
        collection.create_indexes([*indexes])


def missing_indexes(collection: Any, indexes: Sequence[IndexModel]) -> list[str]:
    """The names of those whose keys no index has."""
    there = _by_key(collection)
    return [_name(index) for index in indexes if _key(index) not in there]


def other_expiries(collection: Any, indexes: Sequence[IndexModel]) -> list[str]:
    """The names of those in whose place is one with which documents expire earlier, later or never; and when."""
    there, found = _by_key(collection), []
    for index in indexes:
        stored = there.get(_key(index))
        if stored is not None and _expiry(stored) != _expiry(index.document):
            found.append(f"{_name(index)} ({_expiry(stored)}, not {_expiry(index.document)})")
    return found


def _expiry(options: Mapping[str, Any]) -> str:
    seconds = options.get("expireAfterSeconds")
    return "never" if seconds is None else f"after {seconds:.0f} s"


def _by_key(collection: Any) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(index["key"]): index for index in collection.index_information().values()}


def _key(index: IndexModel) -> tuple[Any, ...]:
    return tuple(index.document["key"].items())


def _name(index: IndexModel) -> str:
    return str(index.document["name"])
