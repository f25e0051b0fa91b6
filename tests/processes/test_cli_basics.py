"""What all commands have in common: help, exit codes, errors in a line, pipes, interrupts, terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from command_line import begin, gsched, in_shell, measured, on_terminal

from gsched import errors
from gsched.cli.app import COMMANDS
from gsched.cli.lazy import LazyGroup
from gsched.runner.exit_codes import CommandRefused, Exit, code_of

pytest_plugins = ["mongodb"]

HELP_CPU_SECONDS = 0.3
NOBODY = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"


# -- help -----------------------------------------------------------------------------------------------------------


def test_help_is_quick():
    out, used = min((measured("--help") for _ in range(3)), key=lambda done: done[1].cpu_seconds)
    assert out.startswith("Usage: gsched") and used.cpu_seconds < HELP_CPU_SECONDS


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from gsched.cli.app import run_command_line; run_command_line(['job', '--help']);"
        "print('imported:', *({'gevent', 'pymongo', 'bson', 'asyncio'} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.strip() == "imported:"


def test_help_has_every_command():
    done = gsched("--help")
    assert all(f"  {name} " in done.out for name in COMMANDS) and done.code == Exit.OK


def test_the_tables_of_commands_say_what_the_commands_say():
    from gsched.cli.commands.job import job
    from gsched.cli.commands.runs import runs

    for group in (job, runs):
        assert isinstance(group, LazyGroup)
        for name in group.table:
            command = group.get_command(None, name)
            assert command is not None and command.name == name


# -- exit codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobNotFoundError("a"), 5),
        (errors.JobIdConflictError("a"), 6),
        (errors.StoreConflictError(), 6),
        (errors.StoreUnreachableError(), 4),
        (errors.StoreAccessError(), 4),
        (errors.EmbeddedMongoError(), 4),
        (errors.ConfigurationError(), 3),
        (errors.InvalidJobError(), 2),
        (errors.InvalidTriggerError(), 2),
        (errors.StoreError(), 1),
        (CommandRefused("it is not well", Exit.UNHEALTHY), 7),
        (ValueError("a bug"), 1),
    ],
)
def test_each_error_has_its_exit_code(error, code):
    assert code_of(error) == code


def test_an_unknown_command_names_the_nearest():
    done = gsched("jbo", "list")
    assert (done.out, done.code) == ("", Exit.USAGE)
    assert "No such command 'jbo'. Did you mean 'job'?" in done.err


def test_an_unknown_subcommand_names_the_nearest():
    done = gsched("job", "lst")
    assert "Did you mean 'list'?" in done.err and done.code == Exit.USAGE


def test_a_store_that_does_not_answer_is_two_lines():
    done = gsched("job", "list", "--store", NOBODY)
    assert done.code == Exit.UNREACHABLE and done.out == ""
    said, remedy = done.err.splitlines()
    assert said == "gsched: the store does not answer: 127.0.0.1:1: [Errno 111] Connection refused"
    assert "Check the address" in remedy


def test_nothing_named_and_nothing_there_is_said(tmp_path):
    done = gsched("job", "list", "--data", str(tmp_path / "none"), "--memory")
    assert done.code == Exit.INVALID and "out of reach" in done.err


def test_a_wrong_configuration_file_is_named(tmp_path):
    (tmp_path / "gsched.toml").write_text("[store]\nurll = 'x'\n")
    done = gsched("job", "list", "-c", "gsched.toml", directory=tmp_path)
    assert done.code == Exit.INVALID and done.err.count("\n") == 1
    assert "gsched.toml" in done.err and "did you mean 'store.url'" in done.err


BROKEN = """
from gsched import GeventScheduler, MongoDBJobStore
class Odd(MongoDBJobStore):
    def find(self, query):
        raise RuntimeError("odd")
