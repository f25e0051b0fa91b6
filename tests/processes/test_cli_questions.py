"""What dashboards ask, asked by commands: pages, errors, the load ahead, the audit, and cancelling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from command_line import in_process as run
from gevent.event import Event
from waiting import wait_until

from gsched import GeventScheduler, SQLJobStore, current_run
from gsched.history.records import Record
from gsched.jobs.outcomes import Outcome
from gsched.runner.exit_codes import Exit


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GeventScheduler]:
    """A scheduler with five jobs, j0 to j4, whose store the commands find."""
    address = f"sqlite:///{tmp_path}/jobs.sqlite"
    monkeypatch.setenv("GSCHED_STORE", address)
    made = GeventScheduler(jobstores={"default": SQLJobStore(address)}, timezone="UTC")
    for number in range(5):
        made.add_job("time:sleep", "interval", hours=1 + number, args=[0], id=f"j{number}")
    yield made
    made.close()


def objects(*command: str) -> Any:
    out, err, code = run(*command, "-o", "json")
    assert code == Exit.OK, err
    return json.loads(out)


def place(err: str) -> str:
    """The place of the next page, as the command names it."""
    return err.partition("more follow: --after ")[2].partition("\n")[0].strip("'")


def fail(scheduler: GeventScheduler, job_id: str, times: int) -> None:
    """Write records of failures of the job."""
    store, job = scheduler.stores["default"], scheduler.get_job(job_id).definition
    now = scheduler.clock.now_ms()
    records = [Record(job, now - 1000 * number, str(Outcome.FAILED), None, 1, "n") for number in range(times)]
    for number, record in enumerate(records):
        record.error_type, record.error_message = "ValueError", f"no figures for {number}"
    store.answers().records.write(records)


@pytest.mark.parametrize("first", [("--sort", "id"), ("--after", "")])
def test_a_page_of_jobs_names_the_place_where_the_next_one_begins(scheduler, first):
    _, err, _ = run("job", "list", *first, "--limit", "2")
    found = [job["id"] for job in objects("job", "list", *first, "--limit", "2")]
    order = ("--sort", "id") if "id" in first else ()
    while place(err):
        page = ("job", "list", *order, "--limit", "2", "--after", place(err))
        found += [job["id"] for job in objects(*page)]
        _, err, _ = run(*page)
    assert found == ["j0", "j1", "j2", "j3", "j4"]


def test_a_place_that_is_none_is_wrong_usage(scheduler):
    for command in (("job", "list"), ("runs", "list"), ("job", "list", "--sort", "id")):
        _, err, code = run(*command, "--after", "nonsense")
        assert "the place that the page before gave" in err and code == Exit.USAGE


def test_jobs_that_fail_are_listed(scheduler):
    assert objects("job", "list", "--failing") == []


def test_a_page_of_runs_names_the_place_where_the_next_one_begins(scheduler):
    fail(scheduler, "j1", 3)
    _, err, _ = run("runs", "list", "--after", "", "--limit", "2")
    first = objects("runs", "list", "--after", "", "--limit", "2")
    rest = objects("runs", "list", "--after", place(err), "--limit", "2")
    assert [len(first), len(rest)] == [2, 1]
    assert {run["run_id"] for run in first + rest} == {run["run_id"] for run in objects("runs", "list")}


def test_errors_are_shown_in_groups(scheduler):
    fail(scheduler, "j1", 3)
    fail(scheduler, "j2", 1)
    (group,) = objects("errors")
    assert (group["count"], group["jobs"], group["message"]) == (4, 2, "no figures for #")
    assert [(each["job_id"], each["count"]) for each in objects("errors", "--by", "job")] == [("j1", 3), ("j2", 1)]
    out, err, _ = run("errors", "--limit", "2", "-o", "table")
    assert "no figures for #" in out and "only the newest 2 failures count here" in err
    assert run("errors", "--since", "soon")[2] == Exit.USAGE


def test_the_load_ahead_is_shown_by_day_and_hour(scheduler):
    load = objects("load")
    assert len(load["week"]) == 7 and {len(day) for day in load["week"]} == {24} and len(load["hour"]) == 60
    assert load["estimated_from"] == load["of"] == 5 and load["peaks"][0]["triggers"][0]["jobs"] == 1
    out, _, _ = run("load", "-o", "table", "--tz", "UTC")
    assert out.startswith("DAY") and "Sun" in out and "interval[2:00:00] (1 jobs" in out


def test_the_audit_has_what_commands_did_and_why(scheduler):
    run("job", "pause", "j1", "--reason", "vendor down")
    run("job", "pause", "--prefix", "j", "--yes")
    run("job", "set", "j2", "--max-instances", "3")
    run("job", "run", "j3")
    run("job", "remove", "j4", "--yes")
    entries = objects("audit")
    assert [(entry["action"], entry["target"], entry["count"]) for entry in entries] == [
        ("job.remove", "j4", 1), ("job.run", "j3", 1), ("job.change", "j2", 1), ("job.pause", "prefix:j", 4),
        ("job.pause", "j1", 1),
    ]  # fmt: skip
    assert {entry["via"] for entry in entries} == {"cli"} and "@" in entries[0]["actor"]
    assert entries[-1]["reason"] == "vendor down" and entries[2]["after"] == {"max_instances": "3"}
    (one,) = objects("audit", "--target", "j2", "--action", "job.change", "--since", "1h")
    assert one == entries[2]
    _, err, _ = run("audit", "--limit", "2")
    assert objects("audit", "--limit", "2", "--after", place(err)) == entries[2:4]
    assert scheduler.get_job("j1").definition.last_change.via == "cli"


def test_a_run_that_waits_is_cancelled_by_the_beginning_of_its_id(scheduler):
    assert run("job", "run", "j1", "--request", "x")[0] == run("job", "run", "j1", "--request", "x")[0] == "j1!x\n"
    assert objects("runs", "cancel", "j1!", "--reason", "by mistake") == {"run_id": "j1!x", "cancel": "requested"}
    (entry,) = objects("audit", "--action", "run.cancel")
    assert (entry["target"], entry["reason"]) == ("j1!x", "by mistake")
    assert run("job", "run", "j1", "--request", "a b")[2] == Exit.USAGE


def test_a_run_that_is_not_in_progress_is_not_cancelled(scheduler):
    fail(scheduler, "j1", 1)
    (ended,) = objects("runs", "list")
    _, err, code = run("runs", "cancel", ended["run_id"])
    assert "has ended, failed" in err and code == Exit.NOT_FOUND
    _, err, code = run("runs", "cancel", "nothing")
    assert "no run 'nothing' is in progress" in err and code == Exit.NOT_FOUND


may_end = Event()


def talk() -> None:
    """Prints, as a command does, that it begins, and when it may that it ends."""
    current_run().output.add(b"begins\n")
    may_end.wait()
    current_run().output.add(b"ends\n")


def test_the_output_of_a_run_is_printed_and_followed_to_its_end(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/jobs.sqlite"
    monkeypatch.setenv("GSCHED_STORE", address)
    may_end.clear()
    running = GeventScheduler(jobstores={"default": SQLJobStore(address, modules=[__name__])}, timezone="UTC")
    running.start()
    running.add_job(f"{__name__}:talk", "date", id="talk", keep_output="64KiB")
    wait_until(lambda: "begins" in run("runs", "output", "talk").out, sleep=gevent.sleep)
    found = objects("runs", "output", "talk")
    assert (found["going_on"], found["attempt"], found["truncated"]) == (True, 1, False)
    gevent.spawn_later(0.1, may_end.set)  # while the command follows
    out, _, code = run("runs", "output", "talk", "--follow")
    running.shutdown()
    assert (out, code) == ("begins\nends\n", Exit.OK)
    refused = run("runs", "output", "nobody")
    assert refused.code == Exit.NOT_FOUND and "gsched runs list" in refused.err
