"""Actors: on whose behalf a program calls verbs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from gsched.jobs.audit import Act
from gsched.jobs.pause_document import checked_name, checked_reason


class Actor(NamedTuple):
    """On whose behalf verbs are called.

    :ivar name: a person or a program
    :ivar via: how they reached the scheduler: "cli", "api"; None if it is not known
    :ivar reason: why, in their words; None if they gave none
    :ivar address: from where, if they came over a network
    """

    name: str
    via: str | None = None
    reason: str | None = None
    address: str | None = None


_current: Final[ContextVar[Actor | None]] = ContextVar("gsched_actor", default=None)


@contextmanager
def acting(
    name: str, *, via: str | None = None, reason: str | None = None, address: str | None = None
) -> Iterator[Actor]:
    """Names the actor of verbs: `with acting("ops", via="api", reason="deploy"): scheduler.pause_job("x")`.

    What the verbs inside the block change is in the store's audit (`scheduler.admin.audit`), and each job keeps who
    changed it last. A job that is paused there is paused by this actor, for this reason unless the verb has another.

    Of nested blocks the innermost one counts alone. The actor belongs to the calling code's context: a greenlet or a
    thread that is started inside the block has none, and neither has a job; name the actor there again. A task of
    asyncio, and a verb of `scheduler.aio`, takes the context of whoever made it, and with that the actor.

    :param name: a person or a program, at most 200 characters
    :param via: how they reached the scheduler
    :param reason: why, at most 250 characters
    :param address: from where, if they came over a network
    :raises InvalidJobError: if a text is empty or too long
    """
    actor = Actor(
        checked_name("name", name),
        None if via is None else checked_name("via", via),
        None if reason is None else checked_reason("reason", reason),
        None if address is None else checked_name("address", address),
    )
    token = _current.set(actor)
    try:
        yield actor
    finally:
        _current.reset(token)


def current_actor() -> Actor | None:
    """The actor of the calling code; None if nobody named one."""
    return _current.get()


def act(action: str, now: int, *, by: str | None = None, reason: str | None = None) -> Act | None:
    """The act of the calling code, for the audit; None if no actor is named.

    :param action: one of `gsched.jobs.audit.ACTIONS`
    :param now: ms
    :param by: who does it; None: the actor
    :param reason: why; None: the actor's reason
    """
    actor = current_actor()
    if actor is None:
        return None if by is None else Act(now, action, by, None, reason)
    return Act(now, action, by or actor.name, actor.via, reason or actor.reason, actor.address)
