"""How limits of groups reach a store, its audit and the listeners; for verbs, settings and files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gsched.events import LimitEvent
from gsched.jobs.audit import Act
from gsched.jobs.limits import GroupLimit
from gsched.stores import BaseJobStore

if TYPE_CHECKING:
    from gsched.schedulers.components import Components


def set_limit(parts: Components, limit: GroupLimit, jobstore: str, done: Act | None = None) -> GroupLimit:
    """Store a limit, and publish that if it is new. Call it in the scheduler's thread.

    A limit that a file has declared stays that file's, whoever changes it.

    :param done: who sets it, if somebody does
    """
    store = parts.store_for_adding(jobstore)
    known = store.limits().by_pattern.get(limit.pattern)
    if known is not None and limit.declared_by is None:
        limit = replace(limit, declared_by=known.declared_by)
    if limit != known:
        store.set_limit(limit)
        note(store, done, limit.pattern, known, limit)
        parts.bus.emit(LimitEvent(jobstore, limit, actor_of(done)))
    return limit


def remove_limit(parts: Components, pattern: str, jobstore: str, done: Act | None = None) -> None:
    """Remove a limit, and publish that. Call it in the scheduler's thread. Raises LimitNotFoundError.

    :param done: who removes it, if somebody does
    """
    store = parts.store_for_adding(jobstore)
    known = store.limits().by_pattern.get(pattern, GroupLimit(pattern))
    store.remove_limit(pattern)
    note(store, done, pattern, known)
    parts.bus.emit(LimitEvent(jobstore, known, actor_of(done), removed=True))


def actor_of(done: Act | None) -> str | None:
    """The actor; None if none is named."""
    return None if done is None else done.actor


def note(
    store: BaseJobStore, done: Act | None, target: str, old: GroupLimit | None = None, new: GroupLimit | None = None
) -> None:
    """Keep in the audit what somebody did, with the limit before and since."""
    if done is not None:
        before, after = ({} if limit is None else {"limit": limit.words()} for limit in (old, new))
        store.record_audit(replace(done.entry(target), before=before, after=after))
