"""The output of a run's attempt: its beginning and its end, in pieces that a store writes.

Pieces are numbered, and full pieces have one size. The first FIRST pieces stay. Each later piece has one of LAST
places, where it replaces the piece that is LAST pieces older. So a store writes most bytes once, however much a run
prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gevent.monkey import get_original

from gsched.checks import written_bytes

FIRST: Final = 8  # pieces of the beginning, which stay
LAST: Final = 8  # places for all later pieces
END: Final = FIRST + LAST  # the place of an empty piece, which marks the end
HELD_BYTES: Final = 32 << 20  # output that a node holds in memory at most

_allocate_lock = get_original("_thread", "allocate_lock")


class Piece(NamedTuple):
    """A part of an output.

    :ivar place: where the piece is kept; a later piece may replace it there
    :ivar number: how many pieces came before this one
    """

    place: int
    number: int
    content: bytes


class OutputRoom:
    """The room for output in a node's memory, shared by all attempts.

    :ivar most: how many bytes it has
    """

    def __init__(self, most: int = HELD_BYTES) -> None:
        self.most = most
        self._lock = _allocate_lock()  # never held across a switch of greenlets, nor is RunOutput's
        self._left = most

    def take(self, size: int) -> bool:
        """Take room for so many bytes. False if there is not enough."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    @property
    def left(self) -> int:
        """How many bytes are free."""
        return self._left

    def give(self, size: int) -> None:
        """Give back the room of so many bytes."""
        with self._lock:
            self._left += size


class RunOutput:
    """The output of one attempt. Greenlets and native threads may add to it. No method waits.

    :param most: how many bytes are kept
    :param room: the node's room for all outputs
    :ivar ended: True if the attempt has ended: `add` does nothing then
    :ivar is_empty: True if nothing was added
    """

    def __init__(self, most: int, room: OutputRoom) -> None:
        self._size = most // (FIRST + LAST)  # of a piece
        self._room = room
        self._lock = _allocate_lock()
        self._held: dict[int, tuple[int, bytearray]] = {}  # by place: the number and the content
        self._number = 0  # of the piece that grows
        self._taken = 0  # bytes of the room
        self._changed: set[int] = set()  # places
        self._is_cut = False
        self.ended = False
        self.is_empty = True

    def add(self, text: bytes) -> None:
        """Keep more output. If the node has no room, this output and all later output is left out, with a note."""
        with self._lock:
            if self.ended or self._is_cut or not text:
                return
            self.is_empty = False
            wanted = min(len(text), self._size * (FIRST + LAST))
            if self._room.take(wanted):
                self._taken += wanted
                self._append(text)
                self._give_back()
            else:
                self._is_cut = True
                bound = written_bytes(self._room.most)
                self._append(f"\n... the rest is left out: all output here is more than {bound} ...\n".encode())

    def end(self) -> None:
        """The attempt has ended."""
        with self._lock:
            self.ended = True
            if self._number or self._held:
                self._held[END] = self._number + 1, bytearray()
                self._changed.add(END)

    def _append(self, text: bytes) -> None:
        while text:
            place = self._number if self._number < FIRST else FIRST + (self._number - FIRST) % LAST
            number, content = self._held.get(place, (-1, bytearray()))
            if number != self._number:
                content = bytearray()
                self._held[place] = self._number, content
            self._changed.add(place)
            fits = self._size - len(content)
            content += text[:fits]
            text = text[fits:]
            if len(content) == self._size:
                self._number += 1
                if self._number >= FIRST and (surplus := len(text) // self._size - LAST) > 0:  # it would be replaced
                    self._number += surplus
                    text = text[surplus * self._size :]

    def _give_back(self) -> None:
        """Give back room that is not needed any more."""
        surplus = self._taken - sum(len(content) for _, content in self._held.values())
        if surplus > 0:
            self._taken -= surplus
            self._room.give(surplus)

    # -- for the store --------------------------------------------------------------------------------------------

    def pieces(self) -> list[Piece]:
        """All pieces in memory, in order."""
        with self._lock:
            return sorted((self._piece(place) for place in self._held), key=lambda piece: piece.number)

    def take(self) -> list[Piece]:
        """The pieces that have changed since the last `take`."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return [self._piece(place) for place in sorted(changed)]

    def _piece(self, place: int) -> Piece:
        number, content = self._held[place]
        return Piece(place, number, bytes(content))

    def written(self, pieces: Iterable[Piece]) -> None:
        """Drop those of these pieces from memory that do not change any more. All of them have been written."""
        with self._lock:
            for piece in pieces:
                is_final = self.ended or piece.number < self._number
                if is_final and piece.place not in self._changed and self._held[piece.place][0] == piece.number:
                    del self._held[piece.place]
            self._give_back()

    def put_back(self, pieces: Iterable[Piece]) -> None:
        """Make the next `take` give these pieces again, because they could not be written."""
        with self._lock:
            self._changed.update(piece.place for piece in pieces)

    def release(self) -> None:
        """Drop all pieces from memory."""
        with self._lock:
            self._held.clear()
            self._changed.clear()
            self._give_back()

    @property
    def is_written(self) -> bool:
        """True if the attempt has ended and nothing is left to be written."""
        return self.ended and not self._changed
