"""gsched job and gsched runs, on a real MongoDB."""

from __future__ import annotations

import getpass
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from command_line import gsched, in_process, on_terminal

from gsched.runner.exit_codes import Exit

pytest_plugins = ["mongodb"]

NO_RUNNER = "gsched: no runner is alive: nothing runs until `gsched run` is started\n"

ODD = ["-dash", "two\nlines", "日本語", " ", "a!b@c#d", "$where", "tab\there", "%s{}", "\x1b[2J"]


@pytest.fixture
def run(address):
    return partial(in_process, GSCHED_STORE=address)


def add(jobs, *ids, trigger="interval", **options):
    timing = {"hours": 1} if trigger == "interval" else {}
    for job_id in ids:
        jobs.add_job("time:sleep", trigger, args=[0], id=job_id, **timing, **options)


def rows(out):
    return [line.split("\t") for line in out.splitlines()]


# -- list, show, next -----------------------------------------------------------------------------------------------


def test_list_filters_and_pages(jobs, run):
    add(jobs, "a1", "a2", tags=["red"])
    add(jobs, "b1", name="Blue one")
    jobs.pause_job("a2")

    def listed(*options):
        return [row[0] for row in rows(run("job", "list", *options)[0])]

    assert listed() == ["a1", "b1", "a2"]
    assert listed("--tag", "red") == ["a1", "a2"]
    assert listed("--state", "paused") == ["a2"]
    assert listed("--text", "BLUE") == ["b1"]
    assert listed("--skip", "1", "--limit", "1") == ["b1"]


def test_the_next_run_time_is_the_true_one(jobs, run, database):
    add(jobs, "a")
    long_ago = datetime.now(UTC) - timedelta(days=1, minutes=1)
    database.jobs.update_one({"_id": "a"}, {"$set": {"next_run_time": long_ago}})  # a lower bound
    (row,) = rows(run("job", "list")[0])
    due = datetime.fromisoformat(row[3])
    assert timedelta(0) < due - datetime.now(UTC) < timedelta(hours=1)


def test_show_has_options_and_figures(jobs, run, database):
    add(jobs, "a", timeout=30, tags=["x", "y"], metadata={"owner": "me"})
    figures = {"runs": 7, "failures": 2, "last_error": "failed: No"}
    database.jobs.update_one({"_id": "a"}, {"$set": {"figures": figures}})
    shown = json.loads(run("job", "show", "a", "-o", "json")[0])
    expected = {"id": "a", "state": "scheduled", "timeout": 30, "tags": ["x", "y"], "metadata": {"owner": "me"},
                "func_ref": "time:sleep", "args": [0], "runs": 7, "failures": 2, "last_error": "failed: No",
                "parked": None, "jobstore": "default"}  # fmt: skip
    assert {key: shown[key] for key in expected} == expected


def test_show_has_the_reason_why_a_job_is_parked(jobs, run, database):
    add(jobs, "a")
    database.jobs.update_one({"_id": "a"}, {"$set": {"parked": "its function is gone"}})
    shown = json.loads(run("job", "show", "a", "-o", "json")[0])
    assert (shown["state"], shown["parked"], shown["next_run_time"]) == ("parked", "its function is gone", None)


def test_next_gives_the_next_times_in_a_zone(jobs, run):
    add(jobs, "a")
    jobs.reschedule_job("a", trigger="cron", hour=3, timezone="Asia/Tokyo")
    out, err, code = run("job", "next", "a", "--count", "3", "--tz", "Europe/Paris")
    times = [datetime.fromisoformat(line) for line in out.splitlines()]
    assert (err, code, len(times)) == ("", Exit.OK, 3)
    assert [time.astimezone(UTC).hour for time in times] == [18] * 3  # three o'clock in Tokyo
    assert {time.utcoffset() for time in times} <= {timedelta(hours=1), timedelta(hours=2)}
    assert run("job", "next", "a", "--tz", "Mars")[2] == Exit.USAGE


def test_next_of_a_paused_job_says_so(jobs, run):
    add(jobs, "a")
    jobs.pause_job("a")
    out, err, code = run("job", "next", "a", "--count", "2")
    assert len(out.splitlines()) == 2 and "'a' is paused" in err and code == Exit.OK


