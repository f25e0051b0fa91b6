"""Looking makes nothing, and finds what is meant: private MongoDBs, runs, events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from command_line import in_process as run

from gsched.runner.exit_codes import Exit

pytest_plugins = ["mongodb"]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def on_record(database, address, monkeypatch):
    """Writes runs of jobs into the history: their ids, outcomes, and how long after noon they were due (s)."""
    monkeypatch.setenv("GSCHED_STORE", address)

    def write(*runs):
        database.jobs.runs.insert_many(
            {
                "_id": f"{run_id}#1", "state": "ended", "outcome": outcome, "job_id": run_id.rpartition("@")[0],
                "scheduled_at": NOON + timedelta(seconds=due), "attempt": 1,
            }
            for run_id, outcome, due in runs
        )  # fmt: skip

    return write


# -- a store that is not there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["job list", "job show x", "job pause x", "runs list", "events", "top --once", "node list", "store stats"],
)
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ((), "there is no file {}/jobs.sqlite"),
        (("--embedded",), "there is no file {}/jobs.sqlite"),
        (("--embedded-mongodb",), "there is no private MongoDB in {}"),
    ],
)
def test_a_mistyped_directory_is_not_found_and_not_made(tmp_path, command, kind, said):
    directory = tmp_path / "data"
    _, err, code = run(*command.split(), "--data", str(directory), *kind)
    assert said.format(directory) in err and code == Exit.NOT_FOUND
    out, _, code = run("doctor", "--data", str(directory), *kind, "-o", "plain")
    assert said.format(directory) in out and code == Exit.FAILED
    assert not directory.exists()


@pytest.mark.parametrize("kind", ["--embedded", "--embedded-mongodb"])
@pytest.mark.parametrize("made_by", [["store", "init"], ["crontab", "import", "tab"]])
def test_a_command_that_adds_jobs_makes_the_data_directory(tmp_path, monkeypatch, needs_mongod, made_by, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tab").write_text("@daily true\n")
    assert run(*made_by, "--data", "data", kind)[2] == Exit.OK
    assert run("job", "list", "--data", "data", kind)[2] == Exit.OK


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), ("* * * nonsense\n", "line 1")])
def test_a_crontab_is_read_before_a_store_is_made_for_it(tmp_path, text, said):
    tab, directory = tmp_path / "tab", tmp_path / "data"
    if text is not None:
        tab.write_text(text)
    _, err, code = run("crontab", "import", str(tab), "--data", str(directory), "--embedded")
    assert said in err and code == Exit.INVALID and not directory.exists()


# -- runs -------------------------------------------------------------------------------------------------------------


def test_the_beginning_of_a_runs_id_is_enough_if_it_is_one_runs(on_record):
    on_record(("tick@2026-11-22T12:00:00.000Z", "failed", 0), ("tick@2026-11-23T12:00:00.000Z", "lost", 86_400))
    on_record(("me@home@2026-11-22T12:00:00.000Z", "failed", 0))
    assert json.loads(run("runs", "show", "tick@2026-11-23", "-o", "json")[0])["outcome"] == "lost"
    assert json.loads(run("runs", "show", "me@home@2026", "-o", "json")[0])["job_id"] == "me@home"
    _, err, code = run("runs", "show", "tick@2026")
    assert code == Exit.CONFLICT and "the ids of several runs begin with 'tick@2026': 'tick@2026-11-22T12" in err


def test_a_run_that_waits_is_listed_with_the_time_when_it_is_due_and_shown_as_the_last_attempt(on_record, database):
    run_id, due = "tick@2026-11-22T12:00:00.000Z", NOON + timedelta(seconds=90)
    on_record((run_id, "retried", 0))
    waits = {"state": "waiting", "job_id": "tick", "scheduled_at": NOON, "attempt": 2, "due_at": due}
    database.jobs.runs.insert_one({"_id": f"{run_id}#2", **waits})
    listed = run("runs", "list", "--outcome", "waiting", "-o", "table", "--tz", "Europe/Berlin")[0]
    assert "waiting" in listed and "due 2026-11-22T13:01:30+01:00" in listed and "retried" not in listed
    shown = json.loads(run("runs", "show", run_id, "-o", "json")[0])
    assert (shown["outcome"], shown["attempt"], shown["due_at"]) == ("waiting", 2, "2026-11-22T12:01:30+00:00")


def test_a_job_alone_shows_its_last_run(on_record, jobs):
    on_record(("tick@2026-11-22T12:00:00.000Z", "failed", 0), ("tick@2026-11-23T12:00:00.000Z", "lost", 86_400))
    jobs.add_job("time:time", "interval", hours=1, id="quiet")
    assert json.loads(run("runs", "show", "tick", "-o", "json")[0])["outcome"] == "lost"
    _, err, code = run("runs", "show", "qui")
    assert code == Exit.NOT_FOUND and "the history has no run of 'quiet'" in err
    _, err, code = run("runs", "show", "quite")
    assert code == Exit.NOT_FOUND and "Did you mean 'quiet'?" in err


def test_a_run_that_left_no_record_is_explained(on_record, jobs):
    jobs.add_job("time:time", "interval", hours=1, id="quiet")
    out, _, code = run("runs", "show", "quiet@2020-01-01T00:00:00.000Z", "-o", "json")
    assert code == Exit.OK and "the job was added later" in json.loads(out)["sentence"]


# -- events -----------------------------------------------------------------------------------------------------------


def test_as_many_events_as_are_wanted_are_found_however_many_others_came_later(on_record):
    on_record(*((f"a@{n}", "failed", n) for n in range(3)), *((f"b@{n}", "missed", 100 + n) for n in range(30)))

    def told(*options):
        return [line.split("\t")[1:3] for line in run("events", "-o", "plain", *options)[0].splitlines()]

    assert told("--event", "run.failed", "--limit", "2") == [["run.failed", "a"]] * 2
    assert told("--event", "run.f*", "--event", "run.lost") == [["run.failed", "a"]] * 3
    assert told("--limit", "5") == [["run.missed", "b"]] * 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--event", "run.faild"], "No event is like 'run.faild'. Did you mean 'run.failed'?"),
        (["--event", "run.*", "--event", "xyz"], "No event is like 'xyz'. Events are job.added, "),
        (["--event", "runs.*", "--follow"], "No event is like 'runs.*'. "),
        (["--event", "job.*"], "No event like 'job.*' is recorded: --follow shows"),
    ],
)
def test_a_pattern_that_fits_no_event_is_refused(address, options, said):
    out, err, code = run("events", "--store", address, *options)
    assert (out, code) == ("", Exit.USAGE) and said in err
