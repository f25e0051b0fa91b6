"""gsched job run --overlap: a request while the job runs already, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest
import waiting
from command_line import in_process
from gevent.event import Event

from gsched import EVENT_ALL, GeventScheduler, MongoDBJobStore, SQLJobStore, current_run
from gsched.runner.exit_codes import Exit

pytest_plugins = ["mongodb"]

wait_until = partial(waiting.wait_until, sleep=gevent.sleep)

begun: list[str] = []
may_end = Event()


def work() -> None:
    begun.append(current_run().id)
    may_end.wait()


@pytest.fixture(params=["sqlite", "mongodb"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store's address, as commands take it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.sqlite"
    uri, database = request.getfixturevalue("uri"), request.getfixturevalue("database")
    return str(uri.replace("/?", f"/{database.name}?"))


@pytest.fixture
def scheduler(address: str) -> Iterator[GeventScheduler]:
    """Runs a job that lasts until the test lets it end."""
    begun.clear()
    may_end.clear()
    store = (SQLJobStore if address.startswith("sqlite") else MongoDBJobStore)(address)
    made = GeventScheduler(jobstores={"default": store}, timezone="UTC", modules=[__name__])
    made.add_job(work, "interval", days=365, id="job")
    made.start()
    in_process("job", "run", "job", "--store", address)
    wait_until(lambda: len(begun) == 1, "the first run")
    yield made
    may_end.set()
    made.shutdown(wait=False)


def events_of(scheduler: GeventScheduler) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    scheduler.add_listener(lambda event: told.append((event.name, getattr(event, "reason", None))), EVENT_ALL)
    return told


def request(address: str, *flags: str) -> str:
    """Ask for a run by the command: the id of the run."""
    done = in_process("job", "run", "job", *flags, "--store", address)
    assert done.code == Exit.OK, done
    return str(done.out.strip())


@pytest.mark.parametrize("flags", [(), ("--overlap", "skip")], ids=str)
def test_a_request_is_skipped_while_the_job_runs(scheduler, address, flags):
    told = events_of(scheduler)
    request(address, *flags)
    wait_until(lambda: ("run.skipped", "max_instances") in told, "the request to be skipped")
    assert len(begun) == 1


def test_a_request_waits_for_the_end_of_the_run(scheduler, address):
    told = events_of(scheduler)
    asked = request(address, "--overlap", "queue")
    wait_until(lambda: scheduler.get_runs(run_id=asked, outcome="running"), "the runner to have the request")
    assert len(begun) == 1
    may_end.set()
    wait_until(lambda: len(begun) == 2, "the run that was asked for")
    assert begun[1] == asked and not {"run.skipped", "run.cancelled"} & {name for name, _ in told}


def test_a_request_replaces_the_run(scheduler, address):
    told = events_of(scheduler)
    asked = request(address, "--overlap", "cancel")
    wait_until(lambda: len(begun) == 2, "the run that was asked for")
    assert begun[1] == asked and ("run.cancelled", "replaced") in told


def test_a_request_without_the_flag_goes_by_the_overlap_of_its_job(scheduler, address):
    scheduler.modify_job("job", overlap="cancel")
    asked = request(address)
    wait_until(lambda: begun[-1] == asked, "the run that was asked for")


def test_another_word_is_refused_before_anything_runs(scheduler, address):
    done = in_process("job", "run", "job", "--overlap", "allow", "--store", address)
    assert done.code == Exit.USAGE and "'allow' is not one of 'skip', 'queue', 'cancel'" in done.err
    assert len(begun) == 1
