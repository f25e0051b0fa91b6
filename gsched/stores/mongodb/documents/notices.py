"""Documents of notifications.

In `jobs.notices`: {_id, notifier, kind, jobstore, job_id, count, told, first_at, last_at, due_at, next_at, open, last}.
`last` is what is known of the last occurrence. In `jobs.notifiers`: how the channel of each notifier does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gsched.checks import is_whole
from gsched.notices.notice import Notice, checked, details, read_details
from gsched.notices.outbox import ChannelState, OpenFailure, read_state, state_document
from gsched.stores.mongodb.driver.codec import Document
from gsched.times.instants import from_ms, to_ms


def addition(notice: Notice) -> list[Document]:
    """The update that adds a notice to the one that there is, if there is one."""
    said = {"notifier": notice.notifier, "kind": notice.kind, "jobstore": notice.jobstore, "job_id": notice.job_id}
    count = {"$ifNull": ["$count", 0]}
    counted = {
        "count": {"$add": [count, notice.count]},
        "told": {"$ifNull": ["$told", 0]},
        "first_at": {"$cond": [{"$gt": [count, 0]}, "$first_at", from_ms(notice.first_at)]},
        "last_at": from_ms(notice.last_at),
        "due_at": {"$ifNull": ["$due_at", {"$max": ["$next_at", from_ms(notice.due_at)]}]},
        "open": True,
    }
    texts = {name: {"$literal": value} for name, value in {**said, "last": details(notice)}.items()}
    return [{"$set": {**texts, **counted}}]


def subtraction(notice: Notice, next_at: int) -> list[Document]:
    """The update that takes what was told from the notice that there is."""
    left = {"$max": [0, {"$subtract": ["$count", notice.count]}]}
    counted = {
        "count": left,
        "told": {"$add": ["$told", notice.count]},
        "first_at": "$last_at",
        "next_at": from_ms(next_at),
    }
    return [{"$set": counted}, {"$set": {"due_at": {"$cond": [{"$gt": ["$count", 0]}, from_ms(next_at), None]}}}]


def notice_in(document: Document) -> Notice:
    """The notice in a document. Raises ValueError for one that somebody has written by hand, and wrongly."""
    times: dict[str, Any] = {name: _ms(name, document.get(name)) for name in ("first_at", "last_at", "due_at")}
    counts: dict[str, Any] = {name: document.get(name) for name in ("count", "told")}
    notifier, kind = str(document.get("notifier")), str(document.get("kind"))
    found = Notice(notifier=notifier, kind=kind, **counts, **times, **read_details(document.get("last")))
    return checked(found, document["_id"])


def open_failure_in(document: Document) -> OpenFailure | None:
    """The failing job that a document is about; None if somebody has written it by hand, and wrongly."""
    notifier, jobstore, job_id, due = (document.get(name) for name in ("notifier", "jobstore", "job_id", "due_at"))
    if not all(isinstance(name, str) for name in (notifier, jobstore, job_id)):
        return None
    return OpenFailure(str(notifier), str(jobstore), str(job_id), to_ms(due) if isinstance(due, datetime) else None)


def notifier_document(state: ChannelState) -> Document:
    """The document of a channel's state, without its id."""
    document = state_document(state)
    del document["notifier"]
    return document


def state_in(document: Document) -> ChannelState:
    """The state in a document; a new one if somebody has written it by hand, and wrongly."""
    name, rev = str(document["_id"]), document.get("rev")
    try:
        return read_state({**document, "notifier": name})
    except ValueError:
        return ChannelState(name, rev if is_whole(rev, 0) else 0)


def _ms(name: str, value: Any) -> int:
    if not isinstance(value, datetime):
        raise ValueError(f"{name}: expected a date")
    return to_ms(value)
