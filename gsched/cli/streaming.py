"""Prints items as they come: a line for each, at once, until the reader is gone."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from gsched.cli.output import Column, Output, as_text
from gsched.cli.printing import say
from gsched.wording import escaped, without_noise

if TYPE_CHECKING:
    from gsched.monitoring.cluster_events import StoreEvent
    from gsched.schedulers.gevent import GeventScheduler

_WIDEST: Final = 48  # a column grows with what comes, up to here


def print_stream(out: Output, columns: Sequence[Column], items: Iterable[Any]) -> None:
    """Print items as they come. A stream has no end: as JSON, it is an object a line."""
    if out.form == "table":
        _print_aligned(out, [column for column in columns if not column.wide], items)
    else:
        Output("plain" if out.form == "plain" else "jsonl", out.zone).rows(columns, items)


def _print_aligned(out: Output, columns: Sequence[Column], items: Iterable[Any]) -> None:
    widths = [0] * len(columns)
    for item in items:
        values = [column.value(item) for column in columns]
        cells = [escaped(as_text(out.in_zone(value))) for value in values]
        widths = [max(width, min(len(cell), _WIDEST)) for width, cell in zip(widths, cells, strict=True)]
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def followed(scheduler: GeventScheduler, jobstore: str | None) -> Iterator[StoreEvent]:
    """The events from now on. Those about the feed itself are also written to stderr."""
    is_known = False
    for event in scheduler.admin.follow(jobstore, stop=reader_watch()):
        if event.name == "feed.opened":
            _note("following again" if is_known else "following; Ctrl-C ends it")
            is_known = True
        elif event.name == "feed.lost":
            reason = without_noise(event.details["reason"])
            _note(f"the feed broke; events until it is back are not shown: {reason}")
        elif event.name == "feed.unsupported":
            _note(f"following by a look every second: {without_noise(event.details['reason'])}")
        yield event


def _note(text: str) -> None:
    say(f"gsched: {text}", err=True)


def reader_watch() -> Callable[[], bool]:
    """A function that returns True once the reader of our output is gone; a write would show it one line later."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return lambda: False
    from gevent.monkey import get_original

    poll = get_original("select", "poll")()
    poll.register(number, 0)
    gone = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return lambda: any(event & gone for _, event in poll.poll(0))
