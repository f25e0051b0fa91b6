"""The kept output of an attempt, for users."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from gsched.history.queries import RUNNING, RunInfo
from gsched.jobs.output import END, Piece
from gsched.times.instants import to_ms

LATE_MS: Final = 5000  # so long after the end of an attempt, its last output may be written

_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))  # no character begins with one of these
_Decoder: Final = codecs.getincrementaldecoder("utf-8")
# What moves a terminal's cursor, sets its colours or its title.
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class StoredOutput(NamedTuple):
    """What a store has of the output of an attempt.

    :ivar pieces: in their order
    """

    attempt: int
    pieces: tuple[Piece, ...]

    @property
    def has_ended(self) -> bool:
        """True if no other piece follows."""
        return bool(self.pieces) and self.pieces[-1].place == END


@dataclass(frozen=True, slots=True)
class KeptOutput:
    """The output of an attempt at a run, as far as it is kept.

    :ivar text: its beginning and its end, without what would move a terminal's cursor; "... 12 KiB left out ..." stands
        for what is missing between them
    :ivar left_out: how many bytes are missing there
    :ivar end: how many bytes have come: where more output would go on
    :ivar going_on: more may come: the attempt goes on, or has ended some seconds ago
    """

    run_id: str
    attempt: int
    text: str
    left_out: int
    end: int
    going_on: bool

    @property
    def truncated(self) -> bool:
        """True if something is missing."""
        return self.left_out > 0


def is_going_on(stored: StoredOutput | None, record: RunInfo | None, now: int) -> bool:
    """True if more output may come.

    :param record: the attempt's; None: there is none yet
    :param now: ms
    """
    if stored is not None and stored.has_ended:
        return False
    if record is None or record.outcome == RUNNING:
        return True
    return now - to_ms(record.finished_at or record.scheduled_at) < LATE_MS


def output_of(
    run_id: str, attempt: int, pieces: Iterable[Piece], *, after: int = 0, going_on: bool
) -> KeptOutput:
    """The output that pieces are.

    :param pieces: in their order
    :param after: how many bytes of its beginning are not wanted
    :param going_on: more may come: half a character at the end is left for later
    """
    text, end, left_out, size = "", after, 0, 0
    decoder = _Decoder("replace")
    for place, number, content in pieces:
        length = len(content)
        size = size or length  # all pieces but the last one are as long as the first
        start = number * size
        if place == END or start + length <= end:
            continue
        if start > end:
            left_out += start - end
            text += f"\n... {_about(start - end)} left out ...\n"
            decoder = _Decoder("replace")
            content = content.lstrip(_CONTINUATIONS)
        else:
            content = content[end - start :]
        text += decoder.decode(content)
        end = start + length
    if going_on:
        end -= len(decoder.getstate()[0])
    else:
        text += decoder.decode(b"", final=True)
    return KeptOutput(run_id, attempt, plain(text), left_out, end, going_on)


def _about(size: int) -> str:
    """A size for people."""
    for unit, bytes_of_it in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= bytes_of_it:
            return f"{size / bytes_of_it:.3g} {unit}" if size < 100 * bytes_of_it else f"{size // bytes_of_it} {unit}"
    return f"{size} bytes"


def plain(text: str) -> str:
    """The text without escapes of terminals and characters that would move a cursor. A lone carriage return begins a
    new line: a terminal would overwrite what is before it."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("", text)
