"""Rows of the tables of notifications."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from gsched.notices.notice import Notice, checked, details, read_details
from gsched.notices.outbox import ChannelState, read_state, state_document


def notice_row(notice: Notice) -> dict[str, Any]:
    """The row of a notice that is new."""
    return {
        "id": notice.id,
        "notifier": notice.notifier,
        "kind": notice.kind,
        "jobstore": notice.jobstore,
        "job_id": notice.job_id,
        "number": notice.count,
        "first_at": notice.first_at,
        "last_at": notice.last_at,
        "due_at": notice.due_at,
        "document": json.dumps(details(notice), ensure_ascii=False),
    }


def notice_in(row: Row[Any]) -> Notice:
    """The notice in a row. Raises ValueError for one that somebody has written by hand, and wrongly."""
    found = read_details(json.loads(row.document))
    notice = Notice(
        row.notifier, row.kind, count=row.number, first_at=row.first_at, last_at=row.last_at, due_at=row.due_at,
        told=row.told, **found,
    )  # fmt: skip
    return checked(notice, row.id)


def state_row(state: ChannelState) -> dict[str, Any]:
    """The row of a channel's state."""
    return {"name": state.notifier, "rev": state.rev, "document": json.dumps(state_document(state))}


def state_in(row: Row[Any]) -> ChannelState:
    """The state in a row; a new one if somebody has written it by hand, and wrongly."""
    try:
        return read_state({**json.loads(row.document), "notifier": row.name, "rev": row.rev})
    except (ValueError, TypeError):
        return ChannelState(row.name, row.rev)
