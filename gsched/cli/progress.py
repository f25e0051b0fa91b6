"""Shows the progress of long work on stderr, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

_PICTURES: Final = 200  # of a bar; more would take longer than the work


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], object]]:
    """Gives a function that takes the amount of work done so far. Shows a bar if the total is known."""
    if not sys.stderr.isatty():
        yield lambda done: None
    elif total is None:
        yield lambda done: click.echo(f"\r{label}  {done}", nl=False, err=True)
        click.echo(err=True)
    else:
        with click.progressbar(range(total), label=label, file=sys.stderr, show_pos=True) as bar:
            yield lambda done: _draw(bar, done, total)


def _draw(bar: Any, done: int, total: int) -> None:
    if done - bar.pos >= total // _PICTURES or done >= total:
        bar.update(done - bar.pos)
