"""Prints text for people. Names and texts of others are escaped: they cannot move the cursor or forge a line."""

from __future__ import annotations

import shlex

import click

from gsched.wording import escaped_lines


def say(text: str, *, err: bool = False) -> None:
    """Print one or several lines of text; unprintable characters are escaped.

    :param err: on standard error
    """
    click.echo(escaped_lines(text), err=err)


def say_next(place: str | None) -> None:
    """Say on standard error where the next page of a list begins, if there is one."""
    if place is not None:
        say(f"gsched: more follow: --after {shlex.quote(place)}", err=True)
