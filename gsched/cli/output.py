"""What commands print: data on stdout in one of four forms, all else on stderr."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FORMS = ("table", "plain", "json", "jsonl")
_MEASURED = 500  # rows that a table looks at to find its widths: 10^6 jobs must not be held in memory


class Column(NamedTuple):
    """A column, or the key of a JSON object: its name, and how it is got from what is listed."""

    name: str
    value: Callable[[Any], Any]


class Output:
    """Prints rows.

    :param form: table (for people), plain (tab-separated, no header), json (one array) or jsonl (an object a line)
    """

    def __init__(self, form: str) -> None:
        self.form = form

    def rows(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        """Print one row for each item, as they come."""
        if self.form == "json":
            self._json(columns, items)
        elif self.form == "jsonl":
            for item in items:
                click.echo(json.dumps(_as_object(columns, item)))
        elif self.form == "plain":
            for item in items:
                click.echo("\t".join(_one_line(as_text(column.value(item))) for column in columns))
        else:
            self._table(columns, items)

    def one(self, columns: Sequence[Column], item: Any) -> None:
        """Print one item: its columns under each other, or one JSON object."""
        if self.form in ("json", "jsonl"):
            click.echo(json.dumps(_as_object(columns, item), indent=2 if self.form == "json" else None))
            return
        width = max(len(column.name) for column in columns)
        for column in columns:
            text = as_text(column.value(item))
            is_table = self.form == "table"
            click.echo(f"{column.name:<{width}}  {text}" if is_table else f"{column.name}\t{_one_line(text)}")

    def _json(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        separator = "["
        for item in items:
            click.echo(f"{separator}\n{json.dumps(_as_object(columns, item))}", nl=False)
            separator = ","
        click.echo("[]" if separator == "[" else "\n]")

    def _table(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        names = [column.name.upper().replace("_", " ") for column in columns]
        cells = ([_one_line(as_text(column.value(item))) for column in columns] for item in items)
        first = list(islice(cells, _MEASURED))
        widths = [max(map(len, each)) for each in zip(names, *first)]
        click.echo(click.style(_aligned(names, widths), bold=True))
        for row in first:
            click.echo(_aligned(row, widths))
        for row in cells:
            click.echo(_aligned(row, widths))


def output_options(command: F) -> Callable[..., Any]:
    """Decorator: give the command -o/--output; it gets an Output as `out`."""

    @functools.wraps(command)
    def choose(*args: Any, output: str | None, **options: Any) -> Any:
        form = output or ("table" if sys.stdout.isatty() else "plain")
        return command(*args, out=Output(form), **options)

    said = "Default: table on a terminal, else plain."
    return click.option("-o", "--output", type=click.Choice(FORMS), envvar="GSCHED_OUTPUT", help=said)(choose)


def as_text(value: Any) -> str:
    """A value for people: times in ISO 8601 with their offset, "-" for nothing."""
    if value is None or value == [] or value == "":
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(map(as_text, value))
    plain = as_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def as_json(value: Any) -> Any:
    """A value in JSON's types: times as ISO 8601, durations as seconds; what has no form there as its repr."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_json(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)


def _as_object(columns: Sequence[Column], item: Any) -> dict[str, Any]:
    return {column.name: as_json(column.value(item)) for column in columns}


def _one_line(text: str) -> str:
    """Ids may hold anything: what would move a terminal's cursor, or break a line in two, is shown escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
