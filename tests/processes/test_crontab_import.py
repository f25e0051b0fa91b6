"""Crontabs as jobs: what an import does to a store, the commands, and a runner that is given a crontab."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import command_line
import pytest
from waiting import LONGEST_SECONDS, wait_until

from gsched import ConfigurationError, GeventScheduler, JobIdConflictError, MemoryJobStore, MongoDBJobStore
from gsched.runner.crontab.lines import read_crontab
from gsched.runner.crontab.reboot import END_OF_TIME, run_reboot_jobs
from gsched.runner.crontab.sync import Change, apply_import, load_crontab, plan_import, source_of, write_crontab

pytest_plugins = ["mongodb"]



@pytest.fixture(params=["memory", "mongodb"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[GeventScheduler]:
    """A scheduler that is not started, on either store."""
    if request.param == "memory":
        store: Any = MemoryJobStore()
    else:
        database = request.getfixturevalue("database")
        store = MongoDBJobStore(request.getfixturevalue("uri"), database=database.name)
    made = GeventScheduler(jobstores={"default": store}, timezone="UTC", modules=["gsched.runner.commands"])
    yield made
    made.shutdown(wait=False) if made.running else made.close()


def bring(scheduler: GeventScheduler, text: str, file: str = "/tmp/tab", **options: Any) -> list[tuple[str, str]]:
    """Import a crontab: what was done to which job."""
    crontab = read_crontab(text, timezone="UTC")
    assert not crontab.errors
    changes = plan_import(scheduler, crontab, source_of(file), **options)
    apply_import(scheduler, changes)
    return [change[:2] for change in changes]


def ids(scheduler: GeventScheduler) -> list[str]:
    return sorted(job.id for job in scheduler.get_jobs())


# -- what an import does ----------------------------------------------------------------------------------------------


def test_a_line_becomes_a_job(scheduler):
    assert bring(scheduler, "A=1\n*/5 * * * * /bin/backup --all%in") == [("added", "tab/backup-all")]
    job = scheduler.get_job("tab/backup-all")
    assert (job.func_ref, job.args) == ("gsched.runner.commands:run_command", ("/bin/backup --all",))
    assert dict(job.kwargs) == {"cwd": "~", "shell": "/bin/sh", "env": {"A": "1"}, "stdin": "in\n"}
    assert (job.name, job.tags) == ("/bin/backup --all", ("crontab",))
    assert dict(job.metadata) == {"crontab": "/tmp/tab", "prefix": "tab/", "line": 2}
    assert (job.misfire_grace_time, job.timeout, job.max_instances) == (None, None, 1)


def test_the_same_crontab_again_changes_nothing(scheduler):
    text = "0 3 * * * a\n@daily b%in\n@reboot c\nX=1\nCRON_TZ=Asia/Tokyo\n5 5 * * * d"
    bring(scheduler, text)
    revisions = {job.id: job.definition.rev for job in scheduler.get_jobs()}
    assert {action for action, _ in bring(scheduler, text)} == {"unchanged"}
    assert {job.id: job.definition.rev for job in scheduler.get_jobs()} == revisions


def test_a_line_with_h_gets_its_times_from_the_jobs_id_and_a_second_import_changes_nothing(scheduler):
    text = "H H * * * backup\n0 9 LW * ? pay\nH/15 * * * * poll"
    bring(scheduler, text)
    backup = scheduler.get_job("tab/backup").trigger
    assert backup.hash_key == "tab/backup"
    assert backup.resolved != scheduler.get_job("tab/poll").trigger.resolved
    moved = "# comment\nh h * * * backup\nH/15 * * * * poll\n0 9 lw * * pay"
    assert bring(scheduler, moved) == [("moved", "tab/backup"), ("unchanged", "tab/poll"), ("moved", "tab/pay")]
    assert scheduler.get_job("tab/backup").trigger == backup
    assert bring(scheduler, moved.replace("h h", "H 4"))[0] == ("changed", "tab/backup")


def test_lines_of_one_command_keep_their_jobs_when_they_change_places(scheduler):
    bring(scheduler, "H 3 * * * x\nH 4 * * * x")
    assert bring(scheduler, "H 4 * * * x\nH 3 * * * x") == [("moved", "tab/x-2"), ("moved", "tab/x")]


def test_an_import_says_what_debians_cron_makes_of_a_line(address):
    out, error = gsched("crontab", "import", "-", "--store", address, "--dry-run", stdin="0 0 * * 5#2 x\nH 3 * * * y")
    assert "-: note: line 1: '0 0 * * 5#2': Debian's cron reads 5#2 as 5, every such weekday" in error
    assert "-: note: line 2: 'H 3 * * *': Debian's cron refuses H" in error
    assert "resolved=" in out


def test_lines_that_come_change_and_go(scheduler):
    bring(scheduler, "0 1 * * * a\n0 1 * * * b\n0 1 * * * c")
    assert bring(scheduler, "0 1 * * * a\n0 2 * * * b\n@daily d") == [
        ("unchanged", "tab/a"),
        ("changed", "tab/b"),
        ("added", "tab/d"),
        ("removed", "tab/c"),
    ]
    assert ids(scheduler) == ["tab/a", "tab/b", "tab/d"]
    assert str(scheduler.get_job("tab/b").trigger) == "cron[crontab='0 2 * * *']"


def test_a_line_that_moves_stays_the_same_job(scheduler):
    bring(scheduler, "0 1 * * * a\n0 1 * * * b")
    assert bring(scheduler, "# comment\n0 1 * * * b\n0 1 * * * a") == [("unchanged", "tab/b"), ("moved", "tab/a")]
    assert scheduler.get_job("tab/a").metadata["line"] == 3


def test_paused_jobs_stay_paused_however_their_lines_change(scheduler):
    bring(scheduler, "0 1 * * * a\n0 1 * * * b\n@reboot c")
    for job_id in ids(scheduler):
        scheduler.pause_job(job_id)
    assert bring(scheduler, "0 1 * * * a\nX=1\n0 2 * * * b\n@daily c")[1:] == [
        ("changed", "tab/b"),
        ("changed", "tab/c"),
    ]
    assert {job.state for job in scheduler.get_jobs()} == {"paused"}
    bring(scheduler, "@reboot a\nX=1\n0 2 * * * b\n@reboot c")
    assert {job.state for job in scheduler.get_jobs()} == {"paused"}


def test_other_crontabs_and_other_jobs_are_left_alone(scheduler):
    scheduler.add_job("gsched.runner.commands:run_command", "cron", hour=1, args=["x"], id="mine", tags=["crontab"])
    bring(scheduler, "@daily a", "/etc/one")
    bring(scheduler, "@daily a", "/etc/two")
    assert bring(scheduler, "", "/etc/one") == [("removed", "one/a")]
    assert ids(scheduler) == ["mine", "two/a"]


def test_an_id_that_is_taken_by_another_job_is_a_conflict_unless_it_may_be_replaced(scheduler):
    bring(scheduler, "@daily a", "/one/tab")
    with pytest.raises(JobIdConflictError):
        bring(scheduler, "@hourly a", "/two/tab")
    assert bring(scheduler, "@hourly a", "/two/tab", replace=True) == [("changed", "tab/a")]
    assert bring(scheduler, "", "/one/tab") == []


def test_options_are_for_all_jobs_and_those_not_given_stay_as_they_are(scheduler):
    bring(scheduler, "@daily a", options={"timeout": "10m", "misfire_grace_time": 60})
    assert (scheduler.get_job("tab/a").timeout, scheduler.get_job("tab/a").misfire_grace_time) == (600, 60)
    assert bring(scheduler, "@daily a", options={"timeout": 600}) == [("unchanged", "tab/a")]
    assert bring(scheduler, "@daily a") == [("unchanged", "tab/a")]
    assert bring(scheduler, "@daily a", options={"timeout": 5}) == [("changed", "tab/a")]


def test_a_plan_alone_changes_nothing(scheduler):
    (change,) = plan_import(scheduler, read_crontab("@daily a"), source_of("/tmp/tab"))
    assert isinstance(change, Change) and change.action == "added"
    assert ids(scheduler) == []


def test_a_system_crontab_is_known_by_its_place_and_says_who_runs_commands(scheduler):
    assert source_of("/etc/crontab").system and source_of("/etc/cron.d/php").system
    assert not source_of("/home/me/crontab").system
    crontab = read_crontab("@daily www-data x", system=True)
    apply_import(scheduler, plan_import(scheduler, crontab, source_of("/etc/cron.d/php")))
    assert scheduler.get_job("php/x").kwargs["user"] == "www-data"
    with pytest.raises(ConfigurationError):
        source_of("/etc/crontab", user="me")


def test_a_runner_refuses_a_file_with_wrong_lines_and_names_all_of_them(scheduler, tmp_path):
    tab = tmp_path / "tab"
    tab.write_text("61 * * * * a\n@daily b\n* * * *\n")
    with pytest.raises(ConfigurationError) as refused:
        load_crontab(str(tab), "UTC")
    assert "line 1" in str(refused.value) and "line 3" in str(refused.value)
    tab.write_text("@daily b\n")
    assert write_crontab(scheduler, load_crontab(str(tab), "UTC")) == {"added": 1}
    with pytest.raises(ConfigurationError):
        load_crontab(str(tmp_path / "none"), "UTC")


# -- @reboot ----------------------------------------------------------------------------------------------------------


def test_a_reboot_job_waits_for_a_start_and_is_not_run_by_being_imported(scheduler):
    bring(scheduler, "@reboot a")
    job = scheduler.get_job("tab/a")
    assert (job.state, job.next_run_time, job.tags) == ("scheduled", END_OF_TIME, ("crontab", "@reboot"))


def test_a_job_that_becomes_one_waits_for_a_start_too(scheduler):
    bring(scheduler, "@daily a")
    assert bring(scheduler, "@reboot a") == [("changed", "tab/a")]
    assert scheduler.get_job("tab/a").next_run_time == END_OF_TIME
    assert bring(scheduler, "@daily a") == [("changed", "tab/a")]
    assert scheduler.get_job("tab/a").next_run_time < END_OF_TIME


def test_a_reboot_job_runs_once_after_each_start_of_the_machine_and_stays(scheduler):
    if not scheduler.stores["default"].shared:  # with one that is, others run jobs
        scheduler.start()
    bring(scheduler, "@reboot true")
    assert len(run_reboot_jobs(scheduler, "boot 1")) == 1
    assert run_reboot_jobs(scheduler, "boot 1") == []
    assert len(run_reboot_jobs(scheduler, "boot 2")) == 1
    assert bring(scheduler, "@reboot true") == [("unchanged", "tab/true")]
    assert run_reboot_jobs(scheduler, "boot 2") == []


def test_a_paused_one_does_not_run(scheduler):
    if not scheduler.stores["default"].shared:  # with one that is, others run jobs
        scheduler.start()
    bring(scheduler, "@reboot true")
    scheduler.pause_job("tab/true")
    assert run_reboot_jobs(scheduler, "boot 1") == []
    scheduler.resume_job("tab/true")
    assert len(run_reboot_jobs(scheduler, "boot 1")) == 1


def test_one_of_two_runners_runs_a_reboot_job(uri, database):
    stores = [MongoDBJobStore(uri, database=database.name) for _ in range(2)]
    schedulers = [GeventScheduler(jobstores={"default": store}, modules=["gsched.runner.commands"]) for store in stores]
    bring(schedulers[0], "@reboot a\n@reboot b")
    listed = schedulers[1].get_jobs()
    schedulers[1].get_jobs = lambda *_, **__: listed  # it looked before the other one had them run
    runs = [run_reboot_jobs(scheduler, "boot 1") for scheduler in schedulers]
    assert [len(each) for each in runs] == [2, 0]
    for scheduler in schedulers:
        scheduler.close()


# -- the commands -----------------------------------------------------------------------------------------------------


def gsched(*arguments: str, stdin: str = "", expect: int = 0) -> tuple[str, str]:
    """Run a command: its output and its error output."""
    run = command_line.gsched if arguments[0] == "check" else command_line.in_process
    done = run(*arguments, stdin=stdin)
    assert done.code == expect, done.err
    assert "Traceback" not in done.err
    return done.out, done.err


def test_the_command_shows_what_it_does(address, tmp_path):
    tab = tmp_path / "tab"
    tab.write_text("MAILFROM=me\n*/5 * * * * /bin/true\n")
    out, error = gsched("crontab", "import", str(tab), "--store", address, "--dry-run")
    assert out == "added\ttab/true\tcron[crontab='*/5 * * * *']\t/bin/true\n"
    assert "line 1: 'MAILFROM=me': MAILFROM: not supported" in error and "dry run" in error
    out, _ = gsched("crontab", "import", str(tab), "--store", address, "-o", "jsonl", "--timeout", "1h")
    assert json.loads(out)["action"] == "added"
    out, _ = gsched("job", "show", "tab/true", "--store", address, "-o", "json")
    assert json.loads(out)["timeout"] == 3600
    out, error = gsched("crontab", "import", "-", "--store", address, "--user", "me", stdin="@daily x")
    assert out.startswith("added\tme/x\t") and error.startswith("1 added\n")
    assert 'modules = ["gsched.runner.commands"]' in error


@pytest.mark.parametrize("place", [(), ("--memory",), ("--embedded", "--data", "none")])
def test_a_dry_run_needs_no_store_and_makes_none(tmp_path, place):
    (tmp_path / "cron").write_text("@daily echo one\n*/5 * * * * echo two\n")
    (tmp_path / "home").mkdir()
    state = {"XDG_STATE_HOME": str(tmp_path / "home")}
    data = () if "--data" in place or "--memory" in place else ("--data", "none")
    done = command_line.in_process("crontab", "import", "cron", "--dry-run", *place, *data, directory=tmp_path, **state)
    cells = [line.split("\t") for line in done.out.splitlines()]
    assert [(cell[0], cell[-1]) for cell in cells] == [("added", "echo one"), ("added", "echo two")]
    assert (done.err, done.code) == ("2 added (dry run: nothing was done)\n", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cron", "home"]


def test_wrong_lines_import_nothing_unless_they_may_be_skipped(address):
    text = "61 * * * * a\n@daily b\n* * * *\n"
    _, error = gsched("crontab", "import", "-", "--store", address, stdin=text, expect=3)
    assert "-: error: line 1: '61 * * * * a': minute '61': 61 is not from 0 to 59" in error
    assert "-: error: line 3: " in error and "2 lines are wrong; nothing was imported" in error
    assert gsched("job", "list", "--store", address)[0] == ""
    out, _ = gsched("crontab", "import", "-", "--store", address, "--skip-bad", stdin=text)
    assert out.startswith("added\tb\t")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["/nonexistent"], 3, "No such file"),
        (["/etc/crontab", "--user", "me"], 3, "names the users itself"),
        (["-", "--timeout", "soon"], 2, "'--timeout': 'soon' is not a duration"),
    ],
)
def test_a_crontab_that_cannot_be_imported_is_refused_with_the_reason(arguments, code, said, address):
    assert said in gsched("crontab", "import", *arguments, "--store", address, expect=code)[1]


def test_explain_says_the_meaning_the_surprises_and_the_next_times():
    out, _ = gsched("crontab", "explain", "30 2 * * *", "--tz", "Europe/Berlin", "--count", "1")
    (meaning, *notes, following) = out.splitlines()
    assert meaning == "meaning\tat 02:30"
    assert [note.partition(" on ")[0] for note in notes] == [
        "note\t02:00 to 03:00 does not exist",
        "note\t02:00 to 03:00 comes twice",
    ]
    assert following.startswith("next\t20") and ":30:00+0" in following
    out, _ = gsched("crontab", "explain", "0", "0", "1", "1", "0", "-o", "json", "--count", "3")
    explained = json.loads(out)
    assert len(explained["next"]) == 3 and "either" in explained["notes"][0]


def test_explain_says_what_h_stands_for_as_soon_as_the_job_is_named():
    out, _ = gsched("crontab", "explain", "H H * * *", "-o", "json")
    without = json.loads(out)
    assert (without["resolved"], without["next"]) == (None, [])
    assert without["notes"][0] == "when it is due is known with the job's id: give --id JOB"
    out, _ = gsched("crontab", "explain", "H H * * *", "-o", "json", "--id", "backup", "--tz", "UTC")
    with_id = json.loads(out)
    assert with_id["resolved"] == "26 23 * * *"
    assert with_id["meaning"].endswith("; for this job at 23:26")
    assert all(time.endswith("T23:26:00+00:00") for time in with_id["next"]) and len(with_id["next"]) == 5
    out, _ = gsched("crontab", "explain", "H H * * *", "--id", "backup")
    assert "resolved\t26 23 * * *\n" in out


def test_explain_reads_expressions_of_quartz():
    out, _ = gsched("crontab", "explain", "--quartz", "0 0/5 2 ? * 6L 2090-2093", "--tz", "Europe/Berlin", "-o", "json")
    explained = json.loads(out)
    assert explained["meaning"] == "every 5th minute of hour 2, on the last Friday of the month, in 2090 through 2093"
    assert explained["next"][0] == "2090-01-27T02:00:00+01:00"
    out, _ = gsched("crontab", "explain", "--quartz", "0 H 2 ? * *", "--id", "backup", "--tz", "Europe/Berlin")
    assert "resolved\tminute 26\n" in out and "what is due then runs at 03:00" in out
    gsched("crontab", "explain", "--quartz", "--seconds", "0 0 9 ? * *", expect=2)


def test_explain_without_times_does_not_say_that_none_comes():
    out, _ = gsched("crontab", "explain", "0 3 * * *", "--count", "0", "--tz", "UTC")
    assert out == "meaning\tat 03:00\n"


def test_explain_says_what_is_wrong():
    _, error = gsched("crontab", "explain", "0 25 * * *", expect=2)
    assert error == "gsched: crontab: hour '25': 25 is not from 0 to 23\n"


# -- a runner ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts runners, and ends them."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [command_line.EXECUTABLE, "run", "--log-format", "json", *arguments]
        log = open(tmp_path / "log", "a")  # noqa: SIM115
        started.append(subprocess.Popen(command, stdout=log, stderr=log, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_runner_runs_a_crontab_and_reads_it_again_on_hup(runner, tmp_path):
    tab, log, proof = tmp_path / "tab", tmp_path / "log", tmp_path / "proof"
    tab.write_text(f"MAILFROM=me\n@reboot echo up >>{proof}; echo hello from cron\n")
    process = runner("--memory", "--crontab", str(tab))
    # Its output: the job's name has it, too.
    wait_until(lambda: '"line": "hello from cron"' in log.read_text(), log.read_text)
    assert proof.read_text() == "up\n"
    assert "crontab.doubtful" in log.read_text()
    tab.write_text("* * * * broken\n")
    os.kill(process.pid, signal.SIGHUP)
    wait_until(lambda: "configuration.refused" in log.read_text(), log.read_text)
    tab.write_text("@yearly x\n")
    os.kill(process.pid, signal.SIGHUP)
    wait_until(lambda: "job.removed" in log.read_text() and "tab/x" in log.read_text(), log.read_text)
    process.terminate()
    assert process.wait(LONGEST_SECONDS) == 0


def test_check_shows_the_jobs_of_a_crontab(tmp_path):
    tab = tmp_path / "tab"
    tab.write_text("MAILFROM=me\n0 3 * * * backup\n")
    out, error = gsched("check", "--memory", "--crontab", str(tab))
    assert out.startswith("tab/backup\tcrontab\tscheduled\tcron[crontab='0 3 * * *']\t")
    assert "line 1: 'MAILFROM=me'" in error
    tab.write_text("* * * *\n")
    assert "line 1" in gsched("check", "--memory", "--crontab", str(tab), expect=3)[1]


def test_a_runner_refuses_a_wrong_crontab(runner, tmp_path):
    tab, log = tmp_path / "tab", tmp_path / "log"
    tab.write_text("* * * *\n")
    assert runner("--memory", "--crontab", str(tab)).wait(LONGEST_SECONDS) == 3
    assert "line 1" in log.read_text() and "Traceback" not in log.read_text()


def test_commands_of_an_imported_crontab_run_in_a_runner_of_the_store(runner, address, tmp_path):
    tab, proof = tmp_path / "tab", tmp_path / "proof"
    tab.write_text(f"HOME={tmp_path}\nWHO=world\n@yearly cat >proof; pwd >>proof; echo $WHO >>proof%hello%\n")
    gsched("crontab", "import", str(tab), "--store", address)
    configuration = tmp_path / "gsched.toml"
    configuration.write_text('[store]\nmodules = ["gsched.runner.commands"]\n')
    runner("-c", str(configuration), "--store", address)
    gsched("job", "run", "tab/", "--store", address)
    wait_until(lambda: proof.exists() and "world" in proof.read_text(), (tmp_path / "log").read_text)
    assert proof.read_text() == f"hello\n{tmp_path}\nworld\n"
