"""From a crontab's entries to jobs: their ids, and add_job's arguments."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from gsched.runner.commands import RUN_COMMAND
from gsched.runner.crontab_lines import Entry
from gsched.runner.reboot import REBOOT_TAG

TAG: Final = "crontab"
_LONGEST_ID: Final = 60
_DIRECTORY = re.compile(r"(?<![^\s;&|(])[^\s;&|('\"]*/(?=[^\s/])")  # of the first word of each command in a line
_REDIRECTION = re.compile(r"(?:\d|&)?>[>&]?\s*\S+")
_SEPARATOR = re.compile(r"[^A-Za-z0-9._]+")


def crontab_definitions(
    entries: Iterable[Entry], file: str, prefix: str = "", user: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of each entry's job, and add_job's arguments for it.

    :param file: goes into the jobs' metadata, with the line
    :param prefix: what ids begin with
    :param user: who runs the commands of a crontab that does not say so itself
    """
    for job_id, entry in _with_ids(entries, prefix):
        yield job_id, {**_definition(entry, user), "metadata": {"crontab": file, "prefix": prefix, "line": entry.line}}


def _definition(entry: Entry, user: str | None) -> dict[str, Any]:
    who = entry.user or user
    options: dict[str, Any] = {"cwd": "~", "shell": entry.shell, "env": dict(entry.env), "stdin": entry.stdin}
    return {
        "func": RUN_COMMAND,
        "trigger": entry.trigger,
        "args": (entry.command,),
        "kwargs": {name: value for name, value in options.items() if value} | ({"user": who} if who else {}),
        "name": entry.command,
        "tags": (TAG, REBOOT_TAG) if entry.is_reboot else (TAG,),
    }


def _with_ids(entries: Iterable[Entry], prefix: str) -> Iterator[tuple[str, Entry]]:
    """Ids say what the command is. Alike ones are numbered by what else is in their lines, wherever these stand."""
    alike: Mapping[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        alike[readable(entry.command)].append(entry)
    taken = set(alike)
    for name, group in alike.items():
        first, *others = sorted(group, key=_content)
        yield prefix + name, first
        for entry in others:
            numbered = next(each for number in count(2) if (each := f"{name}-{number}") not in taken)
            taken.add(numbered)
            yield prefix + numbered, entry


def _content(entry: Entry) -> tuple[str, ...]:
    said = (entry.command, entry.schedule, entry.user or "", entry.shell, entry.stdin or "")
    return (*said, *(f"{name}={value}" for name, value in sorted(entry.env.items())))


def readable(command: str) -> str:
    """A short text for an id that tells which command it is."""
    words = _DIRECTORY.sub("", _REDIRECTION.sub(" ", command))
    text = _SEPARATOR.sub("-", words).strip("-.")
    if len(text) > _LONGEST_ID:
        text = text[: _LONGEST_ID + 1].rpartition("-")[0] or text[:_LONGEST_ID]
    return text or "command"
