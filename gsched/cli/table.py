"""Tables for people: as wide as their content, and not wider than the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final
from unicodedata import combining, east_asian_width

import click

from gsched.wording import escaped

_MEASURED: Final = 500  # rows that are looked at to find the widths: 10^6 jobs must not be held in memory
_NARROWEST: Final = 12  # columns are not cut to less
_GAP: Final = "  "
_COLOURS: Final = {
    **dict.fromkeys(("failed", "timed_out", "lost", "parked", "dead", "error", "unhealthy"), "red"),
    **dict.fromkeys(("paused", "missed", "skipped", "cancelled", "draining", "silent", "warning"), "yellow"),
    **dict.fromkeys(("succeeded", "alive", "ok"), "green"),
    **dict.fromkeys(("running",), "cyan"),
}
_COLOURED: Final = frozenset({"state", "outcome", "status"})


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a header, as they come. On a terminal, the widest columns are cut so that a row is a line."""
    remaining = iter(rows)
    first = list(islice(remaining, _MEASURED))
    header = [name.upper().replace("_", " ") for name in names]
    widths = [max(map(_width, each)) for each in zip(header, *first)]
    is_terminal = sys.stdout.isatty()
    if is_terminal:
        widths = _fitted(widths, shutil.get_terminal_size().columns)
    click.echo(click.style(_aligned(header, widths), bold=True))
    for row in chain(first, remaining):
        cells = [_cut(cell, width) for cell, width in zip(row, widths)] if is_terminal else row
        click.echo(_aligned(cells, widths, [_colour(name, cell) for name, cell in zip(names, row)]))


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values under each other; values of several lines are indented."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        first, *others = map(escaped, value.rstrip("\n").split("\n"))
        click.echo(f"{click.style(name.ljust(width), bold=True)}{_GAP}{click.style(first, _colour(name, value))}")
        for line in others:
            click.echo(f"{' ' * width}{_GAP}{line}")


def _colour(name: str, cell: str) -> str | None:
    return _COLOURS.get(cell.partition(" ")[0]) if name in _COLOURED else None  # "paused by ops: vendor down"


def _fitted(widths: list[int], room: int) -> list[int]:
    """The widths of the columns. The widest columns are cut until the table fits, as far as possible."""
    widths, room = list(widths), room - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _width(text: str) -> int:
    """How many places on a terminal it takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def _aligned(cells: Sequence[str], widths: Sequence[int], colours: Sequence[str | None] = ()) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
    styled = [click.style(cell, colour) if colour else cell for cell, colour in zip(padded, colours)] or padded
    return _GAP.join(styled).rstrip()
