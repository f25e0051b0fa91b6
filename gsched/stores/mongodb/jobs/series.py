"""Numbers the jobs of each series, so that each gets a phase of its own.

A document of `jobs.series` counts one series: {_id, taken, rank}, `rank` for that of a group. The document of the
series without a group also counts the groups beside it. `by` and `before` tell the last writer which numbers it took.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any, Final

from pymongo import ReturnDocument, UpdateOne
from pymongo.collection import Collection as MongoCollection

from gsched.errors import StoreConflictError
from gsched.policies.spreading import Numbers, Series
from gsched.stores.mongodb.driver.bulk import DUPLICATE, write_all
from gsched.stores.mongodb.driver.codec import Document, Jobs

ATTEMPTS: Final = 50  # another process may take numbers between the write and the look at what it gave


def take_numbers(jobs: Jobs, wanted: Mapping[Series, int]) -> dict[Series, Numbers]:
    """Take the next so many numbers of each series.

    :raises StoreConflictError: if other processes take numbers all the time
    """
    taken: dict[Series, Numbers] = {}
    for _ in range(ATTEMPTS):
        left = {series: count for series, count in wanted.items() if series not in taken}
        if not left:
            return taken
        taken |= _take(jobs.series, left)
    raise StoreConflictError("other processes kept numbering the jobs of the same series; try again")


def _take(collection: MongoCollection[Document], wanted: Mapping[Series, int]) -> dict[Series, Numbers]:
    """The numbers of those series of which no other process has taken numbers at the same moment."""
    token, ranks = secrets.token_hex(8), _new_ranks(collection, wanted)
    changes = [
        UpdateOne({"_id": series.key}, [{"$set": _raised(count, token, ranks.get(series, 0))}], upsert=True)
        for series, count in wanted.items()
    ]
    for refusal in write_all(collection, changes).refused:
        if refusal.code != DUPLICATE:  # another process has made the same series: once more
            raise StoreConflictError(f"{collection.name}: {refusal.reason}")
    found = collection.find({"_id": {"$in": [series.key for series in wanted]}, "by": token})
    before = {each["_id"]: Numbers(each["rank"], each["before"]) for each in found}
    return {series: before[series.key] for series in wanted if series.key in before}


def _raised(count: int, token: str, rank: int) -> Document:
    taken: Document = {"$ifNull": ["$taken", 0]}
    return {"taken": {"$add": [taken, count]}, "before": taken, "by": token, "rank": {"$ifNull": ["$rank", rank]}}


def _new_ranks(collection: MongoCollection[Document], wanted: Collection[Series]) -> dict[Series, int]:
    """A rank for each group that has none yet. If another process gives it one first, that one counts."""
    groups = [series for series in wanted if series.group is not None]
    there = {each["_id"] for each in collection.find({"_id": {"$in": [series.key for series in groups]}}, ["_id"])}
    ranks: dict[Series, int] = {}
    new = [series for series in groups if series.key not in there]
    for family in dict.fromkeys(series.family for series in new):
        members = [series for series in new if series.family == family]
        raised: Any = collection.find_one_and_update(
            {"_id": family}, {"$inc": {"groups": len(members)}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        first = raised["groups"] - len(members) + 1
        ranks |= {series: first + number for number, series in enumerate(members)}
    return ranks
