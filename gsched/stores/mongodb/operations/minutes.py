"""What the nodes did in each minute, and all of them together in each hour.

A document of `jobs.minutes` is {_id: "time@node", at, outcomes, lateness, duration, by_tag}; one of `jobs.hours` is
{_id: time, at, ...} with the same counts, but with mappings in place of lists, because the server adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from gsched.monitoring.histogram import BUCKETS
from gsched.monitoring.rates import HOUR_MS, NotedMinute, as_document, read_minute
from gsched.stores.mongodb.driver.codec import Document, Jobs
from gsched.times.instants import from_ms, to_ms


def note_minute(jobs: Jobs, node: str, minute: NotedMinute) -> None:
    """Keep what a node did in a minute, and add it to the hour."""
    counts = as_document(minute.period)
    try:
        jobs.minutes.insert_one({"_id": f"{minute.at}@{node}", "at": from_ms(minute.at), **counts})
    except DuplicateKeyError:  # an attempt before this one has written it, and added it to the hour
        return
    begin = from_ms(minute.at - minute.at % HOUR_MS)
    jobs.hours.update_one({"_id": begin}, {"$set": {"at": begin}, "$inc": dict(_increments(counts))}, upsert=True)


def read_minutes(jobs: Jobs, since: int, until: int) -> list[NotedMinute]:
    """What is kept of the minutes from `since` until before `until` (ms)."""
    found = jobs.minutes.find({"at": {"$gte": from_ms(since), "$lt": from_ms(until)}}, sort=[("at", 1)])
    return [read_minute(to_ms(document["at"]), document) for document in found]


def read_hours(jobs: Jobs, since: int, until: int) -> list[NotedMinute]:
    """What is kept of the hours from `since` until before `until` (ms)."""
    found = jobs.hours.find({"at": {"$gte": from_ms(since), "$lt": from_ms(until)}}, sort=[("at", 1)])
    return [read_minute(to_ms(document["at"]), _counts(document)) for document in found]


def _increments(counts: Mapping[str, Any]) -> Any:
    """The counts, by the paths of their fields."""
    for outcome, count in counts["outcomes"].items():
        yield f"outcomes.{outcome}", count
    for name in ("lateness", "duration"):
        for bucket, count in enumerate(counts[name]):
            if count:
                yield f"{name}.{bucket}", count
    for each in counts["by_tag"]:
        for outcome, count in each["outcomes"].items():
            yield f"by_tag.{_key(each['tag'])}.{outcome}", count


def _counts(document: Document) -> Document:
    histograms = {name: document.get(name, {}) for name in ("lateness", "duration")}
    tags = document.get("by_tag", {}).items()
    return {
        "outcomes": document.get("outcomes", {}),
        **{name: [of.get(str(bucket), 0) for bucket in range(len(BUCKETS) + 1)] for name, of in histograms.items()},
        "by_tag": [{"tag": _tag(key), "outcomes": outcomes} for key, outcomes in tags],
    }


def _key(tag: str) -> str:
    """The tag as the key of a field: hexadecimal, for a tag may hold any character."""
    return "t" + tag.encode().hex()


def _tag(key: str) -> str:
    return bytes.fromhex(key[1:]).decode()
