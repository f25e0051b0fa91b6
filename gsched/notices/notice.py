"""Notices: each is something that one notifier reports, with the number of times that it happened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from gsched.checks import is_whole

FAILED: Final = "failed"
LOST: Final = "lost"
OUTPUT: Final = "output"
RECOVERED: Final = "recovered"
OVERDUE: Final = "overdue"
PAUSED: Final = "paused"
PARKED: Final = "parked"
NODE_DIED: Final = "node_died"
NO_RUNNER: Final = "no_runner"
STORE_AWAY: Final = "store_away"
NOTIFIER_FAILED: Final = "notifier_failed"

KINDS: Final = (
    FAILED, LOST, RECOVERED, OVERDUE, PAUSED, PARKED, NODE_DIED, NO_RUNNER, STORE_AWAY, NOTIFIER_FAILED, OUTPUT,
)  # fmt: skip
"""The values of a notifier's option `events`."""

REPEATED: Final = frozenset({FAILED, LOST})
"""Kinds that stay open until a run of the job succeeds. Further occurrences are reported later, with their number."""

LONGEST_TEXT: Final = 500  # characters

_END_MS: Final = 253_402_300_800_000  # of the year 9999
_TEXTS: Final = {"job_name": LONGEST_TEXT, "text": LONGEST_TEXT, "run_id": 700}


@dataclass(frozen=True)
class Notice:
    """Something that happened, for one notifier. Times are milliseconds since the epoch.

    :ivar notifier: the notifier's name
    :ivar kind: one of KINDS
    :ivar jobstore: the alias of the job's store; "" if the notice is about no job
    :ivar job_id: the job's id; "" if the notice is about no job, or counts further jobs, too many for a notice each
    :ivar what: distinguishes notices of one kind and job: the error's type, the node's id
    :ivar count: how many occurrences are not sent yet
    :ivar first_at: when the first of these occurrences happened
    :ivar last_at: when the last occurrence happened
    :ivar due_at: when the notice is to be sent
    :ivar job_name: the job's name
    :ivar text: the last error's message, or the reason
    :ivar instant: when the last run was scheduled; None if the notice is about no run
    :ivar run_id: the last run's id; "" if the notice is about no run
    :ivar told: how many occurrences earlier messages have reported
    """

    notifier: str
    kind: str
    jobstore: str
    job_id: str
    what: str
    count: int
    first_at: int
    last_at: int
    due_at: int
    job_name: str = ""
    text: str = ""
    instant: int | None = None
    run_id: str = ""
    told: int = 0

    @cached_property
    def id(self) -> str:
        """Equal for notices that are counted together."""
        parts = [self.notifier, self.kind, self.jobstore, self.job_id, self.what]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def with_later(self, later: Notice) -> Notice:
        """This notice and a later one with the same id, as one notice."""
        return replace(
            later,
            count=self.count + later.count,
            first_at=min(self.first_at, later.first_at),
            due_at=min(self.due_at, later.due_at),
        )


def details(notice: Notice) -> dict[str, Any]:
    """The part of a notice that a store keeps as one object: its job, and its last occurrence."""
    return {
        "jobstore": notice.jobstore,
        "job_id": notice.job_id,
        "what": notice.what,
        "instant": notice.instant,
        **{name: _storable(getattr(notice, name)[:longest]) for name, longest in _TEXTS.items()},
    }


def _storable(text: str) -> str:
    """The text with "?" for each character that UTF-8 cannot encode. A command may print such characters."""
    return text.encode(errors="replace").decode()


def read_details(found: Any) -> dict[str, Any]:
    """The arguments of a Notice, from an object of `details`. Raises ValueError if a value is missing or wrong."""
    if not isinstance(found, Mapping):
        raise ValueError(f"expected an object, got {type(found).__name__}")
    for name in ("jobstore", "job_id", "what", *_TEXTS):
        if not isinstance(found.get(name), str):
            raise ValueError(f"{name}: expected a text, got {type(found.get(name)).__name__}")
    texts = {name: found[name][:longest] for name, longest in _TEXTS.items()}
    return {**texts, **{name: found[name] for name in ("jobstore", "job_id", "what")}, "instant": found.get("instant")}


def checked(notice: Notice, its_id: object) -> Notice:
    """The notice, as read from a store. Raises ValueError if a value in it is wrong."""
    if notice.id != its_id:
        raise ValueError("its id does not fit its content")
    if notice.kind not in KINDS:
        raise ValueError("its kind is unknown")
    for name in ("count", "told"):
        if not is_whole(getattr(notice, name), 0):
            raise ValueError(f"{name}: expected a whole number from 0")
    for name in ("first_at", "last_at", "due_at", *(["instant"] if notice.instant is not None else [])):
        if not is_whole(ms := getattr(notice, name), 0) or ms >= _END_MS:
            raise ValueError(f"{name}: expected milliseconds since the epoch")
    return notice
