"""Tallies: the counts of a job that its `max_runs` and `max_consecutive_failures` need."""

from __future__ import annotations

from typing import NamedTuple


class Tally(NamedTuple):
    """The counts of one job. They are stored with the job, so that counting goes on after a restart or a crash.

    :ivar since: when the job was added (ms); another job with the same id has another time
    :ivar runs: how many of its instants have begun to run
    :ivar until: the last of these instants (ms); -1 if there is none
    :ivar failing: how many of its runs have failed since the last that succeeded
    """

    since: int
    runs: int = 0
    until: int = -1
    failing: int = 0


def newer(known: Tally | None, read: Tally | None) -> Tally | None:
    """The newer of two tallies: the one that this process knows, and the one that was read from the store.

    The store's may be older, because counts are written a little later. A tally of an earlier job with the same id
    does not count.
    """
    if known is None or read is None:
        return read or known
    if known.since != read.since:
        return read
    return known if (known.runs, known.until) >= (read.runs, read.until) else read
