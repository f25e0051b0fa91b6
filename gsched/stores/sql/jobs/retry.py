"""Lets runs that have ended run again: their next attempts wait, and are due now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from gsched.history.reruns import NextAttempt, Obstacle, obstacles
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.jobs.write import tell
from gsched.stores.sql.rows.runs import run_key, waiting_row

AT_ONCE: Final = 200  # runs in a transaction


def retry_some(
    connection: SqlConnection, attempts: Sequence[NextAttempt], now: int, dry_run: bool
) -> Mapping[NextAttempt, Obstacle]:
    """Let these attempts wait, in one transaction; which do not, and why."""
    tables = connection.tables

    def look(line: Connection) -> Mapping[NextAttempt, Obstacle]:
        return _obstacles(line, tables, attempts)

    def add(line: Connection) -> Mapping[NextAttempt, Obstacle]:
        found = look(line)
        added = [attempt for attempt in attempts if attempt not in found]
        if added:
            job_ids = list(dict.fromkeys(attempt.job_id for attempt in added))
            jobs = tables.jobs
            slots = dict(map(tuple, line.execute(select(jobs.c.id, jobs.c.slot).where(jobs.c.id.in_(job_ids))).all()))
            waiting = [waiting_row(_waiting(attempt, slots[attempt.job_id], now)) for attempt in added]
            line.execute(insert(tables.runs), waiting)
            line.execute(update(jobs).where(jobs.c.id.in_(job_ids)).values(rev=jobs.c.rev + 1))
            tell(line, tables, job_ids, now, connection.origin)
        return found

    return connection.read(look) if dry_run else connection.write(add)


def _obstacles(line: Connection, tables: Tables, attempts: Sequence[NextAttempt]) -> Mapping[NextAttempt, Obstacle]:
    jobs, runs = tables.jobs, tables.runs
    keys = {run_key(attempt.run_id, attempt.attempt): attempt for attempt in attempts}
    job_ids = list({attempt.job_id for attempt in attempts})
    waiting = tables.waits, runs.c.job_id.in_(job_ids)
    states = line.execute(select(runs.c.key, runs.c.state).where(runs.c.key.in_(list(keys)))).all()
    there = line.execute(select(jobs.c.id).where(jobs.c.id.in_(job_ids))).scalars().all()
    counts = line.execute(select(runs.c.job_id, func.count()).where(*waiting).group_by(runs.c.job_id)).all()
    return obstacles(attempts, {keys[key]: state for key, state in states}, set(there), dict(map(tuple, counts)))


def _waiting(attempt: NextAttempt, slot: int, due: int) -> WaitingRun:
    """The attempt as a run that somebody asked for: it begins on a paused job, too, and has all retries before it."""
    job_id, scheduled, number, request = attempt
    return WaitingRun(RunRecord(job_id, slot, scheduled, number, request), due, None)
