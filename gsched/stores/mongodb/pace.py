"""How often the claim protocol does what, and when it is due next."""

from __future__ import annotations

from dataclasses import dataclass

from gsched.clock import Clock


@dataclass(frozen=True)
class Pace:
    """How often, how far ahead, how long: all in seconds."""

    tick: float = 0.1  # between two advances of the watermark
    ahead: float = 0.25  # how far the watermark runs before the clock
    membership: float = 0.5  # between two looks at the other nodes
    ttl: float = 10.0  # a node that is silent for so long is dead
    horizon: float = 300.0  # jobs due later stay in the database
    rescan: float = 20.0  # between two polls for changes that the feed may have missed
    long_run: float = 3.0  # a run in progress for so long is written down
    clock: float = 10.0  # between two looks at the server's clock
    longest_retry: float = 2.0  # between two attempts while the database does not answer


class Rhythm:
    """When things that are done again and again are due next: at once, if nothing else was said."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}

    def begin_anew(self, **later: float) -> None:
        """All is due at once, but for what is named here: in so many seconds."""
        self._next = {what: self._clock.monotonic() + seconds for what, seconds in later.items()}

    def is_time(self, what: str, every: float) -> bool:
        """Whether it is due; if so, it is next in `every` seconds."""
        now = self._clock.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every
        return True

    def until(self, what: str) -> float:
        """In how many seconds it is due."""
        return self._next.get(what, 0.0) - self._clock.monotonic()
