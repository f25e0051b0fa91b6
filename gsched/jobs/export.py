"""Jobs as JSON Lines: the header {"format": "gsched jobs", "version": 1}, what is set for groups, then one job a line.

A job is a document as in `gsched.jobs.document`. What is set for groups is a line for each limit and for each pause:

    {"limit": "host:*", "concurrency": 4, "period_ms": null, "burst": 1, "declared_by": null}
    {"paused_group": "host:x", "reason": null, "by": null, "at": "2026-01-01T00:00:00.000+00:00", "until": null}

JSON has fewer types than arguments may have. The others are written with a tag:

    {"$date": "2026-01-01T00:00:00.000+00:00"}  datetime; without an offset if it has no time zone
    {"$day": "2026-01-01"}  date                {"$seconds": 1.5}  timedelta
    {"$bytes": "AAE="}  bytes, in base64        {"$uuid": "..."}  UUID
    {"$decimal": "0.10"}  Decimal               {"$float": "nan"}  nan, inf, -inf
    {"$tuple": [...]}, {"$set": [...]}          {"$dict": [[key, value], ...]}  keys that are no text, or begin with $

A job's next run time, the times of its pause and the dates of the triggers that come with gsched are plain text.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from math import isfinite
from typing import IO, Any, Final, TypeAlias

from gsched.errors import InvalidJobError, InvalidTriggerError
from gsched.event_loop.slices import paced
from gsched.files.rights import keep_rights, refuse_foreign_link
from gsched.jobs.document import DocumentReader, job_document
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimit, GroupLimits, checked_pattern, limit_document, read_limit
from gsched.jobs.pause import PLAIN, Pause
from gsched.jobs.pause_document import TIMES, read_pause
from gsched.triggers.registry import trigger_class

HEADER: Final = {"format": "gsched jobs", "version": 1}
_LIMIT: Final = "limit"  # the key with the pattern of a limit
_PAUSE: Final = "paused_group"  # the same of a pause
Target: TypeAlias = str | os.PathLike[str] | IO[str]

_TAGGED: Final[Mapping[type, tuple[str, Callable[[Any], Any]]]] = {
    datetime: ("$date", datetime.isoformat),
    date: ("$day", date.isoformat),
    timedelta: ("$seconds", timedelta.total_seconds),
    bytes: ("$bytes", lambda value: b64encode(value).decode()),
    uuid.UUID: ("$uuid", str),
    Decimal: ("$decimal", str),
}
_UNTAGGED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "$date": datetime.fromisoformat,
    "$day": date.fromisoformat,
    "$seconds": lambda value: timedelta(seconds=value),
    "$bytes": lambda value: b64decode(value, validate=True),
    "$uuid": uuid.UUID,
    "$decimal": Decimal,
    "$float": float,
    "$tuple": lambda value: tuple(map(from_json, value)),
    "$set": lambda value: set(map(from_json, value)),
    "$dict": lambda value: {from_json(key): from_json(each) for key, each in value},
}


# -- values -----------------------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """The value in JSON's types. Raises TypeError, naming the place and the type, for one that has no form there."""
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return value
    if kind is float:
        return value if isfinite(value) else {"$float": repr(value)}
    if kind in _TAGGED:
        tag, write = _TAGGED[kind]
        return {tag: write(value)}
    if kind is dict:
        return _dict_to_json(value)
    if kind in (list, tuple, set):
        items = [_part(to_json, f"[{position}]", each) for position, each in enumerate(value)]
        return items if kind is list else {f"${kind.__name__}": items}
    raise TypeError(f": a {kind.__qualname__} has no form in JSON; give texts, numbers, lists and dicts")


def _dict_to_json(value: dict[Any, Any]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _part(to_json, f"[{key!r}]", each) for key, each in value.items()}
    return {"$dict": [[to_json(key), _part(to_json, f"[{key!r}]", each)] for key, each in value.items()]}


def _part(convert: Callable[[Any], Any], where: str, value: Any) -> Any:
    try:
        return convert(value)
    except TypeError as error:
        raise TypeError(f"{where}{error}") from None


