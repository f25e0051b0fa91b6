"""gsched top."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from gsched.cli.arguments import Duration, jobstore_option
from gsched.cli.error_text import error_text
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.config import Configuration
from gsched.errors import StoreError
from gsched.runner.exit_codes import CommandRefused
from gsched.wording import escaped

if TYPE_CHECKING:
    from gsched.cli.commands.top_panels import Panel
    from gsched.monitoring.activity import Overview

_CLEAR: Final = "\x1b[H\x1b[2J"
_Look = Callable[[], "Overview"]
_Show = Callable[[Sequence["Panel"], str | None], None]


@click.command()
@configured(*PLACE, "probe")
@output_options
@click.option("--once", is_flag=True, help="Print one picture and end.")
@click.option("--interval", type=Duration(), default=2.0, metavar="DURATION", help="How often to look (2s).")
@jobstore_option
def top(
    configuration: Configuration, out: Output, once: bool, interval: float, jobstore: str | None
) -> None:
    """Show an overview that refreshes itself: trouble first, then runs, lateness, tags, jobs and nodes.

    Each scheduler publishes its activity every two seconds; "last minute" is the last minute of each. With --probe, or
    if jobs are in memory, the command asks one runner on its probe port. Ctrl-C ends it.
    """
    with _source(configuration, jobstore) as look:
        if once or out.form in ("json", "jsonl") or not sys.stdout.isatty():
            _once(look, out)
        else:
            with _screen() as show:
                _refresh(look, show, max(interval, 0.5))


@contextmanager
def _source(configuration: Configuration, jobstore: str | None) -> Iterator[_Look]:
    """The source of overviews: a runner's probe port, or the store."""
    if "probe" in configuration.flags or configuration.memory:
        from gsched.cli.overview_client import ask_overview
        from gsched.web.address import USUAL

        yield partial(ask_overview, configuration.probe or USUAL)
        return
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        yield partial(scheduler.admin.get_overview, jobstore)


def _once(look: _Look, out: Output) -> None:
    from gsched.cli.commands.top_panels import top_panels
    from gsched.shapes.overview import OVERVIEW

    overview = look()
    if out.form in ("json", "jsonl"):
        out.one(columns(OVERVIEW), overview)
    else:
        click.echo("\n".join(_text(top_panels(overview))))


def _refresh(look: _Look, show: _Show, interval: float) -> None:
    import gevent

    from gsched.cli.commands.top_panels import top_panels

    seen: Sequence[Panel] = ()
    while True:
        trouble = None
        try:
            seen = top_panels(look())
        except (StoreError, CommandRefused) as error:  # it may come back
            trouble = escaped(f"{error_text(error)[0]}; trying again")
        show(seen, trouble)
        gevent.sleep(interval)


# -- plain text -------------------------------------------------------------------------------------------------------


def _text(panels: Sequence[Panel]) -> Iterator[str]:
    for number, panel in enumerate(panels):
        if number:
            yield ""
        yield panel.title
        rows = [panel.header, *panel.rows]
        widths = [max(len(row[n]) for row in rows if n < len(row)) for n in range(len(panel.header))]
        for row in rows:
            yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


def _redraw(panels: Sequence[Panel], trouble: str | None) -> None:
    room = shutil.get_terminal_size()
    lines = [*([trouble] if trouble else ()), *_text(panels)]
    click.echo(_CLEAR + "\n".join(line[: room.columns] for line in lines[: room.lines - 1]))


# -- a terminal -------------------------------------------------------------------------------------------------------


@contextmanager
def _screen() -> Iterator[_Show]:
    """Something to show panels on: rich's live display where it is installed, else the terminal, redrawn."""
    try:
        from rich.live import Live
    except ImportError:
        yield _redraw
        return
    with Live(screen=True, auto_refresh=False) as live:
        yield lambda panels, trouble: live.update(_rendered(panels, trouble), refresh=True)


def _rendered(panels: Sequence[Panel], trouble: str | None) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = [Text(trouble, style="bold red")] if trouble else []
    for panel in panels:
        table = Table(title=panel.title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in panel.header:
            table.add_column(name, style="", header_style="dim", no_wrap=True)
        for row in panel.rows:
            table.add_row(*map(Text, row))
        parts += [table, Text("")]
    return Group(*parts)
