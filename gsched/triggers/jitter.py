"""Jitter: a delay that is a pure function of the job and the nominal time.

A run at the nominal time n is delayed by 0 to `jitter_ms`, as in APScheduler 3.11, but the delay is a hash of the job's
key and n: every node computes the same, it never accumulates, and the mean period stays exact. Each delay is cut so
that the run stays before the next nominal time; so runs keep their order and number even where the jitter exceeds the
period.
A trigger's start and end bound the nominal times: the last run may be delayed past the end.
"""

from __future__ import annotations

from zlib import crc32

from gsched.triggers.base import BaseTrigger, checked_last, checked_next


def jittered_next(trigger: BaseTrigger, jitter_ms: int, key: str, after: int) -> int | None:
    """The first jittered instant of `trigger` strictly after `after`, or None.

    :param jitter_ms: the longest delay, milliseconds
    :param key: what distinguishes the job, its id
    :param after: milliseconds since the epoch
    """
    if not jitter_ms:
        return checked_next(trigger, after)
    # Only two nominal times can answer: delays end before the next nominal time, so all earlier ones are past.
    nominal = checked_next(trigger, after - jitter_ms - 1)
    if nominal is not None and nominal <= after:
        nominal = checked_last(trigger, nominal, after)
        following = checked_next(trigger, nominal)
        delayed = _delayed(nominal, following, jitter_ms, key)
        if delayed > after:
            return delayed
        nominal = following
    return None if nominal is None else _delayed(nominal, checked_next(trigger, nominal), jitter_ms, key)


def jittered_last(trigger: BaseTrigger, jitter_ms: int, key: str, first: int, until: int) -> int:
    """The last jittered instant not after `until`; `first` (<= `until`) when there is none after that."""
    if not jitter_ms:
        return checked_last(trigger, first, until)
    earliest = checked_next(trigger, first - jitter_ms - 1)
    if earliest is None or earliest > until:
        return first
    nominal = checked_last(trigger, earliest, until)
    delayed = _delayed(nominal, checked_next(trigger, nominal), jitter_ms, key)
    if delayed > until and nominal > earliest:
        nominal, following = checked_last(trigger, earliest, nominal - 1), nominal
        delayed = _delayed(nominal, following, jitter_ms, key)
    return max(first, delayed) if delayed <= until else first


def _delayed(nominal: int, following: int | None, jitter_ms: int, key: str) -> int:
    delayed = nominal + crc32(f"{key}:{nominal}".encode()) % (jitter_ms + 1)
    return delayed if following is None or delayed < following else following - 1
