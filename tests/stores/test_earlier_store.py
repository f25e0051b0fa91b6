"""A store that an earlier version of the code has written, kept as JSON: today's code opens, runs and continues it.

The collections are those of a node that was killed while it ran jobs. Their times are moved, as if that was just now.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from waiting import wait_until

from gsched import GeventScheduler, MongoDBJobStore
from gsched.jobs.run import run_id
from gsched.times.instants import to_ms

pytest_plugins = ["mongodb"]

COLLECTIONS = Path(__file__).with_name("earlier_store.json")
WRITTEN_UNTIL = datetime(2026, 11, 29, 11, 23, 21, tzinfo=UTC)
FAR_AWAY = datetime(2090, 1, 1, tzinfo=UTC)  # times from then on stay


def moved(value: Any, by: timedelta) -> Any:
    if isinstance(value, datetime):
        return value + by if value.year > 2000 and value < FAR_AWAY else value
    if isinstance(value, dict):
        return {key: moved(each, by) for key, each in value.items()}
    return [moved(each, by) for each in value] if isinstance(value, list) else value


@pytest.fixture
def earlier(database: Any) -> Any:
    """A database with these collections, just left by a node that was killed."""
    options = json_util.JSONOptions(tz_aware=True, tzinfo=UTC)
    by = datetime.now(UTC).replace(microsecond=0) - WRITTEN_UNTIL
    for name, documents in json_util.loads(COLLECTIONS.read_text(), json_options=options).items():
        documents = [moved(document, by) for document in documents]
        if name == "jobs.runs":
            for run in documents:
                run["_id"] = f"{run_id(run['job_id'], to_ms(run['scheduled_at']), None)}#{run['attempt']}"
        database[name].insert_many(documents)
    return database


STORED_JOBS = """
def tick(*args, **kwargs): note()
def long(*args): note()
def fail(*args):
    note()
    raise ValueError("no")
def note():
    from gsched import current_run
    with open("called", "a") as called:
        called.write(f"{current_run().job_id} {current_run().attempt}\\n")
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has the module that the stored jobs name."""
    (tmp_path / "stored_jobs.py").write_text(STORED_JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def scheduler(uri: str, earlier: Any, directory: Path) -> Iterator[GeventScheduler]:
    store = MongoDBJobStore(uri, database=earlier.name, modules=["stored_jobs"])
    made = GeventScheduler(jobstores={"default": store}, timezone="UTC")
    yield made
    made.close()


def test_jobs_and_history_of_an_earlier_store_are_read(scheduler: GeventScheduler) -> None:
    states = {job.id: job.state for job in scheduler.get_jobs()}
    scheduled = ("each-two-seconds", "recovers", "fails", "nightly", "once", "in-progress", "changed")
    assert states == {**dict.fromkeys(scheduled, "scheduled"), "paused": "paused", "parked": "parked"}
    job = scheduler.get_job("each-two-seconds")
    assert job is not None
    assert (job.args, list(job.kwargs), job.tags) == ((1, "x", b"\0\1"), ["when"], ("a", "b"))
    assert scheduler.get_counters("fails").failures == 5
    assert [run.outcome for run in scheduler.get_runs(job_id="fails")] == ["failed"] * 3
    assert [run.outcome for run in scheduler.get_runs(job_id="in-progress")] == ["running"]


RUNNER = """
from gevent import monkey; monkey.patch_all()
import sys; sys.path.insert(0, "")
from gsched import GeventScheduler, MongoDBJobStore
store = MongoDBJobStore({uri!r}, database={database!r}, modules=["stored_jobs"], node_ttl=4)
GeventScheduler(jobstores={{"default": store}}, timezone="UTC").run_forever()
"""


@pytest.fixture
def runner(uri: str, earlier: Any, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = RUNNER.format(uri=uri, database=earlier.name)
    process = subprocess.Popen([sys.executable, "-c", program], cwd=directory)
    yield process
    process.kill()
    process.wait()


@pytest.mark.usefixtures("runner")
def test_an_earlier_store_is_run_and_continued(scheduler: GeventScheduler, earlier: Any, directory: Path) -> None:
    def called() -> set[str]:
        notes = directory / "called"
        return set(notes.read_text().splitlines()) if notes.exists() else set()

    due = {"each-two-seconds 1", "recovers 1", "fails 1", "in-progress 2"}
    wait_until(lambda: due <= called(), lambda: f"the jobs to run, not only {called()}")
    assert earlier["jobs.nodes"].count_documents({"state": "dead"}) == 1
    assert not {each.split()[0] for each in called()} & {"paused", "parked", "once", "nightly"}
    scheduler.run_job("nightly")
    scheduler.resume_job("paused")
    scheduler.modify_job("paused", next_run_time=datetime.now(UTC))
    wait_until(lambda: {"nightly 1", "paused 1"} <= called(), "what was asked for, and resumed, to run")
    wait_until(lambda: scheduler.get_counters("fails").failures > 5, "figures to be counted on")
    assert earlier["jobs"].find_one("fails")["note of a user"] == 1
