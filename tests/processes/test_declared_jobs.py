"""[[job]] entries: which are accepted and which are refused, and how the store follows the file."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runner_rig import run_to_the_end, running, write
from waiting import wait_until

from gsched import ConfigurationError, GeventScheduler
from gsched.config import read_configuration
from gsched.runner.crontab.reboot import END_OF_TIME, REBOOT_TAG
from gsched.runner.declared import apply_declared, plan_declared, read_declarations
from gsched.triggers.reboot import RebootTrigger

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
    """Make the store follow a file with this text. Gives the numbers of changed jobs."""

    def bring(text: str, owner: str = "gsched") -> dict[str, int]:
        path = write(tmp_path / "gsched.toml", f"[gsched]\nname = '{owner}'\n{text}")
        plan = plan_declared(scheduler, read_declarations(read_configuration(path), scheduler), owner)
        apply_declared(scheduler, plan, owner)
        return {what: count for what, count in plan.counts().items() if count}

    return bring


def test_h_in_a_file_is_resolved_and_the_same_file_again_changes_nothing(follow, scheduler):
    text = ENTRY.replace('{ type = "interval", seconds = 3600 }', '"H H * * *"')
    assert follow(text) == {"added": 1}
    assert job(scheduler).trigger.hash_key == "refresh"
    assert follow(text) == {"unchanged": 1}
    assert follow(text.replace("H H", "h h")) == {"unchanged": 1}
    keyed = text.replace('"H H * * *"', '{ type = "cron", crontab = "H H * * *", hash_key = "other" }')
    assert follow(keyed) == {"changed": 1}
    assert job(scheduler).trigger.hash_key == "other"
    assert follow(text) == {"changed": 1}


def test_a_window_and_an_expression_of_quartz_stand_in_a_file(follow, scheduler):
    table = '{ type = "interval", minutes = 5, between = "9:00-17:00", days = "mon-fri" }'
    window = ENTRY.replace('{ type = "interval", seconds = 3600 }', table)
    assert follow(window) == {"added": 1}
    assert job(scheduler).trigger.between == "09:00-17:00"
    assert follow(window) == {"unchanged": 1}
    quartz = window.replace(table, '{ type = "cron", quartz = "0 0 9 ? * 2-6" }')
    assert follow(quartz) == {"changed": 1}
    assert follow(quartz) == {"unchanged": 1}


def test_an_entry_that_is_spread_gets_a_phase_once(follow, scheduler):
    other = ENTRY.replace("refresh", "other")
    assert follow(ENTRY + "spread = true\n" + other + "spread = true") == {"added": 2}
    phases = job(scheduler).trigger.phase_ms, job(scheduler, "other").trigger.phase_ms
    assert phases == (0, round(0.6180339887498949 * 3_600_000))
    assert follow(ENTRY + "spread = true\n" + other + "spread = true") == {"unchanged": 2}
    assert follow(ENTRY + other + "spread = true") == {"changed": 1, "unchanged": 1}
    assert job(scheduler).trigger.spread_ms is None
    assert follow(ENTRY + "spread = true\n" + other + "spread = true\ntimeout = 5") == {"changed": 2}
    assert job(scheduler, "other").trigger.phase_ms == phases[1]
    assert job(scheduler).trigger.phase_ms not in (None, *phases)


def test_a_cron_entry_is_spread_over_a_duration(follow, scheduler):
    text = ENTRY.replace('{ type = "interval", seconds = 3600 }', '"0 2 * * *"')
    assert follow(text + "spread = '1h'") == {"added": 1}
    assert job(scheduler).trigger.spread_ms == 3_600_000
    assert follow(text + "spread = '2h'") == {"changed": 1}
    assert follow(text + "spread = '2h'\nenabled = false") == {"changed": 1}
    assert (job(scheduler).trigger.spread_ms, job(scheduler).state) == (7_200_000, "paused")
    with pytest.raises(ConfigurationError, match=r"\[\[job\]\] 1 \('refresh'\): spread: True: only an interval"):
        follow(text + "spread = true")


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


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("retries = 3", "retries", 3),
        ("retry_delay = ['1s', '1m']", "retry_delay", [1, 60]),
        ("retry_backoff = 1.5", "retry_backoff", 1.5),
        ("retry_max_delay = '2h'", "retry_max_delay", 7200),
        ("retry_jitter = 0", "retry_jitter", 0.0),
        ("retries = 1\nretry_on = ['OSError']", "retry_on", ["OSError"]),
        ("retries = 1\ngive_up_on = ['OSError']", "give_up_on", ["OSError"]),
        ("retry_within = '10m'", "retry_within", 600),
        ("overlap = 'queue'", "overlap", "queue"),
        ("coalesce = false\nmax_catchup = 5", "max_catchup", 5),
        ("max_runs = 3", "max_runs", 3),
        ("max_consecutive_failures = 5", "max_consecutive_failures", 5),
        ("max_consecutive_failures = 5\nfailure_pause = '10m'", "failure_pause", 600),
        ("expect_success_every = '26h'", "expect_success_every", 93_600),
        ("finish_within = '30m'", "finish_within", 1800),
        ("recover = 2", "recover", 2),
        ("recover = 1", "recover", 1),
    ],
)
def test_a_line_with_a_policy_changes_the_job_and_without_it_the_default_is_back(
    scheduler, follow, line, option, value
):
    follow(ENTRY)
    default = job(scheduler).policy[option]
    assert follow(ENTRY + line) == {"changed": 1}
    assert job(scheduler).policy[option] == value != default
    assert follow(ENTRY + line) == {"unchanged": 1}
    assert follow(ENTRY) == {"changed": 1}
    assert job(scheduler).policy[option] == default


def test_a_declared_job_whose_recoveries_become_unlimited_is_changed(scheduler, follow):
    follow(ENTRY + "recover = 1")
    assert follow(ENTRY + "recover = true") == {"changed": 1}
    assert job(scheduler).recover is True


def test_a_job_with_enabled_false_is_paused_until_its_entry_is_enabled(scheduler, follow):
    assert follow(ENTRY + "enabled = false") == {"added": 1}
    pause = job(scheduler).pause_info
    assert (pause.reason, pause.by, pause.until) == ("enabled = false", "gsched", None)
    assert follow(ENTRY + "enabled = false") == {"unchanged": 1}
    assert follow(ENTRY + "enabled = true") == {"changed": 1}
    assert (job(scheduler).state, follow(ENTRY)) == ("scheduled", {"unchanged": 1})
    assert follow(ENTRY + "enabled = false") == {"changed": 1}
    scheduler.resume_job("refresh")
    assert follow(ENTRY + "enabled = false") == {"changed": 1}
    assert job(scheduler).state == "paused"


def test_an_entry_neither_takes_over_nor_ends_a_pause_that_somebody_has_begun(scheduler, follow):
    follow(ENTRY)
    scheduler.pause_job("refresh", reason="vendor down")
    assert follow(ENTRY + "enabled = false") == {"unchanged": 1}
    assert follow(ENTRY) == {"unchanged": 1}
    assert job(scheduler).pause_info.reason == "vendor down"


@pytest.mark.parametrize("until", [None, "1h"])
def test_a_declared_job_that_gets_another_trigger_keeps_its_pause(scheduler, follow, until):
    follow(ENTRY)
    pause = scheduler.pause_job("refresh", reason="vendor down", until=until).pause_info
    assert follow(ENTRY.replace("3600", "60")) == {"changed": 1}
    assert (job(scheduler).pause_info.reason, job(scheduler).pause_info.until) == (pause.reason, pause.until)
    assert follow(ENTRY.replace("3600", "60")) == {"unchanged": 1}


def test_enabled_takes_true_or_false_only(follow):
    with pytest.raises(ConfigurationError, match="enabled: expected True or False, got 'no'"):
        follow(ENTRY + "enabled = 'no'")


def test_a_declared_job_stays_paused_and_due_as_before_when_another_setting_changes(scheduler, follow):
    follow(ENTRY)
    due = job(scheduler).definition.next_run_ms
    scheduler.pause_job("refresh")
    assert follow(ENTRY + "max_instances = 3") == {"changed": 1}
    changed = job(scheduler).definition
    assert (changed.next_run_ms, changed.paused, changed.max_instances) == (due, True, 3)


def test_a_new_trigger_counts_from_now_on(scheduler, follow):
    follow(ENTRY)
    assert follow(ENTRY.replace("3600", "7200")) == {"changed": 1}
    assert job(scheduler).definition.next_run_ms - scheduler.clock.now_ms() > 3_700_000


def test_a_declared_job_that_somebody_changed_follows_the_file_again(scheduler, follow):
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
    assert "@reboot" in job(scheduler).tags
    assert job(scheduler).definition.next_run_ms > scheduler.clock.now_ms() + 10**12
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
        (("seconds = 3600", "secs = 3600"), "trigger: interval trigger: .*'secs' is unknown; did you mean 'seconds'"),
        (("seconds = 3600", "seconds = -1"), "trigger: "),
        (('{ type = "interval", seconds = 3600 }', '"61 * * * *"'), "trigger: .*61"),
        (('{ type = "interval", seconds = 3600 }', '{ type = "date" }'), "trigger: run_date is missing"),
        (('{ type = "interval", seconds = 3600 }', "5"), "trigger: expected a cron expression, or a table"),
        (("time:time", "no_such:thing"), "func: 'no_such:thing': cannot import"),
        (("time:time", "time:tiem"), "func: .*'tiem'"),
        (("time:time", "time"), "func: .* is not a function reference"),
        (('"time:time"', "7"), "func: expected 'package.module:function'"),
        (("[[job]]", "[[job]]\ncommand = 'ls'"), "either func or command"),
        (('func = "time:time"', ""), "either func or command"),
        (('func = "time:time"', 'command = " "'), "command: expected a text"),
        (('func = "time:time"', 'command = "ls"\nargs = [1]'), "args: only a job with a function has args"),
        (("[[job]]", "[[job]]\ncwd = '/'"), "cwd: only a job with a command has this option"),
        (("time:time", "textwrap:dedent"), "does not accept these arguments"),
        (("[[job]]", "[[job]]\nargs = 'x'"), "args: expected a list"),
        (("[[job]]", "[[job]]\ntimeout = 'soon'"), "timeout: 'soon' is not a duration"),
        (("[[job]]", "[[job]]\nmax_instances = 0"), "max_instances: expected a whole number"),
        (("[[job]]", "[[job]]\nexecutor = 'threads'"), "executor: 'threads' is unknown"),
        (("[[job]]", "[[job]]\njobstore = 'other'"), "jobstore: 'other' is unknown"),
        (("[[job]]", "[[job]]\nmetadata = { declared_by = 'me' }"), "metadata: expected a table without"),
        (("[[job]]", ENTRY + "[[job]]"), r"\[\[job\]\] 2 \('refresh'\): id: another entry has this id already"),
    ],
)
def test_a_mistake_in_an_entry_is_named_with_entry_and_key(tmp_path, change, message):
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
        assert "another entry has this id already" in runner.wait_for("configuration.refused")[0]["error"]
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


def test_settings_that_need_a_restart_stay_as_they_are_after_a_reload(file: Path) -> None:
    """If a declared job took the new name at once, it would belong to another runner; a new zone would half move it."""
    cron = '[[job]]\nid = "daily"\nfunc = "jobs:say"\ntrigger = "0 4 * * *"\n'
    write(file, "[gsched]\nname = 'old'\ntimezone = 'UTC'\n" + cron)
    with running(file.parent, "-c", "gsched.toml", "--memory") as runner:
        for number, more in enumerate(("", entries("one", seconds=3600)), 1):
            write(file, "[gsched]\nname = 'new'\ntimezone = 'Asia/Tokyo'\n" + cron + more)
            runner.send(signal.SIGHUP)
            assert runner.wait_for("configuration.reloaded", number)[-1]["need_a_restart"] == ["name", "timezone"]
        counts = [(line["added"], line["changed"], line["unchanged"]) for line in runner.lines("jobs.declared")]
        assert counts == [(1, 0, 0), (0, 0, 1), (1, 0, 1)] and not runner.lines("configuration.refused")


def test_a_declared_job_that_changes_is_a_change_with_its_true_next_run_time(file: Path) -> None:
    write(file, entries("one"))
    with running(file.parent, "-c", "gsched.toml", "--memory") as runner:
        runner.wait_for("said", 3)
        write(file, entries("one") + "\nmax_instances = 3")
        runner.send(signal.SIGHUP)
        line = runner.wait_for("job.changed")[0]
        assert line["next_run_time"] > line["timestamp"][:23] and len(runner.lines("job.added")) == 1


@pytest.fixture
def late_store(file: Path, uri: str, database) -> tuple[str, Callable[[], None]]:
    """The text of [store], and a call that makes the link to the MongoDB's socket, which does not exist before."""
    directory, _, rest = uri.removeprefix("mongodb://").partition("%2Fmongod.sock")
    link = file.parent / "to-the-store"
    url = f"mongodb://{str(link).replace('/', '%2F')}%2Fmongod.sock{rest}"
    url += "&serverSelectionTimeoutMS=300" if "?" in rest else "/?serverSelectionTimeoutMS=300"
    section = f"[store]\nurl = '{url}'\ndatabase = '{database.name}'\n"
    return section, lambda: link.symlink_to(directory.replace("%2F", "/"))


