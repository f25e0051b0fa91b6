"""Makes jobs from a crontab's entries: their ids, and the arguments of add_job."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gsched.runner.commands import RUN_COMMAND
from gsched.runner.crontab.lines import CrontabEntry
from gsched.runner.crontab.reboot import REBOOT_TAG
from gsched.runner.origins import CRONTAB, LINE, PREFIX
from gsched.triggers import BaseTrigger

TAG: Final = "crontab"
MAIL: Final = "mailto:"  # begins the names of the notifiers that MAILTO makes
MAILED_OUTPUT: Final = 65_536  # bytes that are kept of the output of a run, where it is mailed
_LONGEST_ID: Final = 60
_DIRECTORY = re.compile(r"(?<![^\s;&|(])[^\s;&|('\"]*/(?=[^\s/])")  # of the first word of each command in a line
_REDIRECTION = re.compile(r"(?:\d|&)?>[>&]?\s*\S+")
_SEPARATOR = re.compile(r"[^A-Za-z0-9._]+")


class CrontabLine(NamedTuple):
    """The parts of a stored job by which the job of an imported line is found again."""

    command: str
    user: str | None
    trigger: BaseTrigger


NOTHING_KNOWN: Final[Mapping[str, CrontabLine]] = MappingProxyType({})


def crontab_definitions(
    entries: Iterable[CrontabEntry],
    file: str,
    prefix: str = "",
    user: str | None = None,
    known: Mapping[str, CrontabLine] = NOTHING_KNOWN,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of each entry's job, and the arguments of add_job for it.

    A line that has a job keeps the job's id, even if the line has moved or other lines have changed.

    :param file: the crontab's path, for the jobs' metadata
    :param prefix: the beginning of the ids
    :param user: the user who runs the commands of entries that name none; None: the runner's
    :param known: the lines that have jobs, by the jobs' ids
    """
    for job_id, entry in _with_ids(list(entries), prefix, user, known):
        yield job_id, {**_definition(entry, user), "metadata": {CRONTAB: file, PREFIX: prefix, LINE: entry.line}}


def _definition(entry: CrontabEntry, user: str | None) -> dict[str, Any]:
    who = entry.user or user
    options: dict[str, Any] = {"cwd": "~", "shell": entry.shell, "env": dict(entry.env), "stdin": entry.stdin}
    return {
        "func": RUN_COMMAND,
        "trigger": entry.trigger,
        "args": (entry.command,),
        "kwargs": {name: value for name, value in options.items() if value} | ({"user": who} if who else {}),
        "name": entry.command,
        "tags": (TAG, REBOOT_TAG) if entry.is_reboot else (TAG,),
        "notify": tuple(MAIL + address for address in entry.mail_to),
        "keep_output": MAILED_OUTPUT if entry.mail_to else None,
    }


def _with_ids(
    entries: Sequence[CrontabEntry], prefix: str, user: str | None, known: Mapping[str, CrontabLine]
) -> Iterator[tuple[str, CrontabEntry]]:
    ids = _kept_ids(entries, user, known)
    ids |= _new_ids({number: entry for number, entry in enumerate(entries) if number not in ids}, prefix, ids.values())
    return ((ids[number], entry) for number, entry in enumerate(entries))


def _kept_ids(entries: Sequence[CrontabEntry], user: str | None, known: Mapping[str, CrontabLine]) -> dict[int, str]:
    """The ids of the jobs that entries have already, by the entries' numbers.

    A job with the same command and schedule is taken first, then a job whose schedule has changed.
    """
    free: dict[tuple[str, str | None], dict[str, CrontabLine]] = defaultdict(dict)
    for job_id, line in known.items():
        free[line.command, line.user][job_id] = line
    kept: dict[int, str] = {}
    for needs_schedule in (True, False):
        for number, entry in enumerate(entries):
            lines = free.get((entry.command, entry.user or user), {}) if number not in kept else {}
            for job_id, line in lines.items():
                if not needs_schedule or entry.trigger.for_job(job_id).same_schedule(line.trigger):
                    kept[number] = job_id
                    del lines[job_id]
                    break
    return kept


def _new_ids(entries: Mapping[int, CrontabEntry], prefix: str, kept: Iterable[str]) -> dict[int, str]:
    """Ids for entries without jobs, by the entries' numbers.

    Entries of one name are numbered in the order of their content. So the order of the lines does not matter.
    """
    names, taken, ids = _names(entries.values()), set(kept), {}
    reserved = {prefix + name for name in names.values()}
    for number, entry in sorted(entries.items(), key=lambda item: _content(item[1])):
        name = prefix + names[entry.command]
        numbered = (each for n in count(2) if (each := f"{name}-{n}") not in reserved and each not in taken)
        ids[number] = name if name not in taken else next(numbered)
        taken.add(ids[number])
    return ids


def _names(entries: Iterable[CrontabEntry]) -> dict[str, str]:
    """A name for each command: a short one, unless two commands would have the same."""
    commands = dict.fromkeys(entry.command for entry in entries)
    shared = Counter(map(readable, commands))
    return {each: readable(each, whole=shared[readable(each)] > 1) for each in commands}


def _content(entry: CrontabEntry) -> tuple[str, ...]:
    said = (entry.command, entry.schedule, entry.user or "", entry.shell, entry.stdin or "")
    return (*said, *(f"{name}={value}" for name, value in sorted(entry.env.items())))


def readable(command: str, whole: bool = False) -> str:
    """A short text for an id, by which people know the command.

    :param whole: keep directories and redirections
    """
    words = command if whole else _DIRECTORY.sub("", _REDIRECTION.sub(" ", command))
    text = _SEPARATOR.sub("-", words).strip("-.")
    if len(text) > _LONGEST_ID:
        text = text[: _LONGEST_ID + 1].rpartition("-")[0] or text[:_LONGEST_ID]
    return text or "command"
