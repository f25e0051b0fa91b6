"""What others said or named, as it may stand in a line of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from gsched.errors import GschedError, StoreError
from gsched.spelling import did_you_mean

_LONGEST: Final = 300  # of what a driver says, in characters
# What the driver adds to each address, and to all of them.
_NOISE: Final = re.compile(r" \(configured timeouts:[^)]*\)|, Timeout: [\d.]+s.*|, full error:.*", re.DOTALL)


def escaped(text: str) -> str:
    """Ids and messages may hold anything: what would move a cursor, or break a line in two, is shown escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def escaped_lines(text: str) -> str:
    """Text of several lines, such as a traceback, with what else would move a cursor shown escaped."""
    return "\n".join(escaped(line.expandtabs()) for line in text.split("\n"))


def said_by(error: GschedError) -> str:
    """What those need to know of an error who did not call us: of a store's, what its driver said, in a line."""
    cause = error.__cause__ if isinstance(error, StoreError) else None
    return str(error) if cause is None else without_noise(str(cause))


def refused_call(call: Callable[..., Any], given: Iterable[str], error: TypeError) -> str:
    """Why `call` did not take these keyword arguments: which one it does not know, and the nearest that it does."""
    from inspect import Parameter, signature  # only errors need it

    try:
        known = signature(call).parameters
    except (TypeError, ValueError):  # it is no function, or one that does not tell
        return str(error)
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in known.values())
    unknown = next((name for name in given if name not in known), None)
    if takes_any or unknown is None:
        return re.sub(r"^[\w.<>]+\(\) ", "", str(error))
    return f"the argument {unknown!r} is unknown{did_you_mean(unknown, known)}"


def without_noise(said: str) -> str:
    """What a driver says, in a line, without its description of the whole topology, which fills a screen."""
    return _NOISE.sub("", " ".join(said.split()))[:_LONGEST]