def test_next_of_a_date_has_one_time(jobs, run):
    add(jobs, "once")
    jobs.reschedule_job("once", trigger="date", run_date="2999-01-01T00:00:00+00:00")
    out, err, _ = run("job", "next", "once")
    assert out == "2999-01-01T00:00:00+00:00\n" and "due 1 more times" in err


# -- which job is meant -------------------------------------------------------------------------------------------


def test_the_beginning_of_an_id_is_enough_if_it_is_one_jobs(jobs, run):
    add(jobs, "refresh", "refresh-a", "report")
    assert run("job", "show", "rep")[2] == Exit.OK
    assert rows(run("job", "show", "refresh")[0])[0] == ["id", "refresh"], "an exact id wins"
    out, err, code = run("job", "show", "re")
    assert (out, code) == ("", Exit.CONFLICT)
    assert all(repr(job_id) in err for job_id in ("refresh", "refresh-a", "report"))


@pytest.mark.parametrize(("wanted", "meant"), [("rfresh-prices", "refresh-prices"), ("prices", "refresh-prices")])
def test_an_unknown_id_names_the_nearest(jobs, run, wanted, meant):
    add(jobs, "refresh-prices", "nightly")
    out, err, code = run("job", "show", wanted)
    assert (out, code) == ("", Exit.NOT_FOUND) and f"Did you mean {meant!r}?" in err


@pytest.mark.parametrize("command", ["show", "next", "run", "pause", "resume"])
def test_every_command_says_that_a_job_is_not_there(run, command):
    assert run("job", command, "nope")[2] == Exit.NOT_FOUND


def test_an_empty_id_is_no_beginning_of_any(jobs, run):
    add(jobs, "a")
    assert run("job", "remove", "", "--yes")[2] == Exit.USAGE and jobs.get_job("a")


@pytest.mark.parametrize("job_id", ODD)
def test_ids_may_hold_anything_and_are_shown_in_a_line(jobs, run, job_id):
    add(jobs, job_id)
    (row,) = rows(run("job", "list")[0])
    assert row[0].isprintable() and len(row) == 6
    assert run("job", "pause", "--", job_id)[2] == Exit.OK
    assert jobs.get_job(job_id).state == "paused"
    assert json.loads(run("job", "list", "-o", "jsonl")[0])["id"] == job_id
    assert run("job", "remove", "--yes", "--", job_id)[2] == Exit.OK
    assert jobs.get_job(job_id) is None


@pytest.mark.parametrize("job_id", ODD)
def test_odd_ids_that_are_not_there_are_not_found(jobs, run, job_id):
    add(jobs, "a")
    assert run("job", "show", "--", job_id)[2] == Exit.NOT_FOUND


# -- changing -------------------------------------------------------------------------------------------------------


def test_pause_and_resume_take_several(jobs, run):
    add(jobs, "a", "b", "c")
    out, _, code = run("job", "pause", "a", "b", "a")
    assert [row[:2] for row in rows(out)] == [["a", "paused"], ["b", "paused"]] and code == Exit.OK
    assert [job.id for job in jobs.get_jobs(state="paused")] == ["a", "b"]
    run("job", "resume", "a", "b")
    assert jobs.get_jobs(state="paused") == []


def test_a_pause_says_why_and_until_when_and_whose_it_is(jobs, run):
    add(jobs, "a")
    assert run("job", "pause", "a", "--reason", "vendor down", "--until", "2h")[2] == Exit.OK
    pause = jobs.get_job("a").pause_info
    assert pause.reason == "vendor down" and pause.until - pause.at == timedelta(hours=2)
    assert pause.by == f"{getpass.getuser()}@{socket.gethostname()}"
    (listed,) = json.loads(run("job", "list", "-o", "json")[0])
    assert (listed["state"], listed["pause"]["reason"], listed["pause"]["by"]) == ("paused", "vendor down", pause.by)
    shown = json.loads(run("job", "show", "a", "-o", "json")[0])
    assert (shown["state"], shown["pause"]) == ("paused", listed["pause"])


