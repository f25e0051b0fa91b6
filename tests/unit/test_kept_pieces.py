"""Output in pieces: which parts are kept, within which bounds, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gsched.errors import StoreError
from gsched.history.outputs import output_of, plain
from gsched.jobs import output
from gsched.jobs.output import OutputRoom, Piece, RunOutput
from gsched.stores.durable import outputs
from gsched.stores.durable.answers import OutputPart
from gsched.stores.durable.outputs import OutputWriter
from gsched.testing import ManualClock


def shown(pieces: Sequence[Piece], after: int = 0, going_on: bool = False) -> tuple[str, int, int]:
    found = output_of("job@1", 1, pieces, after=after, going_on=going_on)
    return found.text, found.left_out, found.end


def kept(*texts: bytes, most: int = 1024) -> tuple[str, int, int]:
    made = RunOutput(most, OutputRoom())
    for text in texts:
        made.add(text)
    return shown(made.pieces())


@pytest.mark.parametrize("size", [1, 63, 64, 1000, 1024, 1025, 5000, 100_000])
@pytest.mark.parametrize("step", [1, 50, 4096])
def test_the_beginning_and_the_end_are_kept_however_output_comes(size, step):
    whole = "".join(f"{number:07}\n" for number in range(size // 8 + 1))[:size]
    text, left_out, end = kept(*(whole[at : at + step].encode() for at in range(0, size, step)))
    assert end == size
    if size <= 960:
        assert (text, left_out) == (whole, 0)
    first, _, last = text.partition("\n... ") if left_out else (text, "", "")
    last = last.partition(" left out ...\n")[2]
    assert whole.startswith(first) and whole.endswith(last) and len(first) + len(last) + left_out == size
    assert not left_out or (len(first) == 512 and 448 <= len(last) <= 512)


def test_output_after_a_place_begins_with_a_whole_character():
    pieces = [Piece(0, 0, "Grüße".encode()[:3])]
    assert shown(pieces, going_on=True) == ("Gr", 0, 2)
    pieces = [Piece(0, 0, "Grüße".encode())]
    assert shown(pieces, after=2) == ("üße", 0, 7)
    assert shown(pieces, after=7) == ("", 0, 7)
    assert shown([Piece(0, 0, b"a\xff\xfeb")])[0] == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07and\x1b[2J more\x1b(B\x9b2J", "red and more"),
        ("10%\r20%\r\ndone\r\n", "10%\n20%\ndone\n"),
        ("a\x00b\x08c\x7f\td \u202ee", "abc\td e"),
        ("cut \x1b", "cut "),
    ],
)
def test_text_has_nothing_that_moves_a_cursor(written, text):
    assert plain(written) == text


def test_a_node_without_room_leaves_out_the_rest_of_an_output_with_a_note():
    room = OutputRoom(2048)
    one, other = RunOutput(4096, room), RunOutput(4096, room)
    one.add(b"x" * 2000)
    other.add(b"y" * 40)
    other.add(b"y" * 40)
    one.release()
    other.add(b"it does not go on")
    text = "y" * 40 + "\n... the rest is left out: all output here is more than 2KiB ...\n"
    assert shown(other.pieces())[0] == text
    other.release()
    assert room.left == 2048


def attempt() -> Any:
    """An attempt at a run whose job keeps a KiB of output."""
    return SimpleNamespace(id="job@1", attempt=1, job=SimpleNamespace(policy=SimpleNamespace(keep_output_bytes=1024)))


class Written:
    """A database that takes output, or refuses it."""

    def __init__(self) -> None:
        self.parts: list[OutputPart] = []
        self.fails = False

    def write(self, parts: Sequence[OutputPart]) -> None:
        if self.fails:
            raise StoreError("gone")
        self.parts += parts

    def pieces(self) -> list[Piece]:
        """The content of the database: the last write to each place."""
        last = {piece.place: piece for part in self.parts for piece in part.pieces}
        return sorted(last.values(), key=lambda piece: piece.number)


def test_output_that_cannot_be_written_is_written_later_and_a_minute_has_a_bound(monkeypatch):
    monkeypatch.setattr(outputs, "WRITTEN_BYTES", 100)
    clock, database = ManualClock("2026-03-02 12:00"), Written()
    writer = OutputWriter(database.write, clock)
    run = attempt()
    writer.begin(run)
    database.fails = True
    run.output.add(b"a" * 90)
    assert not writer.flush()
    database.fails = False
    clock.skip(60_000)
    assert writer.flush() and shown(database.pieces())[0] == "a" * 90
    run.output.add(b"b" * 300)
    clock.skip(60_000)
    assert writer.flush()
    run.output.add(b"c")
    assert writer.flush() and not shown(database.pieces())[0].endswith("c")  # more than the bound in this minute
    writer.end(run.output)
    clock.skip(60_000)
    assert writer.flush() and shown(database.pieces())[0] == "a" * 90 + "b" * 300 + "c"
    assert database.parts[-1].ended
    assert writer._room.left == output.HELD_BYTES  # nothing is held any more
    count = len(database.parts)
    assert writer.flush() and len(database.parts) == count


def test_the_writer_writes_what_is_left_before_it_ends():
    clock, database = ManualClock("2026-03-02 12:00"), Written()
    writer = OutputWriter(database.write, clock)
    writing = gevent.spawn(writer.run)
    run = attempt()
    writer.begin(run)
    run.output.add(b"last words")
    writer.stop()
    writing.get(timeout=60)
    assert shown(database.pieces())[0] == "last words"