def test_jobs_are_declared_as_soon_as_the_store_answers(file: Path, late_store) -> None:
    section, answer = late_store
    write(file, section + entries("late"))
    with running(file.parent, "-c", "gsched.toml") as runner:
        assert runner.lines("jobs.postponed") and not runner.lines("jobs.declared")
        answer()
        assert runner.wait_for("jobs.declared")[0]["added"] == 1
        runner.wait_for("said")


def test_reboot_jobs_run_as_soon_as_the_store_answers(file: Path, late_store) -> None:
    """When a machine starts, the runner usually starts before its database."""
    section, answer = late_store
    write(file, section + '[[job]]\nid = "up"\nfunc = "jobs:say"\ntrigger = "@reboot"\n')
    with running(file.parent, "-c", "gsched.toml") as runner:
        runner.wait_for("store.disconnected")
        answer()
        runner.wait_for("said")
        assert not runner.lines("reboot_jobs.failed")


def test_reboot_jobs_of_the_store_run_as_soon_as_it_answers(file: Path, late_store, jobs) -> None:
    """The jobs of the store come from a crontab import; no file declares them."""
    section, answer = late_store
    jobs.add_job("time:time", RebootTrigger(), id="up", tags=[REBOOT_TAG], next_run_time=END_OF_TIME)
    write(file, section.replace("[store]", "[store]\nmodules = ['time']"))
    with running(file.parent, "-c", "gsched.toml", "--log-level", "debug") as runner:
        answer()
        wait_until(lambda: jobs.get_counters("up").runs == 1, runner.text)


