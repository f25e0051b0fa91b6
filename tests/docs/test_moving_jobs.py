"""The script that copies the jobs of an APScheduler store, as the guide for its users shows it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.jobstores.mongodb import MongoDBJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import create_engine, text

import gsched

pytest_plugins = ["mongodb"]

SCRIPT = Path(__file__).parents[2] / "examples/move_from_apscheduler.py"


def fill(store) -> dict[str, datetime | None]:
    """Add jobs by APScheduler; when each is due."""
    old = BackgroundScheduler(jobstores={"default": store}, timezone="Europe/Berlin")
    old.start(paused=True)
    either = OrTrigger([CronTrigger(hour=2, timezone="UTC"), IntervalTrigger(days=9, timezone="UTC")])
    old.add_job("math:pow", "interval", hours=2, args=[2, 3], id="interval", end_date="2114-01-01", max_instances=3)
    old.add_job("math:pow", "cron", day_of_week="mon-fri", hour=5, args=[2, 3], id="cron")
    old.add_job("math:pow", "date", run_date="2109-11-06 16:30:05", args=[2, 3], id="date", misfire_grace_time=None)
    old.add_job("math:sqrt", "calendarinterval", months=1, hour=4, start_date="2110-01-31", args=[4], id="calendar")
    old.add_job("math:sqrt", either, args=[4], id="either", coalesce=False)
    old.add_job("math:sqrt", "interval", hours=1, args=[4], id="paused", next_run_time=None)
    due = {job.id: job.next_run_time for job in old.get_jobs()}
    old.shutdown()
    return due


def copy(old: str, new: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, old, new], capture_output=True, text=True, timeout=60)


def whole_seconds(due: datetime | None) -> datetime | None:
    """Stores of gsched keep milliseconds."""
    return None if due is None else due.astimezone(UTC).replace(microsecond=0)


def test_jobs_of_a_sqlite_store_are_copied_with_what_they_are_due(tmp_path):
    old, new = f"sqlite:///{tmp_path}/old.sqlite", f"sqlite:///{tmp_path}/jobs.sqlite"
    due = fill(SQLAlchemyJobStore(url=old))
    with create_engine(old).begin() as connection:
        connection.execute(text("INSERT INTO apscheduler_jobs VALUES ('broken', 1.0, 'no pickle')"))
    done = copy(old, new)
    assert (done.stdout, done.returncode) == ("6 jobs copied, 1 not\n", 1), done.stderr
    assert done.stderr.startswith("not copied: broken: ")

    scheduler = gsched.BackgroundScheduler(jobstores={"default": gsched.SQLJobStore(new)}, modules=["math"])
    jobs = {job.id: job for job in scheduler.get_jobs()}
    assert {name: whole_seconds(job.next_run_time) for name, job in jobs.items()} == {
        name: whole_seconds(each) for name, each in due.items()
    }
    assert (jobs["interval"].args, jobs["interval"].max_instances, jobs["either"].coalesce) == ((2, 3), 3, False)
    assert (jobs["interval"].misfire_grace_time, jobs["date"].misfire_grace_time) == (1, None)
    assert str(jobs["cron"].trigger) == "cron[day_of_week='mon-fri', hour='5']"
    assert (jobs["paused"].paused, jobs["cron"].paused) == (True, False)
    scheduler.close()
    with create_engine(old).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM apscheduler_jobs")).scalar() == 7


def test_jobs_of_a_mongodb_store_are_copied(tmp_path, uri, database):
    due = fill(MongoDBJobStore(database=database.name, collection="timers", host=uri))
    done = copy(uri.replace("/?", f"/{database.name}.timers?"), f"sqlite:///{tmp_path}/jobs.sqlite")
    assert (done.stdout, done.returncode) == (f"{len(due)} jobs copied, 0 not\n", 0), done.stderr
