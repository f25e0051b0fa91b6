"""How notifiers do: for people, and as a finding of the doctor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gsched.monitoring.doctor import OK, PROBLEM, Finding
from gsched.notices.outbox import ChannelState, Outbox
from gsched.times.durations import rough_duration
from gsched.times.instants import from_ms

CHECK: Final = "notifiers"
MOST_WAITING: Final = 1000  # notices of a notifier that are counted

_REMEDY: Final = "`gsched notify test NAME` tries again at once, and says what the server answers"


@dataclass(frozen=True, slots=True)
class NotifierStatus:
    """How a notifier does, whichever scheduler of the store sends its messages.

    :ivar name: its name
    :ivar sent_at: when a message was sent last; None if none was
    :ivar failed_at: when a message could not be sent last; None if all could
    :ivar failing_since: since when no message could be sent; None if the last one was sent
    :ivar error: why
    :ivar waiting: how many notices wait to be told, up to 1,000
    """

    name: str
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None
    waiting: int = 0


def statuses(outbox: Outbox, names: Iterable[str], now: int) -> list[NotifierStatus]:
    """How these notifiers do, and all others that have sent anything or tried to, by name."""
    known = {state.notifier: state for state in outbox.states()}
    return [
        _status(known.get(name) or ChannelState(name), len(outbox.due(name, now, MOST_WAITING).notices))
        for name in sorted({*names, *known})
    ]


def _status(state: ChannelState, waiting: int) -> NotifierStatus:
    sent, failed, since = (
        None if ms is None else from_ms(ms) for ms in (state.sent_at, state.failed_at, state.failing_since)
    )
    return NotifierStatus(state.notifier, sent, failed, since, state.error or None, waiting)


def notifier_finding(outbox: Outbox, now: int) -> Finding:
    """The doctor's finding about notifiers whose messages do not go out."""
    states = outbox.states()
    failing = [state for state in states if state.failing_since is not None]
    if not failing:
        return Finding(CHECK, OK, f"{len(states)} send messages" if states else "none has sent anything yet")
    told = "; ".join(
        f"{state.notifier}: no message was sent for {rough_duration((now - (state.failing_since or now)) / 1000)}"
        f" ({state.error})"
        for state in failing
    )
    return Finding(CHECK, PROBLEM, told, _REMEDY)
