"""Finds lines of a crontab that are probably mistakes, and lines that belong into other programs' files."""

from __future__ import annotations

import pwd
import re
import shutil
from collections.abc import Iterator, Sequence
from typing import Final

# The first word of a command that looks like one more time field.
_TIME_FIELD: Final = re.compile(
    r"[\d*?][\d*/,-]*|(?:sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:[-,][a-z]{3})*",
    re.IGNORECASE,
)
_ANACRON: Final = re.compile(
    r"(?:\d+|@[a-z]+)\s+\d+\s+(?!(?:L(?:-\d+)?W?|H)\s)[A-Za-z][\w.-]*\s+\S.*",  # a day, not a job's name: L, LW, H
    re.IGNORECASE,
)
_ANACRON_SAID: Final = (
    "an anacrontab's line (period in days, delay in minutes, name, command): write a crontab's, with five time fields"
)
_FIELD_COUNT_SAID: Final = (
    "time fields, expected 5 (minute, hour, day of month, month, day of week): cron has none for seconds or years"
)


def why_foreign(line: str) -> str | None:
    """Why a line belongs into no crontab of Debian's cron; None if no other cron or anacron knows such a line."""
    if line.startswith("-"):
        return "a leading '-' (SUSE's cron: do not log) is not understood; leave it out"
    if _ANACRON.fullmatch(line):
        return _ANACRON_SAID
    words = line.split()
    count = next((place for place, word in enumerate(words) if not _TIME_FIELD.fullmatch(word)), len(words))
    # A command never begins with "*" or "?"; where it begins like another field, see doubts_about_command.
    if count > 5 and any(word.startswith(("*", "?")) for word in words[5:count]):
        return f"{count} {_FIELD_COUNT_SAID}"
    return None


def doubts_about_command(command: str, was_cut: bool) -> Iterator[str]:
    """Warnings about parts of a line that are probably mistakes.

    :param was_cut: True if a % ends the command
    """
    first = command.partition(" ")[0]
    if _TIME_FIELD.fullmatch(first):
        yield f"the command begins with {first!r}, as if it were one more time field: there are five"
    if was_cut and (_is_open(command) or command.endswith("+")):
        yield "% ends the command here, and the rest is its input; write \\%"


def doubts_about_user(name: str | None) -> Iterator[str]:
    """Warnings about the user who is to run a command."""
    if name is not None and not _is_user(name):
        yield f"there is no user {name!r} on this machine"


def suspected_user(commands: Sequence[str]) -> str | None:
    """The user whose name begins all commands, if it is no program's name. Such a file is a system crontab."""
    firsts = {command.split(None, 1)[0] for command in commands}
    name = firsts.pop() if len(firsts) == 1 else None
    return name if name is not None and _is_user(name) and shutil.which(name) is None else None


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _is_open(command: str) -> bool:
    """True if a shell would read on after the command's end: for a quote, a $( or a ` that is not closed."""
    closers: list[str] = []
    at = 0
    while at < len(command):
        here = command[at]
        inside = closers[-1] if closers else ""
        if here == inside:
            closers.pop()
        elif inside == "'":
            pass
        elif here == "\\":
            at += 1
        elif command.startswith("$(", at):
            closers.append(")")
            at += 1
        elif here in "\"`" or (here == "'" and inside != '"'):
            closers.append(here)
        at += 1
    return bool(closers)
