"""What a store keeps for notifiers: the notices that wait to be sent, and the state of each notifier's channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, NamedTuple, Protocol

from gsched.checks import is_whole
from gsched.notices.notice import Notice

BURST: Final = 5  # messages that a notifier sends at once; it may send five more in each of its periods
DELAY_MS: Final = 2000  # until a notice is due: the run's record is written meanwhile, and equal notices are counted
OUTPUT_DELAY_MS: Final = 6000  # the same for output, which nodes write some seconds later
KEPT_MS: Final = 7 * 86_400_000  # how long a notice stays that cannot be sent, or a failure that no success follows
_LONGEST_ERROR: Final = 300
_RETRY_MS: Final = (10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The state of a notifier's channel, for all nodes. Times are milliseconds since the epoch.

    :ivar notifier: the notifier's name
    :ivar rev: how often the state was written; each write is conditional on it
    :ivar holder: the node that sends for this notifier now; "" if none does
    :ivar held_until: when another node may take over
    :ivar tokens: how many messages could be sent at once at `tokens_at`
    :ivar sent_at: when the last message was sent; None if none was
    :ivar failed_at: when the last attempt failed; None if none did
    :ivar failing_since: when attempts began to fail; None if the last one succeeded
    :ivar error: why the last attempt failed
    :ivar tries: how many attempts have failed since then
    :ivar next_at: no attempt is made before this time
    """

    notifier: str
    rev: int = 0
    holder: str = ""
    held_until: int = 0
    tokens: float = BURST
    tokens_at: int = 0
    sent_at: int | None = None
    failed_at: int | None = None
    failing_since: int | None = None
    error: str = ""
    tries: int = 0
    next_at: int = 0

    def tokens_now(self, now: int, every_ms: int) -> float:
        """How many messages may be sent at once now."""
        return min(BURST, self.tokens + max(now - self.tokens_at, 0) * BURST / every_ms)

    def with_rev(self, rev: int) -> ChannelState:
        """The state as this revision."""
        return replace(self, rev=rev)

    def taken(self, holder: str, until: int) -> ChannelState:
        """The state while this node sends."""
        return replace(self, rev=self.rev + 1, holder=holder, held_until=until)

    def freed(self) -> ChannelState:
        """The state while no node sends."""
        return replace(self, rev=self.rev + 1, holder="", held_until=0)

    def sent(self, now: int, every_ms: int) -> ChannelState:
        """The state after a message was sent."""
        return replace(self.worked(now), tokens=self.tokens_now(now, every_ms) - 1, tokens_at=now)

    def worked(self, now: int) -> ChannelState:
        """The state after something was sent that does not count as a message."""
        return replace(self, sent_at=now, failing_since=None, error="", tries=0, next_at=0)

    def failed(self, now: int, error: str) -> ChannelState:
        """The state after a message could not be sent. The wait before the next attempt grows, up to ten minutes."""
        return replace(
            self,
            failed_at=now,
            failing_since=now if self.failing_since is None else self.failing_since,
            error=error[:_LONGEST_ERROR],
            tries=self.tries + 1,
            next_at=now + _RETRY_MS[min(self.tries, len(_RETRY_MS) - 1)],
        )


_NUMBERS: Final = ("rev", "held_until", "tokens_at", "tries", "next_at")
_TIMES: Final = ("sent_at", "failed_at", "failing_since")


def state_document(state: ChannelState) -> dict[str, Any]:
    """The state as a store keeps it."""
    return asdict(state)


def read_state(found: Mapping[str, Any]) -> ChannelState:
    """The state, from an object of `state_document`. Raises ValueError if a value is missing or wrong."""
    known: dict[str, Any] = {field.name: found.get(field.name) for field in fields(ChannelState)}
    for name in ("notifier", "holder", "error"):
        if not isinstance(known[name], str):
            raise ValueError(f"{name}: expected a text, got {type(known[name]).__name__}")
    for name in (*_NUMBERS, *(each for each in _TIMES if known[each] is not None)):
        if not is_whole(known[name], 0):
            raise ValueError(f"{name}: expected a whole number from 0, got {type(known[name]).__name__}")
    tokens = known["tokens"]
    if isinstance(tokens, bool) or not isinstance(tokens, (int, float)) or not -BURST <= tokens <= BURST:
        raise ValueError(f"tokens: expected a number from -{BURST} to {BURST}")
    return ChannelState(**known)


class OpenFailure(NamedTuple):
    """A failing job, and a notifier that has reported the failure or will. It reports the job's next success, too.

    :ivar due_at: when failures that are not reported yet are due; None if there are none
    """

    notifier: str
    jobstore: str
    job_id: str
    due_at: int | None


class Due(NamedTuple):
    """The notices that are to be sent now.

    :ivar notices: the longest due first
    :ivar broken: an error text for each notice that somebody has edited wrongly; such notices are removed
    """

    notices: Sequence[Notice]
    broken: Sequence[str] = ()


class Outbox(Protocol):
    """The notices that wait to be sent. Each method is atomic, and raises StoreError if the database fails."""

    def add(self, notices: Sequence[Notice]) -> None:
        """Keep notices.

        - If a notice with the same id is kept already, it gets the sum of both counts, and the later occurrence.
        - The notice is open.
        - A notice that is due already keeps its time. Otherwise it is due at the time of the new one, but not before
          the time that `told` has set.
        """

    def due(self, notifier: str, now: int, most: int) -> Due:
        """The notices that are to be sent now, at most `most`."""

    def told(self, notices: Sequence[Notice], next_at: int) -> None:
        """Subtract the occurrences that were sent, of notices that `due` has given.

        - A notice of a REPEATED kind stays. It is due again at `next_at` if it has got more occurrences meanwhile, and
          not before `next_at` if it gets more later.
        - Any other notice is removed, unless it has got more occurrences meanwhile.
        """

    def open_failures(self, most: int) -> Sequence[OpenFailure]:
        """The open notices of REPEATED kinds that are about a job, at most `most`."""

    def close(self, jobs: Sequence[tuple[str, str]]) -> None:
        """Close the notices of REPEATED kinds of these jobs. A job is named by its store's alias and its id."""

    def states(self) -> Sequence[ChannelState]:
        """The states of the channels that have sent something, or have tried to."""

    def swap_state(self, state: ChannelState) -> bool:
        """Write the state if the stored one has the revision before it. True if it was written."""

    def expire(self, now: int) -> None:
        """Remove notices that are closed and sent, and those older than `KEPT_MS`."""
