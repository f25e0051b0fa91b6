"""How commands print text for people: what others named or wrote cannot move the cursor, or say what is not so."""

from __future__ import annotations

import click

from gsched.wording import escaped_lines


def say(text: str, *, err: bool = False) -> None:
    """Print text of one line or several; in each, what is not printable is shown escaped.

    :param err: on standard error
    """
    click.echo(escaped_lines(text), err=err)
