"""A runner that is down is visible wherever people look at jobs, change them, or wait for a run."""

from __future__ import annotations

import re
import signal
from datetime import UTC, datetime, timedelta

import pytest

from gsched.runner.exit_codes import Exit

pytest_plugins = ["mongodb", "insight_rig"]

NO_RUNNER = "gsched: no runner is alive: nothing runs until `gsched run` is started"


def ago(**duration):
    return datetime.now(UTC) - timedelta(**duration)


@pytest.fixture
def abandoned(rig):
    """A store with a job that is due every minute, and whose only node was killed three minutes and a half ago."""
    rig.scheduler.admin.prepare_store()
    rig.add("poll", trigger={"trigger": "interval", "minutes": 1})
    silent = {"watermark": ago(minutes=3.5), "acked": ago(minutes=3.5), "beat_at": ago(minutes=3.5)}
    rig.pretend_node("17-web1-4711-ab", started_at=ago(hours=1), **silent)
    rig.jobs.slots.update_many({}, {"$set": {"owner": "17-web1-4711-ab", "attached": True}})
    rig.jobs.update_one({}, {"$set": {"next_run_time": ago(minutes=3), "admitted": True}})
    return rig


def on_terminal(rig, *arguments):
    terminal = rig.on_terminal(*arguments)
    terminal.wait_for("no runner is alive")
    return terminal.text


# -- a line on stderr -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["job", "list"],
        ["job", "show", "poll"],
        ["job", "run", "poll"],
        ["job", "set", "poll", "--name", "Poll"],
        ["job", "resume", "poll"],
    ],
)
def test_commands_about_jobs_say_that_no_runner_is_alive(abandoned, arguments):
    out, err = abandoned.run(*arguments)
    assert re.fullmatch(re.escape(NO_RUNNER) + r" \(17-web1-4711-ab sent its last heartbeat 4 min ago\)\n", err)
    assert out


def test_nothing_is_said_while_a_runner_is_alive(rig):
    rig.add("poll", trigger={"trigger": "interval", "minutes": 1})
    rig.node()
    for arguments in (["job", "list"], ["job", "show", "poll"], ["job", "resume", "poll"], ["job", "run", "poll"]):
        assert rig.run(*arguments)[1] == ""


def test_pausing_and_removing_need_no_runner(abandoned):
    assert abandoned.run("job", "pause", "poll")[1] == ""
    assert abandoned.run("job", "remove", "poll", "--yes")[1] == ""


def test_a_node_that_was_killed_is_silent_in_the_list_of_nodes(rig):
    node = rig.node()
    rig.wait_for_slots(node, 256)
    node.end(signal.SIGKILL)
    rig.wait_until(lambda: rig.node_of(node).state == "silent", "its silence")
    (listed,) = rig.json("node", "list", "--state", "silent")
    assert listed["slots"] == 256
    assert NO_RUNNER in rig.run("job", "list")[1]


# -- waiting for a run ----------------------------------------------------------------------------------------------


def test_waiting_for_a_run_says_that_no_runner_has_begun_it(abandoned):
    _, err = abandoned.run("job", "run", "poll", "--wait", "--timeout", "0.3", code=Exit.FAILED)
    assert re.match(r"gsched: waiting for poll!.*; " + re.escape(NO_RUNNER.removeprefix("gsched: ")), err)
    assert re.search(r"the run 'poll!.*' has not begun: no runner is alive \(17-web1-4711-ab sent its last", err)
    assert "start a runner: `gsched run`; the request stays until then" in err
    assert "it goes on" not in err


def test_waiting_for_a_run_whose_runner_dies_says_so(rig):
    rig.add("slow", func="sleep", args=[60])
    node = rig.node()
    waiting = rig.start("job", "run", "slow", "--wait", "--timeout", "12s")
    rig.wait_until(lambda: rig.scheduler.get_runs("slow", outcome="running"), "the run")
    node.end(signal.SIGKILL)
    assert waiting.wait() == Exit.FAILED
    error = "\n".join(waiting.errors)
    assert "has not ended, and no runner is alive" in error and "start a runner" in error


# -- overdue jobs ---------------------------------------------------------------------------------------------------


def test_an_overdue_job_looks_overdue_in_a_table(abandoned):
    assert re.search(r"poll .* scheduled +due 3 min ago +interval", on_terminal(abandoned, "job", "list"))
    assert re.search(r"next_run_time\W.*due 3 min ago", on_terminal(abandoned, "job", "show", "poll"))


def test_other_forms_have_the_time(abandoned):
    (job,) = abandoned.json("job", "list")
    assert datetime.fromisoformat(job["next_run_time"]) > datetime.now(UTC)


def test_a_job_is_not_overdue_while_a_runner_claims_it(rig):
    rig.add("poll", trigger={"trigger": "interval", "seconds": 1})
    node = rig.node()
    rig.wait_for_slots(node, 256)
    rig.jobs.update_one({}, {"$set": {"next_run_time": ago(hours=1)}})  # a lower bound, as it is in long use
    out, _ = rig.run("job", "list", "-o", "table")
    assert "ago" not in out


def test_paused_jobs_are_not_overdue(abandoned):
    abandoned.run("job", "pause", "poll")
    assert "ago" not in abandoned.run("job", "list", "-o", "table")[0]


def test_a_job_that_is_set_to_run_now_is_shown_as_due_now(abandoned):
    out, _ = abandoned.run("job", "set", "poll", "--next-run-time", "now", "-o", "table")
    assert out.splitlines()[-1].split() == ["poll", "scheduled", "now"]
    abandoned.add("yearly")
    (job,) = abandoned.json("job", "set", "yearly", "--next-run-time", "now")
    assert abs(datetime.fromisoformat(job["next_run_time"]) - datetime.now(UTC)) < timedelta(minutes=1)


# -- the doctor -----------------------------------------------------------------------------------------------------


def runners(findings):
    return [finding for finding in findings if finding["check"] == "runners"]


def test_jobs_that_are_due_without_a_runner_are_a_problem(abandoned):
    (found,) = runners(abandoned.json("doctor", code=Exit.FAILED))
    assert found == {
        "check": "runners", "verdict": "problem", "remedy": "start one: `gsched run`",
        "found": "no runner is alive: 1 jobs wait for one, 1 of them are due",
    }  # fmt: skip


def test_jobs_that_are_not_due_yet_without_a_runner_are_a_warning(rig):
    rig.add("yearly")
    (found,) = runners(rig.json("doctor"))
    assert (found["verdict"], found["found"]) == (
        "warning", "no runner is alive: 1 jobs wait for one, 0 of them are due",
    )  # fmt: skip


def test_without_jobs_no_runner_is_missed(rig):
    rig.add("paused", next_run_time=None)
    assert not runners(rig.json("doctor"))
