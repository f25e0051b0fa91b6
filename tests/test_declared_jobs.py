"""[[job]] entries: what is understood, what is refused; the store follows the file, and nothing else is touched."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runner_rig import run_to_the_end, running, write
from waiting import wait_until

from gsched import ConfigurationError, GeventScheduler
from gsched.config import read_configuration
from gsched.runner.declared import apply_declared, plan_declared, read_declarations

pytest_plugins = ["mongodb"]

ENTRY = """
[[job]]
id = "refresh"
func = "time:time"
trigger = { type = "interval", seconds = 3600 }
"""


@pytest.fixture(params=["memory", "mongodb"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[GeventScheduler]:
    """A scheduler that does not run, on each kind of store."""
    made = GeventScheduler(timezone="UTC")
    if request.param == "memory":
        made.add_jobstore("memory")
    else:
        database = request.getfixturevalue("database")
        made.add_jobstore("mongodb", uri=request.getfixturevalue("uri"), database=database.name)
    yield made
    made.close()


@pytest.fixture
def follow(tmp_path: Path, scheduler: GeventScheduler) -> Any:
    """Has the store follow a file with this text: what was done."""

    def bring(text: str, owner: str = "gsched") -> dict[str, int]:
        path = write(tmp_path / "gsched.toml", f"[gsched]\nname = '{owner}'\n{text}")
        plan = plan_declared(scheduler, read_declarations(read_configuration(path), scheduler), owner)
        apply_declared(scheduler, plan, owner)
        return {what: count for what, count in plan.counts().items() if count}

    return bring


def job(scheduler: GeventScheduler, job_id: str = "refresh") -> Any:
    found = scheduler.get_job(job_id)
    assert found is not None
    return found


# -- following the file ---------------------------------------------------------------------------------------------


def test_jobs_come_change_and_go_with_their_entries(scheduler, follow):
    assert follow(ENTRY) == {"added": 1}
    assert follow(ENTRY) == {"unchanged": 1}
    assert follow(ENTRY + "tags = ['prices']\ntimeout = '30s'") == {"changed": 1}
    assert (job(scheduler).tags, job(scheduler).timeout) == (("prices",), 30.0)
    assert follow("") == {"removed": 1}
    assert scheduler.get_jobs() == []


def test_what_is_paused_and_when_it_is_due_survive_a_change_of_something_else(scheduler, follow):
    follow(ENTRY)
    due = job(scheduler).definition.next_run_ms
    scheduler.pause_job("refresh")
    assert follow(ENTRY + "max_instances = 3") == {"changed": 1}
    changed = job(scheduler).definition
    assert (changed.next_run_ms, changed.paused, changed.max_instances) == (due, True, 3)


def test_a_new_trigger_counts_from_now_on(scheduler, follow):
    follow(ENTRY)
    assert follow(ENTRY.replace("3600", "7200")) == {"changed": 1}
    assert job(scheduler).definition.next_run_ms - scheduler.now_ms() > 3_700_000


def test_what_was_changed_by_hand_is_as_the_file_says_again(scheduler, follow):
    follow(ENTRY)
    scheduler.modify_job("refresh", max_instances=9)
    assert follow(ENTRY) == {"changed": 1}
    assert job(scheduler).max_instances == 1


def test_jobs_that_were_added_by_other_means_are_never_touched(scheduler, follow):
    scheduler.add_job("time:time", "interval", hours=1, id="other", metadata={"mine": 1})
    follow(ENTRY)
    follow("")
    assert [each.id for each in scheduler.get_jobs()] == ["other"]
    with pytest.raises(ConfigurationError, match=r"'other'.* was added by other means"):
        follow(ENTRY.replace("refresh", "other"))


def test_files_with_different_names_do_not_touch_each_others_jobs(scheduler, follow):
    follow(ENTRY, owner="one")
    assert follow(ENTRY.replace("refresh", "second"), owner="two") == {"added": 1}
    with pytest.raises(ConfigurationError, match="was added by one"):
        follow(ENTRY, owner="two")
    assert follow("", owner="one") == {"removed": 1}
    assert [each.id for each in scheduler.get_jobs()] == ["second"]


def test_one_conflict_keeps_everything_as_it_was(scheduler, follow):
    follow(ENTRY)
    scheduler.add_job("time:time", "interval", hours=1, id="taken")
    with pytest.raises(ConfigurationError):
        follow(ENTRY.replace("refresh", "new") + ENTRY.replace("refresh", "taken"))
    assert sorted(each.id for each in scheduler.get_jobs()) == ["refresh", "taken"]


def test_an_instant_that_has_passed_is_not_run_at_every_start(scheduler, follow):
    text = ENTRY.replace("type = \"interval\", seconds = 3600", "type = \"date\", run_date = 2020-01-01T00:00:00Z")
    assert follow(text) == {}
    assert follow(text.replace("2020", "2220")) == {"added": 1}
    assert follow(text.replace("2020", "2220")) == {"unchanged": 1}


def test_two_processes_that_start_at_once_do_not_disturb_each_other(tmp_path, scheduler):
    path = write(tmp_path / "gsched.toml", ENTRY)
    declarations = read_declarations(read_configuration(path), scheduler)
    plans = [plan_declared(scheduler, declarations, "gsched") for _ in range(2)]
    for plan in plans:
        apply_declared(scheduler, plan, "gsched")
    assert [each.id for each in scheduler.get_jobs()] == ["refresh"]


# -- reading entries ------------------------------------------------------------------------------------------------


def test_a_trigger_may_be_a_crontabs_text_in_the_configured_zone(scheduler, follow):
    follow(ENTRY.replace('{ type = "interval", seconds = 3600 }', '"30 4 * * mon"'))
    assert "30 4 * * mon" in str(job(scheduler).trigger) and str(job(scheduler).trigger.timezone) == "UTC"


def test_a_command_is_a_job_with_its_text_as_name(scheduler, follow):
    follow("""
        [[job]]
        id = "backup"
        command = "backup --all"
        cwd = "/srv"
        trigger = "@daily"
        """)  # fmt: skip
    found = job(scheduler, "backup").definition
    assert (found.func_ref, found.name) == ("gsched.runner.commands:run_command", "backup --all")
    assert (list(found.args), dict(found.kwargs)) == (["backup --all"], {"cwd": "/srv"})


def test_reboot_is_left_to_the_start_of_the_machine(scheduler, follow):
    text = ENTRY.replace('{ type = "interval", seconds = 3600 }', '"@reboot"')
    assert follow(text) == {"added": 1}
    assert "@reboot" in job(scheduler).tags and job(scheduler).definition.next_run_ms > scheduler.now_ms() + 10**12
    assert follow(text) == {"unchanged": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("id = ", "idd = "), r"\[\[job\]\] 1 \('without id'\): the key 'idd' is unknown; did you mean 'id'"),
        (('id = "refresh"', ""), "the key 'id' is missing"),
        (('id = "refresh"', "id = 3"), "id: expected a text"),
        (("trigger = ", "# "), "the key 'trigger' is missing"),
        (("seconds = 3600", "second = 3600"), r"\('refresh'\): trigger: .*second"),
        (('"interval"', '"intervall"'), "trigger: .*'intervall'.*did you mean 'interval'"),
        (("seconds = 3600", "seconds = -1"), "trigger: "),
        (('{ type = "interval", seconds = 3600 }', '"61 * * * *"'), "trigger: .*61"),
        (('{ type = "interval", seconds = 3600 }', '{ type = "date" }'), "trigger: run_date is missing"),
        (('{ type = "interval", seconds = 3600 }', "5"), "trigger: expected a table"),
        (("time:time", "no_such:thing"), "func: 'no_such:thing': cannot import"),
        (("time:time", "time:tiem"), "func: .*'tiem'"),
        (("time:time", "time"), "func: .* is not a function reference"),
        (('"time:time"', "7"), "func: expected 'package.module:function'"),
        (("[[job]]", "[[job]]\ncommand = 'ls'"), "either func or command"),
        (('func = "time:time"', ""), "either func or command"),
        (('func = "time:time"', 'command = " "'), "command: expected a text"),
        (('func = "time:time"', 'command = "ls"\nargs = [1]'), "args: a command has none"),
        (("[[job]]", "[[job]]\ncwd = '/'"), "cwd: only an entry with a command has it"),
        (("time:time", "textwrap:dedent"), "does not accept these arguments"),
        (("[[job]]", "[[job]]\nargs = 'x'"), "args: expected a list"),
        (("[[job]]", "[[job]]\ntimeout = 'soon'"), "timeout: 'soon' is not a duration"),
        (("[[job]]", "[[job]]\nmax_instances = 0"), "max_instances: expected a whole number"),
        (("[[job]]", "[[job]]\nexecutor = 'threads'"), "executor: 'threads' is unknown"),
        (("[[job]]", "[[job]]\njobstore = 'other'"), "jobstore: 'other' is unknown"),
        (("[[job]]", "[[job]]\nmetadata = { declared_by = 'me' }"), "metadata: expected a table without"),
        (("[[job]]", ENTRY + "[[job]]"), r"\[\[job\]\] 2 \('refresh'\): id: another entry has it already"),
    ],
)
def test_what_cannot_be_right_is_named_with_its_entry_and_key(tmp_path, change, message):
    path = write(tmp_path / "gsched.toml", ENTRY.replace(*change, 1))
    with pytest.raises(ConfigurationError, match=message):
        read_declarations(read_configuration(path), GeventScheduler())


# -- in a runner ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "jobs.py", """
        import structlog
        def say(what="hello"):
            structlog.get_logger("app").info("said", what=what)
        """)  # fmt: skip
    return tmp_path / "gsched.toml"


def entries(*ids: str, seconds: float = 0.3) -> str:
    return "\n".join(
        f'[[job]]\nid = "{job_id}"\nfunc = "jobs:say"\nargs = ["{job_id}"]\n'
        f'trigger = {{ type = "interval", seconds = {seconds} }}'
        for job_id in ids
    )


def test_hup_reloads_jobs_and_log_level_and_keeps_the_old_ones_if_they_are_wrong(file: Path) -> None:
    write(file, entries("one", "two"))
    with running(file.parent, "-c", "gsched.toml", "--memory") as runner:
        runner.wait_for("said", 2)
        write(file, entries("two", "three"))
        runner.send(signal.SIGHUP)
        runner.wait_for("configuration.reloaded")
        assert {k: runner.lines("jobs.declared")[-1][k] for k in ("added", "removed", "unchanged")} == {
            "added": 1, "removed": 1, "unchanged": 1,
        }  # fmt: skip
        wait_until(lambda: "three" in {line["what"] for line in runner.lines("said")}, runner.text)

        write(file, entries("two", "two"))
        runner.send(signal.SIGHUP)
        assert "another entry has it already" in runner.wait_for("configuration.refused")[0]["error"]
        write(file, "not toml")
        runner.send(signal.SIGHUP)
        assert "not TOML" in runner.wait_for("configuration.refused", 2)[1]["error"]
        said = len(runner.lines("said"))
        runner.wait_for("said", said + 2)

        write(file, "[gsched]\nname = 'other'\n[log]\nlevel = 'warning'\n" + entries("two"))
        runner.send(signal.SIGHUP)
        wait_until(lambda: "name" in str(runner.lines("configuration.reloaded")[-1].get("need_a_restart"))
                   or not runner.lines("configuration.reloaded")[1:], runner)  # fmt: skip
        assert runner.end() == 0


def test_a_wrong_entry_ends_a_start_before_anything_is_changed(file: Path) -> None:
    write(file, entries("one") + "\nmax_instance = 3")
    code, said = run_to_the_end(file.parent, "-c", "gsched.toml", "--memory")
    assert code == 3 and "did you mean 'max_instances'" in said and "Traceback" not in said


def test_jobs_are_declared_as_soon_as_the_store_answers(file: Path, uri: str, database) -> None:
    """The way to the MongoDB's socket leads nowhere until a link is made."""
    directory, _, rest = uri.removeprefix("mongodb://").partition("%2Fmongod.sock")
    link = file.parent / "to-the-store"
    url = f"mongodb://{str(link).replace('/', '%2F')}%2Fmongod.sock{rest}"
    url += "&serverSelectionTimeoutMS=300" if "?" in rest else "/?serverSelectionTimeoutMS=300"
    write(file, f"[store]\nurl = '{url}'\ndatabase = '{database.name}'\n{entries('late')}")
    with running(file.parent, "-c", "gsched.toml") as runner:
        assert runner.lines("jobs.postponed") and not runner.lines("jobs.declared")
        link.symlink_to(directory.replace("%2F", "/"))
        assert runner.wait_for("jobs.declared")[0]["added"] == 1
        runner.wait_for("said")