def from_json(value: Any) -> Any:
    """The value that `to_json` wrote. Raises ValueError or TypeError for a tag that is unknown or wrong."""
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, content), *_ = value.items()
        if tag.startswith("$"):
            if tag not in _UNTAGGED:
                raise ValueError(f"the tag {tag!r} is unknown")
            return _UNTAGGED[tag](content)
    return {key: from_json(each) if isinstance(each, (dict, list)) else each for key, each in value.items()}


# -- writing ----------------------------------------------------------------------------------------------------


def write_jobs(
    jobs: Iterable[Job],
    outfile: Target,
    progress: Callable[[int], object] | None = None,
    limits: Iterable[GroupLimits] = (),
) -> int:
    """Write the jobs to a path or an open text file, whole or not at all; how many there were.

    :param limits: what is set for groups
    :param progress: called for each job with how many were written so far
    :raises InvalidJobError: naming the job, for one that cannot be expressed
    """
    count = 0
    with _appearing_whole(outfile) as out:
        out.write(json.dumps(HEADER) + "\n")
        out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for each in limits for line in _group_lines(each))
        for job in paced(jobs):
            out.write(_line(job) + "\n")
            count += 1
            if progress is not None:
                progress(count)
    return count


def _group_lines(limits: GroupLimits) -> Iterator[dict[str, Any]]:
    for limit in limits.by_pattern.values():
        yield {_LIMIT: limit.pattern, **limit_document(limit)}
    for pattern, pause in limits.pauses.items():
        times = {key: None if time is None else _text(time) for key, time in (("at", pause.at), ("until", pause.until))}
        yield {_PAUSE: pattern, "reason": pause.reason, "by": pause.by, **times}


def _line(job: Job) -> str:
    document = job_document(job)
    document.pop("last_change", None)  # it is about this store
    try:
        document["trigger"] = _trigger_to_json(document["trigger"])
        if document["next_run_time"] is not None:
            document["next_run_time"] = _text(document["next_run_time"])
        document["pause"] = _pause_to_json(document["pause"])
        for what in ("args", "kwargs", "metadata"):
            document[what] = _part(to_json, what, document[what])
        return json.dumps(document, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJobError(f"job {job.id!r} cannot be exported: {error}") from error


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds")


def _pause_to_json(pause: Mapping[str, Any] | None) -> Any:
    """Its times are plain text, as the next run time of its job is."""
    if pause is None:
        return None
    return {key: _text(value) if isinstance(value, datetime) else value for key, value in pause.items()}


def _trigger_to_json(fields: Any) -> Any:
    """Our own types read dates as text, which is nicer to edit; what plugins read is not known."""
    if not isinstance(fields, Mapping) or not _is_ours(fields.get("type")):
        return _part(to_json, "trigger", fields)
    written: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, datetime):
            written[name] = _text(value)
        elif name == "triggers":
            written[name] = [_trigger_to_json(member) for member in value]
        else:
            written[name] = to_json(value)
    return written


def _is_ours(kind: Any) -> bool:
    try:
        return trigger_class(kind).__module__.startswith("gsched.triggers.")
    except InvalidTriggerError:
        return False


@contextmanager
def _appearing_whole(outfile: Target) -> Iterator[IO[str]]:
    """A file to write to, whose content reaches `outfile` when all of it has been written.

    A new file is for this user alone: jobs' arguments may be secrets. One that is replaced keeps its owner and mode.
    """
    if isinstance(outfile, (str, os.PathLike)) and _may_be_replaced(outfile):
        refuse_foreign_link(outfile)
        path = os.path.realpath(outfile)
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            with open(part, "x", encoding="utf-8", opener=_for_this_user) as out:
                yield out
                keep_rights(path, out.fileno())
            os.replace(part, path)
        finally:
            if os.path.exists(part):
                os.unlink(part)
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        yield out
        out.seek(0)
        if isinstance(outfile, (str, os.PathLike)):
            with open(outfile, "w", encoding="utf-8") as device:
                shutil.copyfileobj(out, device)
        else:
            shutil.copyfileobj(out, outfile)


def _for_this_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _may_be_replaced(path: str | os.PathLike[str]) -> bool:
    """Not if it is there and no ordinary file, such as /dev/stdout."""
    return not os.path.exists(path) or os.path.isfile(path)


