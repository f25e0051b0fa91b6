"""All indexes. Missing ones are made. If another index is in the way, the error names the command that removes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo import DESCENDING
from pymongo.errors import OperationFailure
from pymongo.operations import IndexModel

from gsched.errors import StoreError

_DAY_SECONDS: Final = 86_400
_WAITING: Final = {"state": "waiting"}

# Of the jobs. For the queries: a slot's jobs by time; jobs with a tag; of a group; parked jobs; the order of lists;
# pauses that end; jobs that fail; overdue jobs.
JOB_INDEXES: Final = (
    IndexModel([("slot", 1), ("next_run_time", 1)], name="slot_next_run_time"),
    IndexModel([("tags", 1)], name="tags"),
    IndexModel([("group", 1)], name="group", sparse=True),
    IndexModel([("parked", 1)], name="parked", partialFilterExpression={"parked": {"$type": "string"}}),
    IndexModel([("paused", 1), ("next_run_time", 1), ("_id", 1)], name="listing"),
    IndexModel([("pause.until", 1)], name="pause_until", partialFilterExpression={"pause.until": {"$type": "date"}}),
    IndexModel(
        [("figures.failing_since", 1)],
        name="failing_since",
        partialFilterExpression={"figures.failing_since": {"$type": "date"}},
    ),
    IndexModel(
        [("overdue_told", 1), ("overdue_at", 1)], name="overdue",
        partialFilterExpression={"overdue_at": {"$type": "date"}},
    ),
)

# Of the runs. For the queries: runs in progress; lists by time, of one job, of one outcome, with a tag, each with the
# id, so that a page begins after a place; waiting runs of a job, and in slots; attempts after the first; spans that
# reach into a period. "expires_at" makes the server remove expired records.
RUN_INDEXES: Final = (
    IndexModel([("state", 1), ("slot", 1)], name="in_progress"),
    IndexModel([("expires_at", 1)], expireAfterSeconds=0, name="expires_at"),
    IndexModel([("scheduled_at", DESCENDING), ("_id", DESCENDING)], name="scheduled"),
    IndexModel([("job_id", 1), ("scheduled_at", DESCENDING), ("_id", DESCENDING)], name="job_scheduled"),
    IndexModel([("outcome", 1), ("scheduled_at", DESCENDING), ("_id", DESCENDING)], name="outcome_scheduled"),
    IndexModel([("tags", 1), ("scheduled_at", DESCENDING), ("_id", DESCENDING)], name="tags_scheduled"),
    IndexModel([("job_id", 1), ("due_at", 1)], partialFilterExpression=_WAITING, name="waiting"),
    IndexModel([("slot", 1), ("due_at", 1)], partialFilterExpression=_WAITING, name="waiting_slot"),
    IndexModel([("slot", 1), ("scheduled_at", 1)], partialFilterExpression={"attempt": {"$gt": 1}}, name="attempts"),
    IndexModel([("until", 1)], partialFilterExpression={"until": {"$exists": True}}, name="until"),
)

# The indexes of the collections beside that of the jobs, by the last part of the collections' names.
INDEXES_BESIDE: Final[Mapping[str, Sequence[IndexModel]]] = {
    "nodes": (IndexModel([("settled_at", 1)], expireAfterSeconds=_DAY_SECONDS, name="settled_at"),),
    "runs": RUN_INDEXES,
    "outputs": (IndexModel([("expires_at", 1)], expireAfterSeconds=0, name="expires_at"),),
    "former": (IndexModel([("slot", 1)], name="slot"), IndexModel([("job_id", 1)], name="job_id")),
    "activity": (IndexModel([("at", 1)], expireAfterSeconds=600, name="at"),),
    "minutes": (IndexModel([("at", 1)], expireAfterSeconds=2 * _DAY_SECONDS, name="at"),),
    "hours": (IndexModel([("at", 1)], expireAfterSeconds=60 * _DAY_SECONDS, name="at"),),
    "notices": (
        IndexModel([("notifier", 1), ("due_at", 1)], name="due"),
        IndexModel([("job_id", 1)], name="job_id"),
        IndexModel([("open", 1)], name="open"),
    ),
    "audit": (
        IndexModel([("at", 1)], expireAfterSeconds=90 * _DAY_SECONDS, name="at"),
        IndexModel([("target", 1), ("_id", DESCENDING)], name="target"),
        IndexModel([("actor", 1), ("_id", DESCENDING)], name="actor"),
        IndexModel([("action", 1), ("_id", DESCENDING)], name="action"),
    ),
}

_RACE_CODES: Final = frozenset({48, 112, 117, 276})  # another process makes the same collection or index
_CONFLICT_CODES: Final = frozenset({85, 86})  # another index has the name or the key of one of gsched's


def make_indexes(collection: Any, indexes: Sequence[IndexModel]) -> None:
    """Make the collection and its indexes if they are missing. Any number of processes may do so at once.

    :raises StoreError: if another index has the name or the key of one of these; the message says how to remove it
    """
    try:
        try:
            collection.create_indexes([*indexes])
        except OperationFailure as error:
            if error.code not in _RACE_CODES:
                raise
            collection.create_indexes([*indexes])
    except OperationFailure as error:
        if error.code not in _CONFLICT_CODES:
            raise
        raise StoreError(_conflict(collection, indexes, error)) from error


def _conflict(collection: Any, indexes: Sequence[IndexModel], error: OperationFailure) -> str:
    """Why an index cannot be made, and the commands that remove the indexes in its way."""
    there = collection.index_information().items()
    in_the_way = [name for name, other in there if any(_clashes(name, other, index) for index in indexes)]
    commands = "; ".join(f"db[{collection.name!r}].dropIndex({name!r})" for name in in_the_way)
    why = (error.details or {}).get("errmsg") or error
    return f"{collection.name}: another index is in the way of one of gsched's ({why}); in mongosh: {commands}"


def _clashes(name: str, other: Mapping[str, Any], ours: IndexModel) -> bool:
    """True if another index has the name or the key of this one, but differs from it."""
    same = (name == _name(ours), tuple(other["key"]) == _key(ours))
    return any(same) and not (all(same) and _expiry(other) == _expiry(ours.document))


def missing_indexes(collection: Any, indexes: Sequence[IndexModel]) -> list[str]:
    """The names of the indexes whose keys no index of the collection has."""
    there = _by_key(collection)
    return [_name(index) for index in indexes if _key(index) not in there]


def other_expiries(collection: Any, indexes: Sequence[IndexModel]) -> list[str]:
    """The names of the indexes that exist with another time of expiry, each with both times."""
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
