"""gsched job add, edit, copy and rename."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import Done, in_process, on_terminal

from gsched import GeventScheduler
from gsched.cli.app import COMMANDS
from gsched.cli.commands.job import TABLE
from gsched.cli.commands.job_add import add
from gsched.cli.commands.job_set import set_options
from gsched.cli.elsewhere import OF_ALL, OF_JOBS
from gsched.jobs.options import OPTIONS
from gsched.runner.exit_codes import Exit
from gsched.runner.origins import OWNER
from gsched.runner.shell.options import OPTIONS as COMMAND_OPTIONS
from gsched.stores import SQLJobStore

pytest_plugins = ["mongodb"]

NEITHER_HAS: set[str] = {"jobstore"}
Run = Callable[..., Done]


@pytest.fixture(params=["sqlite", "mongodb"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A command on an empty store."""
    if request.param == "sqlite":
        return partial(in_process, GSCHED_DATA=str(tmp_path))
    return partial(in_process, GSCHED_STORE=request.getfixturevalue("address"))


@pytest.fixture
def quick(tmp_path: Path) -> Run:
    """A command on an empty SQLite store."""
    return partial(in_process, GSCHED_DATA=str(tmp_path))


def shown(run: Run, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("job", "show", job_id, "-o", "json").out)
    return found


def edited(run: Run, job_id: str, change: str, *flags: str) -> Done:
    """Edit a job by a command of sed."""
    return run("job", "edit", job_id, "--yes", *flags, EDITOR=f"sed -i '{change}'", VISUAL="")


