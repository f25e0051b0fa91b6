"""A pause in a job's document, and the checks of its texts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from gsched.checks import is_whole
from gsched.errors import InvalidJobError
from gsched.jobs.options import checked_text
from gsched.jobs.pause import BY_USER, CAUSES, PLAIN, Pause
from gsched.times.instants import from_ms, to_ms

LONGEST_REASON: Final = 250  # characters
LONGEST_NAME: Final = 200  # of who paused it
TIMES: Final = ("at", "until", "next_run_time")  # the keys of a document with times


def checked_reason(what: str, value: object) -> str:
    """The value. Raises InvalidJobError, naming it by `what`, unless it can be the reason of a pause."""
    return _short_text(what, value, LONGEST_REASON)


def checked_name(what: str, value: object) -> str:
    """The value. Raises InvalidJobError, naming the value by `what`, if it cannot be the name of an actor."""
    return _short_text(what, value, LONGEST_NAME)


def _short_text(what: str, value: object, longest: int) -> str:
    text = checked_text(what, value)
    if len(text) > longest:
        raise InvalidJobError(f"{what}: expected at most {longest} characters, got {len(text)}")
    return text


def pause_document(pause: Pause | None) -> dict[str, Any] | None:
    """The pause as plain values; None if there is nothing to say about it."""
    if pause is None or pause == PLAIN:
        return None
    written: dict[str, Any] = {key: getattr(pause, key) for key in ("reason", "by", "at", "until", "cause")}
    if pause.failures:
        written["failures"] = pause.failures
    if pause.until_ms is not None:
        written["next_run_time"] = None if pause.due_ms is None else from_ms(pause.due_ms)
    return written


def read_pause(is_open: bool, document: object) -> Pause | None:
    """The pause of a job whose document has these values under "paused" and "pause".

    "paused" decides whether the pause has an open end: a person who edits it by hand pauses or resumes the job.

    Raises InvalidJobError.
    """
    if document is None:
        return PLAIN if is_open else None
    if not isinstance(document, Mapping):
        raise InvalidJobError(f"pause: expected a mapping, got {document!r}")
    until = None if is_open else _instant("until", document)
    if until is None and not is_open:
        return None
    cause, failures = document.get("cause", BY_USER), document.get("failures", 0)
    if cause not in CAUSES:
        raise InvalidJobError(f"pause.cause: expected one of {', '.join(CAUSES)}, got {cause!r}")
    if not is_whole(failures, 0):
        raise InvalidJobError(f"pause.failures: expected a whole number from 0, got {failures!r}")
    reason, by = document.get("reason"), document.get("by")
    return Pause(
        None if reason is None else checked_reason("pause.reason", reason),
        None if by is None else checked_name("pause.by", by),
        _instant("at", document),
        until,
        cause,
        failures,
        None if until is None else _instant("next_run_time", document),
    )


def pause_as_far_as_known(is_open: bool, document: object) -> Pause | None:
    """The same for lists of pauses: if the document is malformed, the pause is a plain one."""
    try:
        return read_pause(is_open, document)
    except InvalidJobError:
        return PLAIN


def _instant(key: str, document: Mapping[str, Any]) -> int | None:
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidJobError(f"pause.{key}: expected a time with its zone or null, got {value!r}")
    return to_ms(value)
