"""The last change of a job on somebody's behalf: who, what and why, written with the job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from gsched.times.instants import from_ms, to_ms


class LastChange(NamedTuple):
    """The author of a job's last change, and the reason. Changes without a named actor do not count.

    :ivar at_ms: when, ms since the epoch
    :ivar action: what they did: one of `gsched.jobs.audit.ACTIONS`
    :ivar by: a person or a program
    :ivar via: how they reached the scheduler: "web", "cli", "api"
    :ivar reason: why, in their words
    """

    at_ms: int
    action: str
    by: str | None = None
    via: str | None = None
    reason: str | None = None

    @property
    def at(self) -> datetime:
        """When, UTC."""
        return from_ms(self.at_ms)


def last_change_document(change: LastChange | None) -> dict[str, Any] | None:
    """The change as plain values; None if there is none."""
    if change is None:
        return None
    return {"at": change.at, "action": change.action, "by": change.by, "via": change.via, "reason": change.reason}


def read_last_change(document: object) -> LastChange | None:
    """The change that a document tells of; None if it is malformed: nothing depends on it."""
    if not isinstance(document, Mapping):
        return None
    at, action = document.get("at"), document.get("action")
    told = tuple(document.get(key) for key in ("by", "via", "reason"))
    is_sane = isinstance(at, datetime) and at.tzinfo is not None and isinstance(action, str)
    if not is_sane or not all(isinstance(each, str | None) for each in told):
        return None
    assert isinstance(at, datetime) and isinstance(action, str)
    return LastChange(to_ms(at), action, *told)
