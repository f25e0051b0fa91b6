"""What a store keeps for notifiers: the notices that are to be told, and how each notifier's channel does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, NamedTuple, Protocol

from gsched.checks import is_whole
from gsched.notices.notice import Notice

BURST: Final = 5  # messages that a notifier sends at once; as many more become free in each of its periods
DELAY_MS: Final = 2000  # until it is told: its record is written meanwhile, and what comes at the same time is told too
OUTPUT_DELAY_MS: Final = 6000  # the same for output, which nodes keep some seconds later
KEPT_MS: Final = 7 * 86_400_000  # a notice that could not be told, or a failure that nothing followed
_LONGEST_ERROR: Final = 300
_RETRY_MS: Final = (10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000)


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How the channel of a notifier does, for all nodes. Times are milliseconds since the epoch.

    :ivar notifier: its name
    :ivar rev: how often the state was written: each write is conditional on it
    :ivar holder: the node that sends for this notifier now
    :ivar held_until: from then on another node may send
    :ivar tokens: how many messages may be sent at once, as of `tokens_at`
    :ivar sent_at: when a message was sent last; None if none was
    :ivar failed_at: when a message could not be sent last
    :ivar failing_since: since when none could be sent; None if the last one was sent
    :ivar error: why
    :ivar tries: how often that was tried
    :ivar next_at: nothing is sent before
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
        """The state once this node sends."""
        return replace(self, rev=self.rev + 1, holder=holder, held_until=until)

    def freed(self) -> ChannelState:
        """The state once no node sends."""
        return replace(self, rev=self.rev + 1, holder="", held_until=0)

    def sent(self, now: int, every_ms: int) -> ChannelState:
        """The state after a message was sent."""
        return replace(self.worked(now), tokens=self.tokens_now(now, every_ms) - 1, tokens_at=now)

    def worked(self, now: int) -> ChannelState:
        """The state after something was sent that is not counted."""
        return replace(self, sent_at=now, failing_since=None, error="", tries=0, next_at=0)

    def failed(self, now: int, error: str) -> ChannelState:
        """The state after a message could not be sent: the next attempt follows later and later, up to ten minutes."""
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
    """The state that `state_document` has given. Raises ValueError for what somebody wrote by hand, and wrongly."""
    known: dict[str, Any] = {field.name: found.get(field.name) for field in fields(ChannelState)}
    for name in ("notifier", "holder", "error"):
        if not isinstance(known[name], str):
            raise ValueError(f"{name}: expected a text, got {type(known[name]).__name__}")
    for name in (*_NUMBERS, *(each for each in _TIMES if known[each] is not None)):
        if not is_whole(known[name], 0):
            raise ValueError(f"{name}: expected a whole number from 0, got {type(known[name]).__name__}")
    tokens = known["tokens"]
    if isinstance(tokens, bool) or not isinstance(tokens, (int, float)) or not -BURST <= tokens <= BURST:
        raise ValueError("tokens: expected a number that a notifier can have")
    return ChannelState(**known)


class OpenFailure(NamedTuple):
    """A job of which a notifier was or will be told that it failed, and whose success it is to be told, too.

    :ivar due_at: when further failures are told; None if all were
    """

    notifier: str
    jobstore: str
    job_id: str
    due_at: int | None


class Due(NamedTuple):
    """What is to be told.

    :ivar notices: the longest due first
    :ivar broken: about each notice that somebody wrote by hand, and wrongly: it was removed
    """

    notices: Sequence[Notice]
    broken: Sequence[str] = ()


class Outbox(Protocol):
    """The notices that are to be told. Each method is atomic, and raises StoreError if the database fails."""

    def add(self, notices: Sequence[Notice]) -> None:
        """Keep notices.

        One that is known by its id gets their count, and what they say of the last occurrence. It is open, and due when
        it was, else not before the time that `told` has set for it.
        """

    def due(self, notifier: str, now: int, most: int) -> Due:
        """The notices that are to be told now."""

    def told(self, notices: Sequence[Notice], next_at: int) -> None:
        """Subtract what was told: `due` has given these.

        Those of REPEATED kinds stay, and are due again at `next_at`, if more of them have been added or are. All others
        are removed, unless more have been added.
        """

    def open_failures(self, most: int) -> Sequence[OpenFailure]:
        """The jobs with notices of REPEATED kinds that are open, each for each of its notifiers."""

    def close(self, jobs: Sequence[tuple[str, str]]) -> None:
        """Close the notices of REPEATED kinds of these jobs, each named by its store's alias and its id."""

    def states(self) -> Sequence[ChannelState]:
        """How the channels do that have sent anything, or tried to."""

    def swap_state(self, state: ChannelState) -> bool:
        """Keep the state, if the one that is kept has the revision before; whether that is so."""

    def expire(self, now: int) -> None:
        """Remove what was closed and told, and what is older than `KEPT_MS`."""
