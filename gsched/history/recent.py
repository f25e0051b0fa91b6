"""The last outcomes of each job: a ring of whole numbers in memory; in a database a text, eight characters an outcome.

A number, "packed", has the millisecond at which the run was due, how late it was, how long it took, and its outcome.
Most runs that succeed are packed as `scheduled << SHIFT | lateness << HALF | duration`, which needs no call.

A text is the outcomes one after the other, the oldest first. Of each, five characters are the second, by 64 and modulo
64 to the fifth; one is the lateness, one the duration, one the outcome. Lateness and duration are in steps that grow
by a third, so that 64 steps reach from a millisecond to two days.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from gsched.errors import ConfigurationError
from gsched.jobs.outcomes import Outcome
from gsched.times.instants import from_ms

KEPT: Final = 32  # outcomes of a job; a power of 2
LAST: Final = KEPT - 1  # of a ring; a number & LAST is its place there
CHARACTERS: Final = 8  # of an entry in a text

HALF: Final = 10
SHORT_MS: Final = 1 << HALF  # shorter durations are packed exactly
SHIFT: Final = 2 * HALF + 2

_GROWTH: Final = 1.35
_LATE: Final = 1 << 2 * HALF  # set if the lateness is in units of _UNIT_MS
_BY_STEPS: Final = 2 << 2 * HALF  # set if the rest is two steps and an outcome: 6, 6 and 4 bits
_BOUNDS: Final = tuple(round(_GROWTH**number) for number in range(63))  # ms, of the steps but for the last
_OUTCOMES: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.RETRIED)  # those of instants
_CODES: Final[dict[Outcome, int]] = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
_SUCCEEDED: Final = Outcome.SUCCEEDED
_UNIT_MS: Final = 256
_LATEST_MS: Final = _UNIT_MS << HALF
_LETTERS: Final = "sftcmkolr"  # of the outcomes, in their order
LETTERS: Final = {str(outcome): letter for outcome, letter in zip(_OUTCOMES, _LETTERS)}
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_SECONDS: Final = 64**5
_AHEAD: Final = 86_400  # seconds by which an entry may be ahead of the clock that reads it


class RecentOutcome(NamedTuple):
    """One of a job's last outcomes.

    :ivar scheduled_at: when it was due, UTC, in whole seconds
    :ivar outcome: one of `Outcome`
    :ivar lateness: how many seconds late it started, about; 0 if it did not start
    :ivar duration: how many seconds it took, about
    """

    scheduled_at: datetime
    outcome: str
    lateness: float
    duration: float


def checked_recent(value: object) -> int:
    """The option `history_recent`: KEPT, or 0 to keep none. Raises ConfigurationError for any other value."""
    if isinstance(value, bool) or value not in (0, KEPT):
        raise ConfigurationError(f"history_recent: expected {KEPT} or 0, got {value!r}")
    return KEPT if value else 0


def step_of(milliseconds: int) -> int:
    """The step of a lateness or a duration: 0 for a millisecond and less, 63 for the longest."""
    return bisect_left(_BOUNDS, milliseconds)


def packed(scheduled_ms: int, lateness_ms: int, duration_ms: int, outcome: Outcome) -> int:
    """An outcome as a whole number of 64 bits. It is called for every run if too much is due."""
    if outcome is _SUCCEEDED and 0 <= duration_ms < SHORT_MS and 0 <= lateness_ms < _LATEST_MS:
        if lateness_ms < SHORT_MS:
            return scheduled_ms << SHIFT | lateness_ms << HALF | duration_ms
        return scheduled_ms << SHIFT | (_LATE | lateness_ms // _UNIT_MS << HALF | duration_ms)
    steps = step_of(lateness_ms) << 10 | step_of(duration_ms) << 4
    return scheduled_ms << SHIFT | _BY_STEPS | steps | _CODES[outcome]


class _PackedSteps(NamedTuple):
    """The content of both forms."""

    second: int
    lateness: int  # a step
    duration: int  # a step
    outcome: int

    def read(self) -> RecentOutcome:
        at, outcome = from_ms(self.second * 1000), str(_OUTCOMES[self.outcome])
        return RecentOutcome(at, outcome, _seconds(self.lateness), _seconds(self.duration))


def _unpacked(number: int) -> _PackedSteps:
    second = (number >> SHIFT) // 1000
    if number & _BY_STEPS:
        return _PackedSteps(second, number >> 10 & 63, number >> 4 & 63, number & 15)
    late = number >> HALF & SHORT_MS - 1
    if number & _LATE:
        late = late * _UNIT_MS + _UNIT_MS // 2
    return _PackedSteps(second, step_of(late), step_of(number & SHORT_MS - 1), 0)


def read_packed(numbers: Iterable[int]) -> tuple[RecentOutcome, ...]:
    """The outcomes, in the same order."""
    return tuple(_unpacked(number).read() for number in numbers)


def text_of(numbers: Iterable[int]) -> str:
    """The packed outcomes as text."""
    return "".join(_text(_unpacked(number)) for number in numbers)


def _text(entry: _PackedSteps) -> str:
    second = "".join(_DIGITS[entry.second >> shift & 63] for shift in (24, 18, 12, 6, 0))
    return second + _DIGITS[entry.lateness] + _DIGITS[entry.duration] + _LETTERS[entry.outcome]


def read_text(text: object, now_ms: int) -> tuple[RecentOutcome, ...]:
    """The outcomes in a text, the oldest first; characters that are no entry are left out.

    :param now_ms: the time; it decides between times that lie 34 years apart
    """
    return tuple(_read_text(text, now_ms)) if isinstance(text, str) else ()


def _read_text(text: str, now_ms: int) -> Iterator[RecentOutcome]:
    latest = now_ms // 1000 + _AHEAD
    for begin in range(0, len(text) - CHARACTERS + 1, CHARACTERS):
        letter = text[begin + CHARACTERS - 1]
        values = [_VALUES.get(digit, -1) for digit in text[begin : begin + CHARACTERS - 1]]
        if min(values) < 0 or letter not in _LETTERS:
            continue
        *seconds, lateness, duration = values
        code = sum(value << shift for value, shift in zip(seconds, (24, 18, 12, 6, 0)))
        entry = _PackedSteps(latest - (latest - code) % _SECONDS, lateness, duration, _LETTERS.index(letter))
        yield entry.read()


def _seconds(step: int) -> float:
    """About how long a step is: its geometric middle, in seconds."""
    return 0.0 if step == 0 else round(_GROWTH ** (step - 0.5)) / 1000
