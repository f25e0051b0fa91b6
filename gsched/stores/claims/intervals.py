"""How often the claim protocol takes each step, and when each is due next."""

from __future__ import annotations

from dataclasses import dataclass

from gsched.times.clock import Clock


@dataclass(frozen=True)
class Intervals:
    """The protocol's intervals, in seconds."""

    tick: float = 0.1  # between two advances of the watermark
    idle_tick: float = 0.1  # the same while a node is alone and has nothing to do
    ahead: float = 0.25  # how far the watermark runs ahead of the clock
    membership: float = 0.5  # between two looks at the other nodes
    ttl: float = 10.0  # a node that is silent for this long is declared dead
    horizon: float = 300.0  # jobs due later stay in the database
    rescan: float = 20.0  # between two polls for changes that the feed may have missed
    long_run: float = 3.0  # a run in progress for this long is recorded
    clock: float = 10.0  # between two looks at the server's clock
    longest_retry: float = 2.0  # between two attempts while the database does not answer

    @property
    def longest_silence(self) -> float:
        """Between two advances, whatever there is to do. A newcomer may miss some and takes nobody for dead."""
        return min(self.idle_tick, self.ttl / 4)


class NextTimes:
    """When each periodic step is due next: at once, until `begin_anew` or `is_time` has set a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}

    def begin_anew(self, **later: float) -> None:
        """Make all steps due at once, except those named here: they are due in so many seconds."""
        self._next = {what: self._clock.monotonic() + seconds for what, seconds in later.items()}

    def is_time(self, what: str, every: float) -> bool:
        """True if the step is due. If so, it is due next in `every` seconds."""
        now = self._clock.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True
