"""Reading a change stream until told to stop, and waiting before the next attempt at what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import random
from typing import Any, Final

import gevent
from pymongo.change_stream import ChangeStream
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from gsched.stores.mongodb.refusals import is_refusal

AWAIT_SECONDS: Final = 0.5  # how long one look waits for news: also how long stopping may take
UNSUPPORTED_CODES: Final = frozenset({40573, 40324, 13, 8000, 115})  # standalone, unknown stage, no privilege
_UNAUTHORIZED: Final = 13


def is_unsupported(error: OperationFailure) -> bool:
    """Whether there are no change streams here, and none after the next attempt."""
    return error.code in UNSUPPORTED_CODES and not is_refusal(error)


def opened(watched: Any, pipeline: list[dict[str, Any]]) -> ChangeStream[dict[str, Any]]:
    """A change stream on a collection or a database, from now on; only of what a majority has."""
    confirmed = watched.with_options(read_concern=ReadConcern("majority"))
    stream: ChangeStream[dict[str, Any]] = confirmed.watch(pipeline, max_await_time_ms=round(AWAIT_SECONDS * 1000))
    return stream


def why_unsupported(error: OperationFailure) -> str:
    """Why there are no change streams, in a line; the server's own words may hold all of what it was asked."""
    if error.code == _UNAUTHORIZED:
        return "not authorized: the user lacks the privilege changeStream"
    return str((error.details or {}).get("errmsg") or error)


def changes_in(stream: ChangeStream[dict[str, Any]], stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """What the stream tells, until `stop`, or until the server has closed it."""
    while not stop() and stream.alive:
        change = stream.try_next()
        if change is not None:
            yield change


def wait(seconds: float, stop: Callable[[], bool]) -> None:
    """Wait for so long, or until `stop`."""
    while seconds > 0 and not stop():
        gevent.sleep(min(seconds, AWAIT_SECONDS))
        seconds -= AWAIT_SECONDS


def backoff(first: float, failures: int, longest: float) -> float:
    """Seconds until the next attempt after so many failures: twice as long each time, and not all at the same time."""
    return min(first * 2.0**failures, longest) * (0.5 + random() / 2)