@pytest.mark.parametrize("command", [("list",), ("show", "a")])
def test_people_read_the_reason_of_a_pause_where_they_read_the_state(jobs, run, command):
    add(jobs, "a", "b")
    jobs.pause_job("a", reason="vendor down", by="ops")
    assert "paused by ops: vendor down" in run("job", *command, "-o", "table")[0]


def test_the_next_times_of_a_paused_job_come_with_the_reason_why_it_is_not_due(jobs, run):
    add(jobs, "a")
    jobs.pause_job("a", reason="vendor down", by="ops")
    assert "'a' is paused by ops: vendor down; it is not due until it is resumed" in run("job", "next", "a")[1]


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Tokyo", 9), ("UTC", 0)])
def test_a_time_of_day_is_the_next_one_in_the_zone_that_is_named(jobs, run, zone, hour):
    add(jobs, "a")
    now = datetime.now(UTC)
    assert run("job", "pause", "a", "--until", f"{hour}:00", "--timezone", zone)[2] == Exit.OK
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert jobs.get_job("a").pause_info.until in (midnight, midnight + timedelta(days=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--until", "2001-01-01"], "--until: must be ahead"),
        (["--until", "25:00"], "--until: '25:00' is not a duration"),
        (["--reason", "x" * 251], "--reason: expected at most 250 characters"),
    ],
)
def test_a_pause_that_cannot_be_meant_is_wrong_usage(jobs, run, options, message):
    add(jobs, "a")
    out, err, code = run("job", "pause", "a", *options)
    assert (out, code) == ("", Exit.USAGE) and message in err
    assert jobs.get_job("a").state == "scheduled"


def test_all_jobs_of_the_store_are_paused_for_a_maintenance_and_resumed_by_its_reason(jobs, run):
    add(jobs, "a1", "a2", "b")
    jobs.pause_job("b", reason="for good")
    out, err, code = run("job", "pause", "--all", "--reason", "upgrade", "--yes")
    assert ([row[0] for row in rows(out)], code) == (["a1", "a2"], Exit.OK)
    assert "1 of 3 jobs stay as they are" in err
    assert [row[0] for row in rows(run("job", "resume", "--all", "--reason", "upgrade", "--yes")[0])] == ["a1", "a2"]
    assert [job.id for job in jobs.get_jobs(state="paused")] == ["b"]


@pytest.mark.parametrize("command", ["pause", "resume", "remove"])
def test_jobs_are_chosen_by_how_their_ids_begin(jobs, run, command):
    add(jobs, "a1", "a2", "b")
    if command == "resume":
        jobs.pause_jobs(everything=True)
    assert [row[0] for row in rows(run("job", command, "--prefix", "a", "--yes")[0])] == ["a1", "a2"]
    assert run("job", command, "--prefix", "x", "--yes")[2] == Exit.NOT_FOUND


def test_one_that_is_not_there_changes_none(jobs, run):
    add(jobs, "a")
    assert run("job", "pause", "a", "nope")[2] == Exit.NOT_FOUND
    assert jobs.get_job("a").state == "scheduled"


def test_bulk_and_removal_need_a_yes_off_a_terminal(jobs, run):
    add(jobs, "a", "b", tags=["red"])
    for command in (["pause", "--tag", "red"], ["pause", "--all"], ["resume", "--tag", "red"], ["remove", "a"]):
        out, err, code = run("job", *command)
        assert (out, code) == ("", Exit.USAGE) and "--yes" in err
    assert run("job", "pause", "--tag", "red", "--yes")[2] == Exit.OK
    assert run("job", "remove", "--tag", "red", "--yes")[0] == "a\tsleep\nb\tsleep\n"
    assert jobs.get_jobs() == []


def test_a_dry_run_changes_nothing(jobs, run):
    add(jobs, "a", "b", tags=["red"])
    out, _, code = run("job", "remove", "--tag", "red", "--dry-run")
    assert [row[0] for row in rows(out)] == ["a", "b"] and code == Exit.OK
    assert len(jobs.get_jobs()) == 2


