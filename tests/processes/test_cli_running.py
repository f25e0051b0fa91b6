"""The command line and a scheduler that runs, in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import pytest
from command_line import gsched, in_process

from gsched.runner.exit_codes import Exit

pytest_plugins = ["mongodb"]

RUNNING = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from gsched import GeventScheduler, MongoDBJobStore
def tick(): print("run", time.time(), flush=True)
def fail(): raise ValueError("no such thing")
def slow(): gevent.sleep(60)
scheduler = GeventScheduler(jobstores={{"default": MongoDBJobStore({uri!r}, database={database!r})}})
scheduler.add_job(tick, "interval", seconds=0.02, id="tick", max_instances=3, replace_existing=True)
for func in (fail, slow):
    scheduler.add_job(func, "interval", hours=1, id=func.__name__, replace_existing=True)
scheduler.start()
gevent.get_hub().threadpool.apply(sys.stdin.read)
scheduler.shutdown(wait=False)
"""
MAY_START_LATER = 0.25  # seconds; to see the change takes the other process some milliseconds on an idle machine


@pytest.fixture
def store(uri, database):
    """The address of an empty database."""
    return uri.replace("/?", f"/{database.name}?")


def rows(out):
    return [line.split("\t") for line in out.splitlines()]


@pytest.fixture
def other_process(uri, database):
    """A scheduler in a process of its own; it prints a line for each run of "tick"."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNING.format(uri=uri, database=database.name)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    if process.returncode is None:
        process.communicate("", timeout=30)


def test_pausing_stops_a_job_in_another_process_within_milliseconds(store, other_process):
    for _ in range(10):
        assert other_process.stdout.readline().startswith("run")
    assert gsched("job", "pause", "tick", "--store", store).code == Exit.OK
    paused_at = datetime.now().timestamp()
    # A run that was asked for proves that the other process is alive, and ends after all that was due before.
    assert gsched("job", "run", "fail", "--wait", "--timeout", "20s", "--store", store).code == Exit.FAILED
    lines = other_process.communicate("", timeout=30)[0].splitlines()
    started = [float(line.split()[1]) for line in lines]
    assert started, "it ran up to the pause"
    assert [at - paused_at for at in started if at > paused_at + MAY_START_LATER] == []


def test_run_waits_for_the_outcome_and_exits_by_it(store, other_process):
    assert other_process.stdout.readline().startswith("run")
    failed = gsched("job", "run", "fail", "--wait", "--store", store, "-o", "json")
    (run,) = json.loads(failed.out)
    assert (run["outcome"], run["error_type"], failed.code) == ("failed", "ValueError", Exit.FAILED)
    succeeded = in_process("job", "run", "tick", "--wait", "--store", store)
    assert rows(succeeded.out)[0][1] == "succeeded" and succeeded.code == Exit.OK
    slow = in_process("job", "run", "slow", "--wait", "--timeout", "0.5", "--store", store)
    assert slow.code == Exit.FAILED and "has not ended" in slow.err

    # What became of it is in the history.
    listed = in_process("runs", "list", "--outcome", "failed", "--store", store).out
    assert [row[2] for row in rows(listed)] == [run["run_id"]]
    shown = in_process("runs", "show", run["run_id"], "--store", store, "-o", "table").out
    assert "ValueError: no such thing" in shown and "Traceback (most recent call last):" in shown
