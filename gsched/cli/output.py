"""Prints what commands find: data on stdout in one of four forms, everything else on stderr.

- table: for people, fitted to the terminal, the default there
- plain: a line for each row, its columns separated by tabs, no header; the default elsewhere
- json: one array, or one object
- jsonl: an object a line

Times are ISO 8601 with their offset, durations are seconds. Keys of JSON objects are the columns' names and do not
change; new ones may come.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple, TypeVar

import click

from gsched.cli.table import print_pairs, print_table
from gsched.errors import ConfigurationError
from gsched.shapes.shape import Shape, as_json
from gsched.times.instants import as_timezone
from gsched.wording import escaped

F = TypeVar("F", bound=Callable[..., Any])

FORMS: Final = ("table", "plain", "json", "jsonl")


class Column(NamedTuple):
    """A column of a table, or a key of a JSON object: its name, and the function that reads it from an item.

    :ivar wide: all forms but tables have the column
    :ivar in_table: reads the value for tables, if tables show it otherwise
    :ivar json_only: only JSON has the column
    """

    name: str
    value: Callable[[Any], Any]
    wide: bool = False
    in_table: Callable[[Any], Any] | None = None
    json_only: bool = False


def columns(
    shape: Shape,
    *,
    narrow: Collection[str] | None = None,
    in_table: Mapping[str, Callable[[Any], Any]] | None = None,
    json_only: Collection[str] = (),
) -> tuple[Column, ...]:
    """The columns of items that have this shape in JSON.

    :param narrow: the columns that tables have; None: all
    :param in_table: reads a column for tables, if tables show it otherwise than JSON
    :param json_only: the columns that only JSON has
    """
    own = in_table or {}
    return tuple(
        Column(name, value, narrow is not None and name not in narrow, own.get(name), name in json_only)
        for name, value in shape.items()
    )


class Output:
    """Prints rows.

    :param form: one of FORMS
    :param zone: times are shown in this zone; None: each in its own
    """

    def __init__(self, form: str, zone: tzinfo | None = None) -> None:
        self.form = form
        self.zone = zone

    def rows(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        """Print one row for each item, as they come."""
        if self.form == "json":
            self._json(columns, items)
        elif self.form == "jsonl":
            for item in items:
                click.echo(json.dumps(self._as_object(columns, item)))
        else:
            self._text([column for column in columns if not column.json_only], items)

    def _text(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        if self.form == "plain":
            for item in items:
                click.echo("\t".join(self._cells(columns, item)))
        else:
            shown = [column._replace(value=column.in_table or column.value) for column in columns if not column.wide]
            print_table([column.name for column in shown], (self._cells(shown, item) for item in items))

    def one(self, columns: Sequence[Column], item: Any) -> None:
        """Print one item: its columns under each other, or one JSON object."""
        if self.form in ("json", "jsonl"):
            click.echo(json.dumps(self._as_object(columns, item), indent=2 if self.form == "json" else None))
            return
        is_table = self.form == "table"
        reads = [(column.name, (is_table and column.in_table) or column.value) for column in columns]
        pairs = [(name, self.in_zone(read(item))) for name, read in reads]
        if is_table:
            print_pairs([(name, as_text(value)) for name, value in pairs])
        else:
            for name, value in pairs:
                click.echo(f"{name}\t{escaped(as_text(value))}")

    def _json(self, columns: Sequence[Column], items: Iterable[Any]) -> None:
        separator = "["
        for item in items:
            click.echo(f"{separator}\n{json.dumps(self._as_object(columns, item))}", nl=False)
            separator = ","
        click.echo("[]" if separator == "[" else "\n]")

    def _as_object(self, columns: Sequence[Column], item: Any) -> dict[str, Any]:
        return {column.name: as_json(self.in_zone(column.value(item))) for column in columns}

    def _cells(self, columns: Sequence[Column], item: Any) -> list[str]:
        return [escaped(as_text(self.in_zone(column.value(item)))) for column in columns]

    def in_zone(self, value: Any) -> Any:
        """A time in the user's zone; any other value unchanged."""
        return value.astimezone(self.zone) if self.zone is not None and isinstance(value, datetime) else value


def output_options(command: F) -> Callable[..., Any]:
    """Decorator: give the command -o/--output and --tz; it gets an Output as `out`."""

    @functools.wraps(command)
    def choose(*args: Any, output: str | None, tz: tzinfo | None, **options: Any) -> Any:
        form = output or ("table" if sys.stdout.isatty() else "plain")
        return command(*args, out=Output(form, tz), **options)

    said = "Default: table on a terminal, else plain.  [GSCHED_OUTPUT]"
    zone = click.option("--tz", metavar="ZONE", callback=_zone, help="Show times in this zone, such as Europe/Paris.")
    return click.option("-o", "--output", type=click.Choice(FORMS), envvar="GSCHED_OUTPUT", help=said)(zone(choose))


def _zone(ctx: click.Context, param: click.Parameter, value: str | None) -> tzinfo | None:
    try:
        return None if value is None else as_timezone(value)
    except ConfigurationError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def as_text(value: Any) -> str:
    """A value for people: times in ISO 8601 with their offset, "-" for nothing."""
    if isinstance(value, str):
        return str(value) or "-"
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(map(as_text, value)) or "-"
    plain = as_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain)