def test_jobs_and_a_tag_exclude_each_other(run):
    assert run("job", "pause")[2] == Exit.USAGE
    _, err, code = run("job", "pause", "a", "--tag", "b")
    assert code == Exit.USAGE and "not both" in err


@pytest.mark.parametrize("command", ["pause", "resume", "remove"])
@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
def test_a_tag_that_no_job_has_is_not_found(jobs, run, command, option):
    add(jobs, "a", tags=["red"])
    assert run("job", command, "--tag", "rde", option) == ("", "gsched: no job has the tag 'rde'\n", Exit.NOT_FOUND)


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", Exit.INTERRUPTED, 1), ("y\n", Exit.OK, 0)])
def test_removal_asks_on_a_terminal(jobs, address, answer, code, left):
    add(jobs, "a")
    done = on_terminal("job", "remove", "a", "--store", address, keys=answer)
    assert "Remove the job 'a'? [y/N]" in done.out and done.code == code
    assert len(jobs.get_jobs()) == left


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--name", "none"], {"name": "none"}),
        (["--timeout", "1m30s"], {"timeout": 90.0}),
        (["--timeout", "none"], {"timeout": None}),
        (["--misfire-grace-time", "10"], {"misfire_grace_time": 10.0}),
        (["--no-coalesce"], {"coalesce": False}),
        (["--max-instances", "3"], {"max_instances": 3}),
        (["--tags", "x, y"], {"tags": ("x", "y")}),
        (["--tags", ""], {"tags": ()}),
        (["--args", "[1]", "--kwargs", "{}"], {"args": (1,), "kwargs": {}}),
        (["--metadata", '{"a": [1]}'], {"metadata": {"a": [1]}}),
        (["--next-run-time", "2999-01-01T00:00"], {"next_run_time": datetime(2999, 1, 1, tzinfo=UTC)}),
    ],
)
def test_set_changes_options_and_nothing_else(jobs, run, options, expected):
    add(jobs, "a", timeout=5, tags=["t"], max_instances=2)
    before = jobs.get_job("a")
    out, err, code = run("job", "set", "a", *options)
    assert (rows(out)[0][0], err, code) == ("a", NO_RUNNER, Exit.OK)
    after = jobs.get_job("a")
    assert {name: getattr(after, name) for name in expected} == expected
    others = {"name", "executor", "timeout", "coalesce", "max_instances", "tags", "args", "metadata", "func_ref"}
    assert all(getattr(after, name) == getattr(before, name) for name in others - expected.keys())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--retries", "2"], {"retries": 2}),
        (["--retry-delay", "90s"], {"retry_delay": 90}),
        (["--retry-delay", "1s, 1m"], {"retry_delay": [1, 60], "retry_backoff": 1.0}),
        (["--retry-backoff", "1.5", "--retry-jitter", "0"], {"retry_backoff": 1.5, "retry_jitter": 0.0}),
        (["--retry-max-delay", "2h", "--retry-within", "none"], {"retry_max_delay": 7200, "retry_within": None}),
        (["--retry-on", "OSError, timeout", "--give-up-on", "ValueError"],
         {"retry_on": ["OSError", "timeout"], "give_up_on": ["ValueError"]}),
        (["--retry-on", "none"], {"retry_on": None}),
        (["--overlap", "queue"], {"overlap": "queue"}),
        (["--no-coalesce", "--max-catchup", "5", "--max-runs", "none"], {"max_catchup": 5, "max_runs": None}),
        (["--max-consecutive-failures", "3", "--failure-pause", "10m"],
         {"max_consecutive_failures": 3, "failure_pause": 600}),
        (["--expect-success-every", "26h", "--finish-within", "none"],
         {"expect_success_every": 93_600, "finish_within": None}),
        (["--recover"], {"recover": True}),
        (["--recover-times", "2"], {"recover": 2}),
        (["--retries", "0", "--no-recover"], {"retries": 0, "recover": False}),
    ],
)  # fmt: skip
def test_set_changes_options_of_the_policy_and_show_prints_them(jobs, run, options, expected):
    add(jobs, "a", retries=9, retry_within=600, max_runs=8, recover=5)
    before = jobs.get_job("a").policy
    assert run("job", "set", "a", *options)[1:] == (NO_RUNNER, Exit.OK)
    assert jobs.get_job("a").policy == {**before, **expected}
    shown = json.loads(run("job", "show", "a", "--output", "json")[0])
    assert {option: shown[option] for option in expected} == expected


