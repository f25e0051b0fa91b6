"""Asks before a change that cannot be undone, or that concerns many jobs."""

from __future__ import annotations

import sys

import click

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal to ask on.")


def confirm(question: str, yes: bool) -> None:
    """Go on only with --yes, or with a yes on the terminal. Raises click.UsageError or click.Abort."""
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{question} There is no terminal to ask on: write --yes.")
    click.confirm(question, abort=True, err=True)