# -- reading ----------------------------------------------------------------------------------------------------


@contextmanager
def rereadable(infile: Target) -> Iterator[IO[str]]:
    """A file that can be read more than once, of a path or an open text file, which may be a pipe."""
    if isinstance(infile, (str, os.PathLike)):
        with open(infile, encoding="utf-8-sig") as file, rereadable(file) as same:
            yield same
    elif infile.seekable():
        yield infile
    else:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as copy:
            shutil.copyfileobj(infile, copy)
            copy.seek(0)
            yield copy


def read_jobs(file: IO[str], allowed: AllowedFunctions, jobstore: str, now: int) -> Iterator[Job]:
    """The jobs in an open text file, from where it is, one by one.

    A job without the key "next_run_time" begins at `now` (ms), like one that is added.

    Raises InvalidJobError, naming the job and the reason, for the first that cannot be understood.
    """
    reader, first = DocumentReader(allowed, jobstore), True
    for number, document in paced(_after_header(file)):
        if not _is_of_groups(document):
            first = False
            yield _read_one(reader, number, document, now)
        elif not first:
            raise InvalidJobError(f"line {number} of the import: limits and pauses of groups stand before the jobs")


def read_groups(file: IO[str]) -> GroupLimits:
    """What is set for groups in an open text file, from where it is, before the jobs.

    Raises InvalidJobError, naming the line and the reason, for the first that cannot be understood.
    """
    limits: dict[str, GroupLimit] = {}
    pauses: dict[str, Pause] = {}
    for number, document in takewhile(lambda line: _is_of_groups(line[1]), _after_header(file)):
        try:
            if _LIMIT in document:
                limits[document[_LIMIT]] = read_limit(document[_LIMIT], document)
            else:
                name = checked_pattern(_PAUSE, document[_PAUSE])
                pauses[name] = read_pause(document.get("until") is None, _pause_from_json(document)) or PLAIN
        except (ValueError, TypeError) as error:
            raise InvalidJobError(f"line {number} of the import: {error}") from error
    return GroupLimits(limits.values(), pauses)


def _after_header(file: IO[str]) -> Iterator[tuple[int, Any]]:
    """The number and the content of each line after the header."""
    lines = _lines(file)
    _, header = next(lines, (1, None))
    if header != HEADER:
        raise InvalidJobError(f"the import does not begin with the line {json.dumps(HEADER)}, as export_jobs writes it")
    return lines


def _is_of_groups(document: Any) -> bool:
    return isinstance(document, dict) and "id" not in document and (_LIMIT in document or _PAUSE in document)


def _pause_from_json(pause: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: datetime.fromisoformat(value) if key in TIMES and isinstance(value, str) else value
        for key, value in pause.items()
    }


def _lines(file: IO[str]) -> Iterator[tuple[int, Any]]:
    """The number and the content of each line that is not blank."""
    try:
        for number, line in enumerate(file, 1):
            if not line.isspace():
                yield number, _content(number, line)
    except UnicodeDecodeError as error:
        raise InvalidJobError(f"the import is no text in UTF-8: {error}") from error


def _content(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        if number == 1:
            return None
        raise InvalidJobError(f"line {number} of the import is not JSON: {error}") from error


def _read_one(reader: DocumentReader, number: int, document: Any, now: int) -> Job:
    if not isinstance(document, dict):
        raise InvalidJobError(f"line {number} of the import: expected an object, got {document!r}")
    where = f"line {number} of the import ({document.get('id')!r})"
    try:
        plain = {key: from_json(value) for key, value in document.items()}
        due = plain.setdefault("next_run_time", None)
        if isinstance(due, str):
            plain["next_run_time"] = datetime.fromisoformat(due)
        if isinstance(plain.get("pause"), dict):
            plain["pause"] = _pause_from_json(plain["pause"])
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InvalidJobError(f"{where}: {error}") from error
    job = reader.read(plain)
    if job.parked is not None:
        raise InvalidJobError(f"{where}: {job.parked}")
    if "next_run_time" not in document:
        trigger, first = job.trigger.begun(now)
        job = job.evolve(trigger=trigger, next_run_ms=first)
    return job.evolve(rev=1)