def test_show_prints_the_options_of_a_policy_that_differ_from_the_defaults(jobs, run):
    add(jobs, "a", overlap="queue")
    shown = dict(rows(run("job", "show", "a")[0]))
    assert shown["overlap"] == "queue" and shown["recover"] == "false" and "retries" not in shown


def test_an_overdue_job_is_one_in_lists_and_when_it_is_shown(jobs, run):
    add(jobs, "late", expect_success_every=0.001)
    add(jobs, "other", expect_success_every="1h")
    table = run("job", "list", "-o", "table")[0]
    assert re.search(r"late .*scheduled, overdue for \d+ s", table) and table.count("overdue") == 1
    listed = json.loads(run("job", "list", "-o", "json")[0])
    assert {job["id"]: job["overdue"] for job in listed} == {"late": True, "other": False}
    assert [job["id"] for job in json.loads(run("job", "list", "--overdue", "-o", "json")[0])] == ["late"]
    assert "scheduled, overdue for" in run("job", "show", "late", "-o", "table")[0]
    shown = json.loads(run("job", "show", "other", "-o", "json")[0])
    assert (shown["state"], shown["expect_success_every"]) == ("scheduled", 3600) and shown["overdue_at"]


def test_set_says_that_executors_are_the_runners(jobs, run):
    add(jobs, "a")
    out, err, code = run("job", "set", "a", "--executor", "threads")
    assert (rows(out)[0][0], code) == ("a", Exit.OK) and "without the executor 'threads' parks the job" in err
    assert jobs.get_job("a").executor == "threads"
    assert run("job", "set", "a", "--executor", "default")[1] == NO_RUNNER


def test_set_gives_a_new_trigger_in_the_zone_of_the_old_one(jobs, run):
    add(jobs, "a")
    jobs.reschedule_job("a", trigger="cron", hour=3, timezone="Asia/Tokyo")
    run("job", "set", "a", "--cron", "30 4 * * *")
    assert jobs.get_job("a").next_run_time.strftime("%H:%M %z") == "04:30 +0900"
    run("job", "set", "a", "--cron", "30 4 * * *", "--timezone", "UTC")
    assert jobs.get_job("a").next_run_time.strftime("%H:%M %z") == "04:30 +0000"
    run("job", "set", "a", "--cron", "H 4 L * ?", "--timezone", "UTC")
    assert jobs.get_job("a").trigger.hash_key == "a"
    assert "resolved='" in run("job", "show", "a")[0]
    run("job", "set", "a", "--quartz", "0 30 4 ? * MON-FRI", "--timezone", "UTC")
    assert jobs.get_job("a").trigger.to_fields()["day_of_week"] == "mon-fri"
    run("job", "set", "a", "--every", "5m", "--between", "09:00-17:00", "--days", "mon-fri")
    assert str(jobs.get_job("a").trigger) == "interval[0:05:00, between='09:00-17:00', days='mon-fri']"
    run("job", "set", "a", "--every", "90s")
    assert str(jobs.get_job("a").trigger) == "interval[0:01:30]"


def test_set_spreads_a_job_over_its_interval_or_another_duration(jobs, run):
    add(jobs, "a", "b")
    for job_id in ("a", "b"):
        assert run("job", "set", job_id, "--every", "10s", "--spread", "yes")[1:] == (NO_RUNNER, Exit.OK)
    assert [jobs.get_job(job_id).trigger.phase_ms for job_id in ("a", "b")] == [0, 6180]
    run("job", "set", "b", "--spread", "none")
    assert str(jobs.get_job("b").trigger) == "interval[0:00:10]"
    run("job", "set", "b", "--cron", "0 2 * * *", "--spread", "1h")
    assert jobs.get_job("b").trigger.spread_ms == 3_600_000
    assert "spread[cron" in run("job", "show", "b")[0]