def test_a_store_that_does_not_answer_is_reported_in_one_line(file: Path) -> None:
    write(file, "[store]\nurl = 'mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=300'\n" + entries("one"))
    with running(file.parent, "-c", "gsched.toml", "--drain-timeout", "1s") as runner:
        said = [runner.wait_for("store.unreachable")[0]["error"]]
        said.append(runner.wait_for("store.disconnected")[0]["error_message"])
        said.append(runner.wait_for("feed.lost")[0]["reason"])
        assert said == ["127.0.0.1:1: [Errno 111] Connection refused"] * 3


def test_commands_have_the_defaults_of_the_file_unless_their_entries_say_otherwise(follow, scheduler):
    defaults = '[command_defaults]\nnice = 5\nkeep_output = "2KiB"\n'
    command = '[[job]]\nid = "%s"\ncommand = "true"\ntrigger = "@daily"\n%s\n'
    function = '[[job]]\nid = "function"\nfunc = "time:time"\ntrigger = "@daily"\n'
    own = 'nice = 1\nkeep_output = "4KiB"\numask = "077"'
    assert follow(defaults + command % ("usual", "") + command % ("own", own) + function) == {"added": 3}
    found = {job.id: (dict(job.kwargs), job.policy["keep_output"]) for job in scheduler.get_jobs()}
    assert found["usual"] == ({"nice": 5}, 2048)
    assert found["own"] == ({"nice": 1, "umask": "077"}, 4096)
    assert found["function"] == ({}, None)
