"""Opening and reading change streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pymongo.change_stream import ChangeStream
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from gsched.stores.mongodb.driver.refusals import is_refusal

AWAIT_SECONDS: Final = 0.5  # one request waits this long for changes; stopping may take as long
UNSUPPORTED_CODES: Final = frozenset({40573, 40324, 13, 8000, 115})  # standalone, unknown stage, no privilege
_UNAUTHORIZED: Final = 13
_AT_ONCE: Final = 200  # changes in a reply: no other greenlet has a turn while the driver decodes it


def is_unsupported(error: OperationFailure) -> bool:
    """True if the server has no change streams for this user, so that another attempt would fail as well."""
    return error.code in UNSUPPORTED_CODES and not is_refusal(error)


def opened(watched: Any, pipeline: list[dict[str, Any]]) -> ChangeStream[dict[str, Any]]:
    """A change stream on a collection or a database, from now on, of writes that a majority has."""
    confirmed = watched.with_options(read_concern=ReadConcern("majority"))
    stream: ChangeStream[dict[str, Any]] = confirmed.watch(
        pipeline, max_await_time_ms=round(AWAIT_SECONDS * 1000), batch_size=_AT_ONCE
    )
    return stream


def why_unsupported(error: OperationFailure) -> str:
    """Why there are no change streams, in a line. The server's own message may quote the whole command."""
    if error.code == _UNAUTHORIZED:
        return "not authorized: the user lacks the privilege changeStream"
    return str((error.details or {}).get("errmsg") or error)


def changes_in(stream: ChangeStream[dict[str, Any]], stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """The changes in the stream, until `stop()` or until the server has closed it."""
    while not stop() and stream.alive:
        change = stream.try_next()
        if change is not None:
            yield change
