"""Notices: what is to be told to one notifier, with the number of times that it happened."""

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
"""What a notifier can be told of: the values of its option `events`."""

REPEATED: Final = frozenset({FAILED, LOST})
"""Kinds that stay open until a run of the job succeeds. They are told again with the number of further ones."""

LONGEST_TEXT: Final = 500  # characters

_END_MS: Final = 253_402_300_800_000  # of the year 9999
_TEXTS: Final = {"job_name": LONGEST_TEXT, "text": LONGEST_TEXT, "run_id": 700}


@dataclass(frozen=True)
class Notice:
    """Something that happened, for one notifier. Times are milliseconds since the epoch.

    :ivar notifier: its name
    :ivar kind: one of KINDS
    :ivar jobstore: the alias of the job's store; "" if it is about no job
    :ivar job_id: "" if it is about no job, or about further jobs, too many to be told one by one
    :ivar what: tells it from others of this kind and job: the error's type, the node's id
    :ivar count: how often it happened, without what was told already
    :ivar first_at: when it happened first, without what was told already
    :ivar last_at: when it happened last
    :ivar due_at: when it is to be told
    :ivar job_name: the job's name
    :ivar text: the last error's message, or the reason
    :ivar instant: when the last run was scheduled; None if no run is meant
    :ivar run_id: the last run's id; "" if no run is meant
    :ivar told: how often it was told before
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
        """The same for all notices that are counted together."""
        parts = [self.notifier, self.kind, self.jobstore, self.job_id, self.what]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def with_later(self, later: Notice) -> Notice:
        """This one and a later one with the same id, together."""
        return replace(
            later,
            count=self.count + later.count,
            first_at=min(self.first_at, later.first_at),
            due_at=min(self.due_at, later.due_at),
        )


def details(notice: Notice) -> dict[str, Any]:
    """What a store keeps of the last occurrence, beside what the notice is counted by."""
    return {
        "jobstore": notice.jobstore,
        "job_id": notice.job_id,
        "what": notice.what,
        "instant": notice.instant,
        **{name: _storable(getattr(notice, name)[:longest]) for name, longest in _TEXTS.items()},
    }


def _storable(text: str) -> str:
    """Text that UTF-8 can have: what commands write may be anything."""
    return text.encode(errors="replace").decode()


def read_details(found: Any) -> dict[str, Any]:
    """The arguments of a Notice that `details` has given. Raises ValueError for what somebody wrote wrongly by hand."""
    if not isinstance(found, Mapping):
        raise ValueError(f"expected an object, got {type(found).__name__}")
    for name in ("jobstore", "job_id", "what", *_TEXTS):
        if not isinstance(found.get(name), str):
            raise ValueError(f"{name}: expected a text, got {type(found.get(name)).__name__}")
    texts = {name: found[name][:longest] for name, longest in _TEXTS.items()}
    return {**texts, **{name: found[name] for name in ("jobstore", "job_id", "what")}, "instant": found.get("instant")}


def checked(notice: Notice, its_id: object) -> Notice:
    """A notice that was read from a store. Raises ValueError if somebody has written it by hand, and wrongly."""
    if notice.id != its_id:
        raise ValueError("its id is not that of its content")
    if notice.kind not in KINDS:
        raise ValueError("its kind is unknown")
    for name in ("count", "told"):
        if not is_whole(getattr(notice, name), 0):
            raise ValueError(f"{name}: expected a whole number from 0")
    for name in ("first_at", "last_at", "due_at", *(["instant"] if notice.instant is not None else [])):
        if not is_whole(ms := getattr(notice, name), 0) or ms >= _END_MS:
            raise ValueError(f"{name}: expected milliseconds since the epoch")
    return notice
