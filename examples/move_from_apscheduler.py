"""Copies the jobs of an APScheduler 3 job store into a store of gsched.

    python examples/move_from_apscheduler.py sqlite:///old.sqlite sqlite:///jobs.sqlite
    python examples/move_from_apscheduler.py mongodb://localhost/apscheduler.jobs mongodb://localhost/?replicaSet=rs0

Run it where your program runs: with its modules on the path, and with APScheduler and gsched installed. End the program
first. This program reads the old store; gsched itself never does. The old jobs are pickles, and a pickle executes what
its writer decided. The old store is not changed. A job that cannot be read stays there, and a line says why.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from typing import Any

from apscheduler.triggers.calendarinterval import CalendarIntervalTrigger
from apscheduler.triggers.combining import AndTrigger, OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

import gsched


def pickled_jobs(url: str) -> Iterator[tuple[str, bytes]]:
    """The jobs of an APScheduler store, by id. APScheduler itself deletes those that it cannot load."""
    if url.startswith("mongodb"):
        from pymongo import MongoClient
        from pymongo.uri_parser import parse_uri

        named = parse_uri(url)
        for document in MongoClient(url)[named["database"] or "apscheduler"][named["collection"] or "jobs"].find():
            yield document["_id"], document["job_state"]
    else:
        from sqlalchemy import create_engine, text

        with create_engine(url).connect() as connection:
            for row in connection.execute(text("SELECT id, job_state FROM apscheduler_jobs")):
                yield row.id, row.job_state


def trigger_of(old: Any) -> gsched.BaseTrigger:
    """The same trigger, of gsched."""
    if isinstance(old, DateTrigger):
        return gsched.DateTrigger(old.run_date)
    if isinstance(old, AndTrigger):
        return gsched.AndTrigger([trigger_of(each) for each in old.triggers], jitter=old.jitter)
    if isinstance(old, OrTrigger):
        return gsched.OrTrigger([trigger_of(each) for each in old.triggers], jitter=old.jitter)
    bounds = {name: getattr(old, name) for name in ("start_date", "end_date", "timezone", "jitter")}
    if isinstance(old, IntervalTrigger):
        return gsched.IntervalTrigger(seconds=old.interval_length, **bounds)
    if isinstance(old, CronTrigger):
        fields = {field.name: str(field) for field in old.fields if not field.is_default}
        return gsched.CronTrigger(**fields, **bounds)
    if isinstance(old, CalendarIntervalTrigger):
        time = {"hour": old._time.hour, "minute": old._time.minute, "second": old._time.second}
        length = {name: getattr(old, name) for name in ("years", "months", "weeks", "days")}
        return gsched.CalendarIntervalTrigger(**length, **time, **bounds)
    raise ValueError(f"there is no such trigger in gsched: {old!r}")


def copy_job(scheduler: gsched.BackgroundScheduler, state: dict[str, Any]) -> None:
    """Add a job as APScheduler has pickled it. It is due when it was due there; a paused one stays paused."""
    scheduler.add_job(
        state["func"],
        trigger_of(state["trigger"]),
        state["args"],
        state["kwargs"],
        id=state["id"],
        name=state["name"],
        misfire_grace_time=state["misfire_grace_time"],
        coalesce=state["coalesce"],
        max_instances=state["max_instances"],
        next_run_time=state["next_run_time"],
        executor=state["executor"],
    )


def main(old: str, new: str) -> int:
    store = gsched.MongoDBJobStore(new) if new.startswith("mongodb") else gsched.SQLJobStore(new)
    scheduler = gsched.BackgroundScheduler(jobstores={"default": store})
    copied = failed = 0
    for job_id, pickled in pickled_jobs(old):
        try:
            copy_job(scheduler, pickle.loads(pickled))
            copied += 1
        except Exception as error:
            print(f"not copied: {job_id}: {error}", file=sys.stderr)
            failed += 1
    scheduler.close()
    print(f"{copied} jobs copied, {failed} not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
