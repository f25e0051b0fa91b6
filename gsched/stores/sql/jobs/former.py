"""Former schedules: copies of the schedules that users' writes end.

A user's write may reschedule or remove a job whose instants the owner's watermark covers. If the owner dies before it
has seen the change, its successor needs the schedule to find the instants that were in progress. So the transaction
that ends the schedule copies it first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import BigInteger, Connection, String, cast, literal, null, select
from sqlalchemy.dialects.sqlite import insert

from gsched.stores.sql.driver.tables import Tables

_COPIED: Final = ("slot", "schedule", "begins", "next_run", "paused_until", "late_until", "name", "document")


def keep_former(connection: Connection, tables: Tables, job_ids: Collection[str]) -> None:
    """Copy the schedules of those of these jobs that an owner's watermark covers."""
    jobs, former = tables.jobs, tables.former
    name = jobs.c.id + literal("@") + cast(jobs.c.schedule, String)
    copied = select(name, jobs.c.id, cast(null(), BigInteger), *(jobs.c[column] for column in _COPIED)).where(
        jobs.c.id.in_(list(job_ids)), jobs.c.admitted
    )
    copy = insert(former).from_select(["id", "job_id", "until", *_COPIED], copied)
    as_it_is = {column: copy.excluded[column] for column in ("until", *_COPIED)}
    connection.execute(copy.on_conflict_do_update(index_elements=[former.c.id], set_=as_it_is))