scheduler = GeventScheduler(jobstores={"default": Odd()})
"""


@pytest.mark.parametrize("verbose", [False, True])
def test_an_unexpected_error_is_a_line_and_its_traceback_is_for_those_who_ask(tmp_path, verbose):
    (tmp_path / "broken.py").write_text(BROKEN)
    asked = {"GSCHED_DEBUG": "1"} if verbose else {}
    done = gsched("job", "list", "-A", "broken:scheduler", directory=tmp_path, **asked)
    assert done.code == Exit.FAILED and "gsched: RuntimeError: odd" in done.err
    assert ("Traceback" in done.err) is verbose


# -- pipes and interrupts -------------------------------------------------------------------------------------------


def test_a_reader_that_reads_no_further_ends_it_quietly(address, jobs, database):
    jobs.add_job("time:sleep", "interval", hours=1, args=[0], id="seed")
    seed = database.jobs.find_one({"_id": "seed"})
    database.jobs.insert_many([{**seed, "_id": f"job-{number}"} for number in range(3000)])
    listing = begin("job", "list", "--store", address)
    assert listing.stdout is not None and listing.stderr is not None
    assert listing.stdout.readline().count("\t") == 5
    listing.stdout.close()
    assert (listing.wait(30), listing.stderr.read()) == (Exit.OK, "")


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_error(address, redirection):
    assert in_shell(f"gsched runs list --store '{address}' {redirection}") == ("", "", Exit.OK)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_disk_is_said(address, jobs):
    jobs.add_job("time:sleep", "interval", hours=1, args=[0], id="a")
    done = in_shell(f"gsched job list --store '{address}' > /dev/full")
    assert (done.err, done.code) == ("gsched: No space left on device\n", Exit.FAILED)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
@pytest.mark.parametrize("option", ["--help", "--version", "job --help"])
def test_options_that_print_and_exit_bear_a_full_disk_and_a_reader_that_is_gone(option):
    assert in_shell(f"gsched {option} > /dev/full") == ("", "gsched: No space left on device\n", Exit.FAILED)
    done = in_shell(f"sh -c 'sleep 0.1; gsched {option}; echo $? >&2' | true")
    assert (done.err, done.code) == ("0\n", Exit.OK)


def test_ctrl_c_ends_a_command_without_a_traceback(address, jobs):
    jobs.add_job("time:sleep", "interval", hours=1, args=[0], id="a")
    waiting = begin("job", "run", "a", "--wait", "--store", address)
    assert waiting.stderr is not None
    assert "waiting for a!" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(30) == Exit.INTERRUPTED
    assert waiting.stderr.read().strip() == ""


# -- terminals ------------------------------------------------------------------------------------------------------


@pytest.fixture
def odd_jobs(jobs):
    jobs.add_job("time:sleep", "interval", hours=1, args=[0], id="x" * 70, name="\x1b[31mred\nline")
    jobs.add_job("time:sleep", "cron", hour=3, args=[0], id="日本語", tags=["a", "b"])
    jobs.pause_job("日本語")


def test_a_table_fits_the_terminal(address, odd_jobs):
    done = on_terminal("job", "list", "--store", address, columns=100, NO_COLOR="1")
    assert done.code == Exit.OK and "\x1b" not in done.out
    header, *rows, no_runner = done.out.splitlines()
    assert header.split("  ")[0] == "ID" and len(rows) == 2 and no_runner.startswith("gsched: no runner is alive")
    assert all(len(line) <= 100 for line in (header, *rows)) and "…" in rows[0]
    assert "\\x1b[31mred\\nline" in done.out


def test_colours_are_for_terminals(address, odd_jobs):
    shown = on_terminal("job", "list", "--store", address)
    assert "\x1b[33mpaused" in shown.out and "\x1b[1mID" in shown.out
    assert "\x1b" not in gsched("job", "list", "-o", "table", "--store", address).out


def test_pipes_get_plain_rows_and_json_is_json(address, odd_jobs):
    first, second = gsched("job", "list", "--store", address).out.splitlines()
    assert first.split("\t")[0] == "x" * 70 and second.split("\t")[:3] == ["日本語", "sleep", "paused"]
    listed = json.loads(gsched("job", "list", "--store", address, GSCHED_OUTPUT="json").out)
    names = ["group", "id", "name", "next_run_time", "overdue", "pause", "schedule", "state", "tags", "trigger"]
    assert [sorted(each) for each in listed] == [names] * 2
    lines = gsched("job", "list", "--store", address, "-o", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == listed
    assert gsched("job", "list", "--store", address, "--tag", "none", "-o", "json").out == "[]\n"
