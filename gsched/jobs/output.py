"""The output of a run's attempt: its first and its last part, in pieces that a store writes.

A piece has a number and, once it is full, a fixed size. The first pieces stay. Of those after them the last ones stay,
each in the place of an earlier one. So a store writes most bytes once, whatever a run prints and however long.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gevent.monkey import get_original

from gsched.checks import written_bytes

FIRST: Final = 8  # pieces of the beginning that stay
LAST: Final = 8  # places for the pieces after them
END: Final = FIRST + LAST  # the place of the piece that says that no other follows
HELD_BYTES: Final = 32 << 20  # output that a node holds in memory

_allocate_lock = get_original("_thread", "allocate_lock")


class Piece(NamedTuple):
    """A part of an output.

    :ivar place: where it is kept; a later piece may take the place of an earlier one
    :ivar number: how many pieces came before it
    """

    place: int
    number: int
    content: bytes


class OutputRoom:
    """How many bytes of output a node may hold in memory.

    :ivar most: so many, of all attempts together
    """

    def __init__(self, most: int = HELD_BYTES) -> None:
        self.most = most
        self._lock = _allocate_lock()  # never held across a switch of greenlets, as the lock below
        self._left = most

    def take(self, size: int) -> bool:
        """Take the room for so many bytes; False if there is none."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    @property
    def left(self) -> int:
        """How many bytes there is room for."""
        return self._left

    def give(self, size: int) -> None:
        """Give room back."""
        with self._lock:
            self._left += size


class RunOutput:
    """What one attempt prints. Greenlets and native threads may add to it; nothing here waits.

    :param most: so many bytes are kept
    :param room: the node's, for all outputs
    :ivar ended: the attempt has ended: nothing is added any more
    :ivar is_empty: nothing was added
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
        """Keep more output. If the node has no room, this and all that follows is left out, with a note."""
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
        """Give the room back that is not needed."""
        surplus = self._taken - sum(len(content) for _, content in self._held.values())
        if surplus > 0:
            self._taken -= surplus
            self._room.give(surplus)

    # -- for the store --------------------------------------------------------------------------------------------

    def pieces(self) -> list[Piece]:
        """All pieces that are held, in their order."""
        with self._lock:
            return sorted((self._piece(place) for place in self._held), key=lambda piece: piece.number)

    def take(self) -> list[Piece]:
        """The pieces that have changed since they were last taken."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return [self._piece(place) for place in sorted(changed)]

    def _piece(self, place: int) -> Piece:
        number, content = self._held[place]
        return Piece(place, number, bytes(content))

    def written(self, pieces: Iterable[Piece]) -> None:
        """These pieces have been written: do not hold those that do not change any more."""
        with self._lock:
            for piece in pieces:
                is_final = self.ended or piece.number < self._number
                if is_final and piece.place not in self._changed and self._held[piece.place][0] == piece.number:
                    del self._held[piece.place]
            self._give_back()

    def put_back(self, pieces: Iterable[Piece]) -> None:
        """These pieces could not be written: they have to be taken again."""
        with self._lock:
            self._changed.update(piece.place for piece in pieces)

    def release(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._held.clear()
            self._changed.clear()
            self._give_back()

    @property
    def is_written(self) -> bool:
        """True if the attempt has ended and nothing is left to be written."""
        return self.ended and not self._changed
