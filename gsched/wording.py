"""Foreign text in our lines: escaped ids, error messages, and suggestions for misspelt names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from gsched.errors import GschedError, StoreError

_LONGEST: Final = 300  # characters of a driver's message
# The driver's additions to each address, and to all of them.
_NOISE: Final = re.compile(r" \(configured timeouts:[^)]*\)|, Timeout: [\d.]+s.*|, full error:.*", re.DOTALL)


def escaped(text: str) -> str:
    """The text with every character escaped that would move a cursor or break a line; ids may hold any."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def escaped_lines(text: str) -> str:
    """Text of several lines, such as a traceback, with other characters escaped that would move a cursor."""
    return "\n".join(escaped(line.expandtabs()) for line in text.split("\n"))


def brief_message(error: GschedError) -> str:
    """An error's message for people, in a line. For a store's error it is the driver's message."""
    cause = error.__cause__ if isinstance(error, StoreError) else None
    return str(error) if cause is None else without_noise(str(cause))


def refused_call(call: Callable[..., Any], given: Iterable[str], error: TypeError) -> str:
    """Why `call` did not take these keyword arguments: the unknown one, and the nearest known one."""
    from inspect import Parameter, signature  # only errors need it

    try:
        known = signature(call).parameters
    except (TypeError, ValueError):  # it is no function, or has no signature
        return str(error)
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in known.values())
    unknown = next((name for name in given if name not in known), None)
    if takes_any or unknown is None:
        return re.sub(r"^[\w.<>]+\(\) ", "", str(error))
    return f"the argument {unknown!r} is unknown{did_you_mean(unknown, known)}"


def without_noise(message: str) -> str:
    """A driver's message in a line, without its description of the whole topology, which fills a screen."""
    return _NOISE.sub("", " ".join(message.split()))[:_LONGEST]


def shown_with_type(value: object) -> str:
    """The value and where its type is from: APScheduler's classes have the same names."""
    kind = type(value)
    ours = "; import it from gsched" if kind.__module__.startswith("apscheduler.") else ""
    return f"{value!r} of the type {kind.__module__}.{kind.__qualname__}{ours}"


def did_you_mean(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message, "; did you mean 'word'?"; empty if nothing known is like it.

    :param cutoff: how like it, 0-1
    """
    from difflib import get_close_matches  # only errors need it

    near = get_close_matches(str(word), list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""