# -- add --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "trigger"),
    [
        (["--every", "5m"], "interval[0:05:00]"),
        (["--every", "5m", "--spread"], "interval[0:05:00, spread=True]"),
        (["--every", "1h", "--between", "09:00-17:00", "--days", "mon-fri"], "between='09:00-17:00', days='mon-fri'"),
        (["--cron", "0 3 * * *"], "crontab='0 3 * * *'"),
        (["--cron", "0 3 * * *", "--spread", "1h"], "spread[cron[crontab='0 3 * * *'], "),
        (["--cron", "@reboot"], "cron[@reboot]"),
        (["--quartz", "0 0 9 ? * MON-FRI"], "day_of_week='mon-fri'"),
        (["--at", "2100-01-31T08:00"], "date[2100-01-31 08:00:00 UTC]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_trigger_flags_give_the_job_its_trigger(quick, flags, trigger):
    done = quick("job", "add", "a", *flags, "--", "true")
    assert (done.code, done.out.split("\t")[:2]) == (0, ["a", "scheduled"]), done.err
    assert trigger in shown(quick, "a")["trigger"]


@pytest.mark.parametrize(
    ("words", "command"), [(["make | tail"], "make | tail"), (["echo", "a b", "$HOME"], "echo 'a b' '$HOME'")]
)
def test_one_word_is_a_line_for_the_shell_and_several_words_reach_the_program_unchanged(quick, words, command):
    quick("job", "add", "a", "--every", "5m", "--", *words)
    assert shown(quick, "a")["args"] == [command]


def test_a_job_is_added_with_all_its_options_and_is_in_the_audit(run):
    options = ["--retries", "3", "--retry-delay", "1m", "--timeout", "30s", "--tags", "a,b", "--group", "g"]
    command = ["--env", "A=1=2", "--cwd", "/", "--max-lines", "7", "--stdin", "x"]
    done = run("job", "add", "a", "--cron", "0 3 * * *", *options, *command, "--no-coalesce", "--paused", "--", "env")
    assert (done.code, done.out) == (0, "a\tpaused\t-\n"), done.err
    job = shown(run, "a")
    assert (job["retries"], job["retry_delay"], job["timeout"], job["tags"]) == (3, 60, 30, ["a", "b"])
    assert (job["group"], job["coalesce"], job["state"]) == ("g", False, "paused")
    assert job["kwargs"] == {"env": {"A": "1=2"}, "cwd": "/", "max_lines": 7, "stdin": "x"}
    assert "job.add\ta\t" in run("audit").out


@pytest.mark.parametrize("behind", [["--", "echo", "hi"], []])
def test_a_word_too_many_is_no_part_of_the_command(quick, behind):
    done = quick("job", "add", "a", "--every", "5", "minutes", *behind)
    assert done.code == Exit.USAGE
    assert "'minutes' is neither the job's id nor an option's value" in done.err
    assert quick("job", "list").out == ""


def test_a_function_is_added_with_its_arguments_and_a_warning_names_the_module_to_allow(quick):
    done = quick("job", "add", "a", "--every", "1h", "--func", "time:sleep", "--args", "[0]")
    job = shown(quick, "a")
    assert (job["func_ref"], job["args"], job["name"]) == ("time:sleep", [0], "sleep")
    assert 'runners of this store need modules = ["time"] in [store]' in done.err


def test_an_id_that_is_taken_is_refused_unless_the_job_is_to_be_replaced(run):
    add_it = partial(run, "job", "add", "a", "--every", "5m")
    assert add_it("--", "first").code == 0
    refused = add_it("--", "second")
    assert (refused.code, refused.out) == (Exit.CONFLICT, "") and "--replace" in refused.err
    assert shown(run, "a")["args"] == ["first"]
    assert add_it("--replace", "--", "second").code == 0
    assert shown(run, "a")["args"] == ["second"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a -- x", "When is the job due?"),
        ("a --every 5m", "What does the job run?"),
        ("a --every 5m --func time:sleep -- x", "What does the job run?"),
        ("a --every 5m --at 18:00 -- x", "--every and --at exclude each other."),
        ("a --at 2020-01-01 -- x", "--at: expected a time ahead: 18:00, 2h or 2030-01-31T08:00, got '2020-01-01'"),
        ("a --at tomorrow -- x", "--at: expected a time ahead: 18:00, 2h or 2030-01-31T08:00, got 'tomorrow'"),
        ("a --every 5m --env A -- x", "expected NAME=VALUE, got 'A'"),
        ("a --every 5m --cwd / --func time:sleep", "cwd: only a job with a command has this option"),
        ("a --every 5m --func no.such:thing", "cannot import 'no.such'"),
        ("a --cron 61_*_*_*_* -- x", "minute '61': 61 is not from 0 to 59"),
        ("a --every 5m --retry-on exit:99999 -- x", "retry_on: expected"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_write(quick, typed, said):
    done = quick("job", "add", *(word.replace("_*", " *") for word in typed.split()))
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert said in done.err


def test_each_option_of_a_job_and_of_a_command_has_its_flag():
    flags = {param.name for param in add.params}
    assert flags >= ({*OPTIONS, *COMMAND_OPTIONS, "func", "name", "args", "kwargs", "spread"} - NEITHER_HAS)
    assert {param.name for param in set_options.params} >= {*OPTIONS} - NEITHER_HAS


def test_a_notifier_that_the_configuration_does_not_have_is_named(quick, tmp_path):
    (tmp_path / "gsched.toml").write_text('[notify.ops]\ntype = "webhook"\nurl = "http://127.0.0.1:1/"\n')
    there = ["-c", str(tmp_path / "gsched.toml")]
    added = quick("job", "add", "a", *there, "--every", "1h", "--notify", "opps", "--", "true")
    assert "no notifier has the name 'opps'; did you mean 'ops'?" in added.err
    assert "no notifier" not in quick("job", "set", "a", *there, "--notify", "ops").err
    assert "no notifier has the name 'dba'" in quick("job", "set", "a", *there, "--notify", "ops,dba").err


def test_without_a_configuration_any_notifier_may_be_named(quick):
    assert "no notifier" not in quick("job", "add", "a", "--every", "1h", "--notify", "ops", "--", "true").err


def test_a_job_that_waits_for_the_next_start_of_the_machine_says_so_in_tables(quick):
    # Its stored time is the end of the year 9999.
    added = quick("job", "add", "boot", "--cron", "@reboot", "-o", "table", "--", "true")
    assert "at the next start" in added.out
    assert "at the next start" in quick("job", "list", "-o", "table").out
    assert "9999" in quick("job", "list", "-o", "json").out


# -- edit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key", "before", "after"),
    [
        ("s/retries = 3/retries = 5/", "retries", 3, 5),
        ("/retries/d", "retries", 3, 0),
        ("s/retries = 3/timeout = \"1m\"/", "timeout", None, 60),
        ("s/^command.*/command = \"pwd\"/", "args", ["ls"], ["pwd"]),
        ("s/^command.*/command = \"pwd\"/", "name", "ls", "pwd"),
        ("s/^command.*/func = \"time:time\"/;/cwd/d", "func_ref", "gsched.runner.commands:run_command", "time:time"),
        ("/cwd/d", "kwargs", {"cwd": "/"}, {}),
        ("s/0 3/30 4/", "schedule", "every day at 03:00, Etc/UTC", "every day at 04:30, Etc/UTC"),
        ("s/^command/spread = 60\\ncommand/", "schedule", "every day at 03:00, Etc/UTC",
         "every day at 03:00, Etc/UTC, spread over 1 min"),
    ],
)  # fmt: skip
def test_an_edit_changes_the_edited_key_and_nothing_else(quick, change, key, before, after):
    quick("job", "add", "a", "--cron", "0 3 * * *", "--timezone", "Etc/UTC", "--retries", "3", "--cwd", "/", "--", "ls")
    old = shown(quick, "a")
    assert old[key] == before
    assert edited(quick, "a", change).code == 0
    new = shown(quick, "a")
    assert new[key] == after
    same = {"id", "tags", "metadata", "overlap", "state", "group", "coalesce"} - {key}
    assert {name: new[name] for name in same} == {name: old[name] for name in same}


def test_the_difference_and_the_next_run_times_are_shown_before_an_edit_is_saved(run):
    run("job", "add", "a", "--cron", "0 3 1 1 *", "--", "ls")
    done = edited(run, "a", "s/0 3 1/0 4 1/")
    assert '-crontab = "0 3 1 1 *"\n+crontab = "0 4 1 1 *"\n' in done.err
    assert done.err.count("\ndue 2") == 5
    assert "0 4 1 1 *" in shown(run, "a")["trigger"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("s/^id.*/id = \"b\"/", "id: gsched job edit cannot change it; gsched job rename gives a job another id"),
        ("s/^command.*/cmd = \"x\"/", "the key 'cmd' is unknown; write command"),
        ("s/0 3/99 3/", "minute '99'"),
        ("s/^id.*/id =/", "Invalid value (at line"),
        ("d", "the key 'id' is missing"),
    ],
)
def test_a_text_with_a_mistake_changes_nothing_and_is_kept(quick, change, said):
    quick("job", "add", "a", "--cron", "0 3 * * *", "--timezone", "Etc/UTC", "--", "ls")
    done = edited(quick, "a", change)
    assert (done.code, done.out) == (Exit.INVALID, "")
    assert said in done.err
    kept = Path(done.err.partition("your text is kept in ")[2].split()[0])
    assert bool(kept.read_text()) == (change != "d")
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.unlink()
    assert shown(quick, "a")["schedule"] == "every day at 03:00, Etc/UTC"


def test_an_edit_is_not_saved_if_somebody_changed_the_job_meanwhile(run):
    run("job", "add", "a", "--every", "5m", "--", "ls")

    def other_hand(filename: str) -> None:
        run("job", "set", "a", "--retries", "1")
        Path(filename).write_text(Path(filename).read_text().replace("300", "600"))

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("click.edit", other_hand)
        done = run("job", "edit", "a", "--yes")
    assert (done.code, done.out) == (Exit.CONFLICT, "") and "somebody has changed 'a' meanwhile" in done.err
    Path(done.err.partition("your text is kept in ")[2].split()[0]).unlink()
    assert (shown(run, "a")["retries"], shown(run, "a")["trigger"]) == (1, "interval[0:05:00]")


def test_values_that_toml_cannot_express_stay(quick, tmp_path):
    scheduler = GeventScheduler(jobstores={"default": SQLJobStore(f"sqlite:///{tmp_path}/jobs.sqlite")})
    scheduler.add_job("builtins:print", "interval", hours=1, args=[1, None], kwargs={"sep": None}, id="a")
    scheduler.close()
    assert edited(quick, "a", "s/^id/retries = 2\\nid/").code == 0
    job = shown(quick, "a")
    assert (job["args"], job["kwargs"], job["retries"]) == ([1, None], {"sep": None}, 2)


def test_an_edited_job_of_a_file_keeps_its_owner_and_a_warning_names_the_file(quick, tmp_path):
    scheduler = GeventScheduler(jobstores={"default": SQLJobStore(f"sqlite:///{tmp_path}/jobs.sqlite")})
    scheduler.add_job("builtins:print", "interval", hours=1, id="a", metadata={OWNER: "web", "x": 1})
    scheduler.close()
    done = edited(quick, "a", "s/x = 1/x = 2/")
    assert "'a' is declared in the file of 'web'" in done.err
    assert shown(quick, "a")["metadata"] == {OWNER: "web", "x": 2}
    assert quick("job", "rename", "a", "b").code == Exit.CONFLICT
    assert quick("job", "copy", "a", "b").code == 0
    assert shown(quick, "b")["metadata"] == {"x": 2}


def test_without_a_change_nothing_is_saved(quick):
    quick("job", "add", "a", "--every", "5m", "--spread", "--", "ls")
    done = edited(quick, "a", "s/x/x/")
    assert (done.code, done.out, done.err) == (0, "", "gsched: no change\n")


def test_on_a_terminal_a_mistake_opens_the_editor_again_and_the_user_is_asked_to_save(quick, tmp_path):
    quick("job", "add", "a", "--every", "5m", "--", "ls")
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nif [ -e {tmp_path}/again ]; then w=600; else w=-1; touch {tmp_path}/again; fi\n'
                      'sed -i "s/^seconds.*/seconds = $w/" "$1"\n')  # fmt: skip
    editor.chmod(0o700)
    done = on_terminal("job", "edit", "a", keys="y\ny\n", EDITOR=str(editor), VISUAL="", GSCHED_DATA=str(tmp_path))
    assert "Edit it again?" in done.out and "Save 'a'?" in done.out, done.out
    assert shown(quick, "a")["trigger"] == "interval[0:10:00]"


# -- copy, rename -----------------------------------------------------------------------------------------------------


def test_a_copy_has_the_options_and_the_pause_of_its_original(run):
    run("job", "add", "a", "--cron", "0 3 * * *", "--retries", "3", "--tags", "t", "--", "ls")
    run("job", "pause", "a", "--reason", "later")
    assert run("job", "copy", "a", "b").code == 0
    copy, original = shown(run, "b"), shown(run, "a")
    same = ("args", "kwargs", "trigger", "retries", "tags", "state")
    assert {key: copy[key] for key in same} == {key: original[key] for key in same}
    assert copy["pause"]["reason"] == "later"
    assert run("job", "copy", "a", "b").code == Exit.CONFLICT


def test_a_copy_of_a_job_of_a_crontab_comes_from_no_file(quick, tmp_path):
    (tmp_path / "tab").write_text("0 3 * * * true\n")
    assert quick("crontab", "import", str(tmp_path / "tab")).code == 0
    original = shown(quick, "tab/true")
    assert original["metadata"] == {"crontab": str(tmp_path / "tab"), "prefix": "tab/", "line": 1}
    assert quick("job", "copy", "tab/true", "b").code == 0
    assert shown(quick, "b")["metadata"] == {}
    assert quick("job", "rename", "tab/true", "c").code == Exit.CONFLICT


def test_a_renamed_job_keeps_its_next_run_time_and_leaves_its_old_id(run):
    run("job", "add", "a", "--every", "7h", "--", "ls")
    due = shown(run, "a")["next_run_time"]
    assert run("job", "rename", "a", "b/c").code == 0
    assert run("job", "show", "a").code == Exit.NOT_FOUND
    assert shown(run, "b/c")["next_run_time"] == due


# -- words of other tools ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("list", "gsched job list"),
        ("pause nightly", "gsched job pause nightly"),
        ("rm 'a b'", "gsched job remove 'a b'"),
        ("status", "gsched top"),
        ("logs nightly", "gsched runs list --job nightly"),
        ("logs", "gsched runs list"),
        ("job create x", "gsched job add x"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_the_right_command(quick, typed, meant):
    done = quick(*shlex.split(typed))
    assert done.code == Exit.USAGE
    assert done.err.endswith(f" Write: {meant}\n")


def test_each_verb_of_jobs_has_an_answer_at_the_root_and_no_answer_hides_a_command():
    assert not OF_JOBS.keys() & TABLE.keys()
    assert not OF_ALL.keys() & COMMANDS.keys()
    assert OF_ALL.keys() >= TABLE.keys() - COMMANDS.keys()