def test_respread_prints_the_jobs_that_move(jobs, run):
    add(jobs, "a", "b", "c", tags=["poll"])
    add(jobs, "d", trigger="0 2 * * *")
    out, err, code = run("job", "respread", "--tag", "poll", "--dry-run")
    assert ([row[0] for row in rows(out)], code) == (["a", "b", "c"], Exit.OK)
    assert {job.trigger.spread_ms for job in jobs.get_jobs(tag="poll")} == {None}
    assert [row[0] for row in rows(run("job", "respread", "--tag", "poll", "--yes")[0])] == ["a", "b", "c"]
    assert sorted(job.trigger.phase_ms for job in jobs.get_jobs(tag="poll")) == [0, 1_200_000, 2_400_000]
    out, err, code = run("job", "respread", "a", "b", "c", "d")
    assert (out, code) == ("", Exit.OK) and "4 of 4 jobs stay as they are" in err
    assert run("job", "respread", "--tag", "none")[2] == Exit.NOT_FOUND
    assert run("job", "respread", "--group", "none")[2] == Exit.NOT_FOUND
    add(jobs, "e", "f", group="host:x")
    assert len(rows(run("job", "respread", "--group", "host:x", "--yes")[0])) == 2


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--spread", "1h"],
        ["--spread", "soon"],
        ["--spread", "yes", "--next-run-time", "now"],
        ["--cron", "* *"],
        ["--cron", "* * * * *", "--every", "5s"],
        ["--every", "0s"],
        ["--timeout", "soon"],
        ["--args", "{}"],
        ["--args", "[1"],
        ["--max-instances", "0"],
        ["--next-run-time", "tomorrow"],
        ["--retries", "-1"],
        ["--retry-delay", "1s,soon"],
        ["--retry-on", "OSError"],
        ["--overlap", "allow"],
        ["--max-runs", "0"],
        ["--max-catchup", "5"],
        ["--failure-pause", "10m"],
        ["--recover-times", "0"],
    ],
)
def test_set_refuses_what_cannot_be_meant(jobs, run, database, options):
    add(jobs, "a")
    before = database.jobs.find_one({"_id": "a"})
    out, err, code = run("job", "set", "a", *options)
    assert (out, code) == ("", Exit.USAGE) and err
    assert database.jobs.find_one({"_id": "a"}) == before


# -- several stores -------------------------------------------------------------------------------------------------

SEVERAL = """
from gsched import GeventScheduler, MongoDBJobStore
def work(): pass
stores = {{alias: MongoDBJobStore({uri!r}, database={database!r}, collection=alias) for alias in ("default", "other")}}
scheduler = GeventScheduler(jobstores=stores, modules=[__name__])
"""


def test_an_application_may_have_several_stores(tmp_path, uri, database):
    (tmp_path / "several.py").write_text(SEVERAL.format(uri=uri, database=database.name))
    (tmp_path / "adding.py").write_text(
        "import several\n"
        "for alias in several.stores:\n"
        "    several.scheduler.add_job(several.work, 'interval', hours=1, id='same', jobstore=alias)\n"
        "several.scheduler.add_job(several.work, 'interval', hours=1, id='single', jobstore='other')\n"
        "scheduler = several.scheduler\n"
    )
    assert gsched("check", "-A", "adding:scheduler", directory=tmp_path).code == Exit.OK

    def run(*arguments):
        return gsched(*arguments, "-A", "several:scheduler", directory=tmp_path)

    assert [(row[0], row[6]) for row in rows(run("job", "list").out)] == [
        ("same", "default"), ("same", "other"), ("single", "other"),
    ]  # fmt: skip
    assert len(rows(run("job", "list", "--jobstore", "other").out)) == 2
    ambiguous = run("job", "pause", "same")
    assert ambiguous.code == Exit.CONFLICT and "--jobstore" in ambiguous.err
    assert run("job", "pause", "same", "--jobstore", "other").code == Exit.OK
    assert run("job", "list", "--state", "paused", "-o", "jsonl").out.count("other") == 1
