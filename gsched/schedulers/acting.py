"""Actors: on whose behalf a program calls verbs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from gsched.jobs.pause_document import checked_name, checked_reason


class Actor(NamedTuple):
    """On whose behalf verbs are called.

    :ivar name: a person or a program
    :ivar via: how they reached the scheduler: "cli", "api"; None if it is not known
    :ivar reason: why, in their words; None if they gave none
    """

    name: str
    via: str | None = None
    reason: str | None = None


_current: Final[ContextVar[Actor | None]] = ContextVar("gsched_actor", default=None)


@contextmanager
def acting(name: str, *, via: str | None = None, reason: str | None = None) -> Iterator[Actor]:
    """Call verbs on behalf of somebody: `with acting("ops", via="api", reason="deploy"): scheduler.pause_job("x")`.

    A job that is paused inside the block is paused by this actor, and for this reason unless the verb has another.

    Of nested blocks the innermost one counts alone. The actor belongs to the calling code's context: a greenlet or a
    thread that is started inside the block has none, and neither has a job; name the actor there again. A task of
    asyncio, and a verb of `scheduler.aio`, takes the context of whoever made it, and with that the actor.

    :param name: a person or a program, at most 200 characters
    :param via: how they reached the scheduler
    :param reason: why, at most 250 characters
    :raises InvalidJobError: if a text is empty or too long
    """
    actor = Actor(
        checked_name("name", name),
        None if via is None else checked_name("via", via),
        None if reason is None else checked_reason("reason", reason),
    )
    token = _current.set(actor)
    try:
        yield actor
    finally:
        _current.reset(token)


def current_actor() -> Actor | None:
    """The actor of the calling code; None if nobody named one."""
    return _current.get()
