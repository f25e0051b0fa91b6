"""The state of notifiers, for people and as a finding of the doctor."""

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
MOST_WAITING: Final = 1000  # waiting notices of a notifier that are counted

_REMEDY: Final = "`gsched notify test NAME` sends a test message at once, and shows the error"


@dataclass(frozen=True, slots=True)
class NotifierStatus:
    """Whether a notifier's messages get through, whichever scheduler of the store sends them.

    Times are aware UTC datetimes.

    :ivar name: the notifier's name
    :ivar sent_at: when the last message was sent; None if none was
    :ivar failed_at: when the last failed attempt was made; None if none failed
    :ivar failing_since: when attempts began to fail; None if the last one succeeded
    :ivar error: why the last attempt failed; None if it succeeded
    :ivar waiting: how many notices are due and not sent yet, up to 1,000
    """

    name: str
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None
    waiting: int = 0


def statuses(outbox: Outbox, names: Iterable[str], now: int) -> list[NotifierStatus]:
    """The states of these notifiers, and of all others that have sent something or have tried to, by name."""
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
