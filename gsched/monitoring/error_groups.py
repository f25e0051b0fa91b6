"""Groups of errors: failures that are alike, over a window that the answer names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gsched.errors import ConfigurationError
from gsched.history.queries import RunInfo
from gsched.jobs.outcomes import Outcome

_GOOD: Final = (Outcome.SUCCEEDED, Outcome.COALESCED, Outcome.RETRIED)
BAD: Final = tuple(str(outcome) for outcome in Outcome if outcome not in _GOOD)
MOST_RECORDS: Final = 2000
BY: Final = ("error", "job", "node")

_LONGEST: Final = 200  # characters of a message
_MOST_NAMED: Final = 20  # jobs of a group
_VARIABLE: Final = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+|'[^']*'|\"[^\"]*\"", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Alike failures.

    :ivar outcome: of the newest; groups by error have one outcome each
    :ivar error_type: likewise; None if there was no error
    :ivar message: the message of the error, or the reason; numbers, quoted texts and identifiers are "#"
    :ivar job_id: the job, in groups by job
    :ivar node: the node, in groups by node
    :ivar count: how many records
    :ivar share: of all records in the window, 0-1
    :ivar jobs: how many jobs
    :ivar job_ids: some of them
    :ivar first: when the oldest was due, UTC
    :ivar last: when the newest was due, UTC
    :ivar example: the newest, without its traceback
    """

    outcome: str
    error_type: str | None
    message: str
    job_id: str | None
    node: str | None
    count: int
    share: float
    jobs: int
    job_ids: tuple[str, ...]
    first: datetime
    last: datetime
    example: RunInfo


@dataclass(frozen=True, slots=True)
class ErrorGroups:
    """The failures of a window of time, grouped.

    :ivar groups: the largest first
    :ivar records: how many records were looked at
    :ivar since: the window begins here: later than asked for if there are more records than are looked at
    """

    groups: tuple[ErrorGroup, ...]
    records: int
    since: datetime


def checked_by(value: object) -> str:
    """The value, if it names what to group by. Raises ConfigurationError."""
    if value not in BY:
        raise ConfigurationError(f"by: expected one of {', '.join(BY)}, got {value!r}")
    return str(value)


def normalised(text: str | None) -> str:
    """The text with "#" for what differs between alike errors: numbers, hexadecimal numbers, quoted texts."""
    return _VARIABLE.sub("#", " ".join((text or "").split())[: 4 * _LONGEST])[:_LONGEST]


def groups_of_errors(records: Iterable[RunInfo], by: str, since: datetime, is_whole: bool) -> ErrorGroups:
    """The groups.

    :param records: of runs without success, the newest first
    :param by: one of BY
    :param since: the window that was asked for
    :param is_whole: these are all records of that window
    """
    found: dict[tuple[str | None, ...], list[RunInfo]] = {}
    oldest, total = since, 0
    for record in records:
        found.setdefault(_key(record, by), []).append(record)
        oldest, total = record.scheduled_at, total + 1
    groups = [_group(runs, by, total) for runs in found.values()]
    groups.sort(key=lambda group: (-group.count, group.outcome, group.message, group.job_id or group.node or ""))
    return ErrorGroups(tuple(groups), total, since if is_whole else oldest)


def _key(record: RunInfo, by: str) -> tuple[str | None, ...]:
    if by == "job":
        return (record.job_id,)
    if by == "node":
        return (record.node,)
    return record.outcome, record.error_type, _message(record)


def _message(record: RunInfo) -> str:
    return normalised(record.error_message if record.error_type is not None else record.reason)


def _group(runs: list[RunInfo], by: str, total: int) -> ErrorGroup:
    newest, ids = runs[0], list(dict.fromkeys(run.job_id for run in runs))
    return ErrorGroup(
        newest.outcome,
        newest.error_type,
        _message(newest),
        newest.job_id if by == "job" else None,
        newest.node if by == "node" else None,
        len(runs),
        len(runs) / total,
        len(ids),
        tuple(ids[:_MOST_NAMED]),
        min(run.scheduled_at for run in runs),
        newest.scheduled_at,
        newest,
    )
