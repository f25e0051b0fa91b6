"""A job as the TOML text of a [[job]] entry, and the changes that an edited text asks for.

Only edited keys are changed. The text leaves out options that have their defaults; an option whose line is removed gets
its default. A comment names each value that TOML cannot express; such a value stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, Final, NamedTuple

import tomli_w

from gsched.jobs.job import Job
from gsched.jobs.options import OPTIONS
from gsched.jobs.policy_options import policy_options
from gsched.runner.commands import RUN_COMMAND
from gsched.runner.origins import OWNER
from gsched.runner.shell.options import OPTIONS as COMMAND_OPTIONS
from gsched.triggers.spread import unspread

_PLAIN: Final = (str, bool, int, float, datetime, date, time)
_EMPTY: Final[Mapping[str, Any]] = {"args": (), "kwargs": {}, "metadata": {}}


class JobText(NamedTuple):
    """A job as an entry.

    :ivar entry: the keys and values of [[job]]
    :ivar kept: the keys whose values TOML cannot express
    """

    entry: Mapping[str, Any]
    kept: tuple[str, ...] = ()

    def written(self) -> str:
        """The entry as TOML, followed by a comment for each value that TOML cannot express."""
        comments = (f"# {key}: TOML cannot express the value, which stays as it is\n" for key in self.kept)
        return tomli_w.dumps(self.entry) + "".join(comments)


def job_text(job: Job, plain: Job) -> JobText:
    """The job as an entry.

    :param plain: a job whose options all have their defaults
    """
    entry: dict[str, Any] = {}
    kept: list[str] = []
    for key, value in _values(job, plain):
        if _is_expressible(value):
            entry[key] = value
        else:
            kept.append(key)
    return JobText(entry, tuple(kept))


def _values(job: Job, plain: Job) -> Iterator[tuple[str, Any]]:
    yield "id", job.id
    if _is_command(job):
        yield "command", job.args[0]
        yield from job.kwargs.items()
    else:
        yield "func", job.func_ref
        yield from ((key, value) for key, value in (("args", list(job.args)), ("kwargs", dict(job.kwargs))) if value)
    if job.name != (job.args[0] if _is_command(job) else _name_of(job.func_ref)):
        yield "name", job.name
    options, usual = _options(job), _options(plain)
    yield from ((option, value) for option, value in options.items() if value != usual[option])
    if metadata := {key: value for key, value in job.metadata.items() if key != OWNER}:
        yield "metadata", metadata
    fields, spread = unspread(job.trigger)
    if spread is not None:
        yield "spread", spread
    yield "trigger", fields


def _is_command(job: Job) -> bool:
    return job.func_ref == RUN_COMMAND and len(job.args) == 1 and set(job.kwargs) <= set(COMMAND_OPTIONS)


def _name_of(ref: str | None) -> str:
    """The default name of a job with this function."""
    return str(ref).partition(":")[2]


def _options(job: Job) -> dict[str, Any]:
    """The options that an entry may have, as `add_job` takes them."""
    values = {
        "executor": job.executor,
        "misfire_grace_time": job.misfire_grace_time,
        "coalesce": job.coalesce,
        "max_instances": job.max_instances,
        "timeout": job.timeout_seconds,
        "tags": list(job.tags),
        **policy_options(job.policy),
    }
    return {option: values[option] for option in OPTIONS if option in values}


def _is_expressible(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_expressible(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_expressible, value))
    return isinstance(value, _PLAIN)


def edited_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """The keys whose values differ, and those that only one of the entries has."""
    common = before.keys() & after.keys()
    return (before.keys() ^ after.keys()) | {key for key in common if _plain(before[key]) != _plain(after[key])}


def _plain(value: Any) -> Any:
    """The value for a comparison: lists equal tuples, and values of different types differ, such as 1 and True."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return type(value), value


def meant_changes(
    edited: set[str], after: Mapping[str, Any], definition: Mapping[str, Any], plain: Job
) -> dict[str, Any]:
    """The changes that an edit asks for, as arguments of `modify_job`.

    :param edited: the keys that were edited
    :param after: the edited entry
    :param definition: the arguments of add_job for the edited entry
    :param plain: a job whose options all have their defaults
    """
    usual = _options(plain)
    changes = {option: definition.get(option, usual[option]) for option in edited & usual.keys()}
    called = {"func", "args", "kwargs"}
    if edited & {"command", *COMMAND_OPTIONS}:  # a function may replace the command, or the reverse
        changes.update({key: definition.get(key, _EMPTY.get(key)) for key in called})
    else:
        changes.update({key: definition.get(key, _EMPTY.get(key)) for key in edited & called})
    if edited & {"command", "func", "name"}:
        changes["name"] = definition.get("name") or _name_of(after["func"])
    if edited & {"trigger", "spread"}:
        changes["trigger"] = definition["trigger"]
        if "next_run_time" in definition:  # @reboot: such a job has a tag, too
            changes.update({key: definition[key] for key in ("next_run_time", "tags")})
    if "metadata" in edited:
        changes["metadata"] = definition["metadata"]
    return changes
