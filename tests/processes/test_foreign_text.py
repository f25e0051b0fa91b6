"""Ids, names, tags, errors and output of others are data, wherever they are printed, logged, completed or scraped."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from bson.binary import Binary
from command_line import begin, gsched, in_process, on_terminal
from runner_rig import Runner, write
from waiting import LONGEST_SECONDS, wait_until

import gsched as package
from gsched import InvalidJobError, MemoryJobStore
from gsched.event_loop.log_lines import _StandardLogger
from gsched.runner import logs

pytest_plugins = ["mongodb"]

# Clears the screen, sets the title, conceals, rings, moves to the line's begin, writes from the right to the left.
HOSTILE = "a\x1b[2J\x1b]0;owned\x07\x1b[8mb\rc\u202ed\x9b8me\x7f"
RAW = ("\x1b[2J", "\x1b]", "\x07", "\x1b[8m", "\u202e", "\x9b", "\x7f", "\x08")
COMMANDS = [
    *("job list", "job list --wide", "job show a", "job next a", "runs list", "runs show a", "runs tail --limit 5"),
    *("node list", "node show a", "top --once", "doctor", "store stats", "check", "job show nothing"),
    "runs explain a now",
]


@pytest.fixture
def planted(database) -> None:
    """A database with hostile text in every field that is a text."""
    now = datetime.now(UTC)
    job = {
        "_id": HOSTILE, "name": HOSTILE, "func": f"{HOSTILE}:{HOSTILE}", "args": [HOSTILE], "kwargs": {"x": HOSTILE},
        "trigger": {"type": "interval", "hours": 1, "timezone": "UTC"}, "executor": HOSTILE, "tags": [HOSTILE],
        "metadata": {HOSTILE: HOSTILE}, "next_run_time": now, "parked": HOSTILE, "rev": 1, "paused": False,
        "figures": {"last_error": HOSTILE},
    }  # fmt: skip
    database.jobs.insert_many([job, {**job, "_id": f"{HOSTILE}2", "trigger": {"type": HOSTILE}, "parked": None}])
    run = {
        "state": "ended", "outcome": "failed", "job_id": HOSTILE, "job_name": HOSTILE, "node": HOSTILE, "attempt": 1,
        "scheduled_at": now, "started_at": now, "ended_at": now, "error": HOSTILE, "reason": HOSTILE,
        "traceback": f"{HOSTILE}\n{HOSTILE}", "tags": [HOSTILE], "expires_at": now + timedelta(days=1),
    }  # fmt: skip
    database.jobs.runs.insert_many([{**run, "_id": f"{HOSTILE}@1#1"}, {**run, "_id": "a#1", "outcome": HOSTILE}])
    node = {
        "_id": HOSTILE, "state": "alive", "watermark": now, "acked": now, "beat": 1, "name": HOSTILE, "host": HOSTILE,
        "pid": HOSTILE, "version": HOSTILE, "started_at": now,
    }  # fmt: skip
    database.jobs.nodes.insert_many([node, {**node, "_id": f"{HOSTILE}2", "state": HOSTILE}])
    database.jobs.activity.insert_one({**node, "tags": {HOSTILE: {"failed": 1}}, "extra": Binary(b"\x1b[2J")})


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_shows_a_terminal_what_others_wrote_as_it_is(planted, address, command):
    done = on_terminal(*command.split(), columns=300, GSCHED_STORE=address)
    assert not [raw for raw in RAW if raw in done.out], done.out
    assert "Traceback" not in done.out
    run = gsched if command == "check" else in_process
    for form in ("plain", "json", "jsonl"):
        done = run(*command.split(), "-o", form, GSCHED_STORE=address)
        if "No such option" not in done.err:
            assert not [raw for raw in RAW if raw in done.out + done.err]


def test_the_stream_of_events_shows_none_either(jobs, planted, address):
    with begin("events", "--follow", "-o", "plain", GSCHED_STORE=address) as command:
        assert command.stderr is not None and "following" in command.stderr.readline()
        jobs.pause_job(HOSTILE)
        assert command.stdout is not None
        line = command.stdout.readline()
        assert r"\x1b[2J" in line and not [raw for raw in RAW if raw in line]
        command.kill()


# -- a runner: its log in each form, its probe, its stacks -----------------------------------------------------------


@pytest.fixture(params=["console", "logfmt", "json"])
def runner(request: pytest.FixtureRequest, tmp_path: Path):
    write(tmp_path / "jobs.py", f"""
        import logging, structlog, threading
        from gsched import GeventScheduler
        HOSTILE = {HOSTILE!r}
        def wait():
            threading.current_thread().name = HOSTILE
            structlog.get_logger().info(HOSTILE, **{{HOSTILE: HOSTILE}})
            logging.getLogger(HOSTILE).warning("%s", HOSTILE)
            structlog.get_logger().info("waits")
            threading.Event().wait()
        def fail():
            raise ValueError(HOSTILE + "\\n" + HOSTILE)
        scheduler = GeventScheduler()
        scheduler.add_job(wait, id=HOSTILE, name=HOSTILE, tags=[HOSTILE])
        scheduler.add_job(fail, id="fail", tags=[HOSTILE])
        """)  # fmt: skip
    flags = ("-A", "jobs:scheduler", "--memory", "--log-format", request.param, "--probe", "127.0.0.1:0")
    made = Runner(tmp_path, *flags, "--pid-file", "run.pid")
    yield made
    made.kill()


def test_no_line_of_the_log_and_no_page_of_the_probe_has_it_raw(runner):
    wait_until(lambda: "run.failed" in runner.text() and "waits" in runner.text(), runner.text)
    gsched("dump", "--pid-file", str(runner.directory / "run.pid"))
    wait_until(lambda: "stacks.dumped" in runner.text(), runner.text)
    assert not [raw for raw in RAW if raw in runner.text()]
    address = re.search(r"127\.0\.0\.1:\d+", runner.text())
    assert address is not None
    for page in ("livez", "readyz", "health", "metrics", "stacks"):
        with urlopen(Request(f"http://{address[0]}/{page}"), timeout=LONGEST_SECONDS) as answer:
            text = answer.read().decode()
        if page != "metrics":  # its escapes are Prometheus's: of quotes, backslashes and line ends
            assert not [raw for raw in RAW if raw in text]
    shown = on_terminal("dump", "--probe", address[0])
    assert r"\x1b[2J" in shown.out and not [raw for raw in RAW if raw in shown.out]


def test_a_traceback_is_escaped_if_logging_is_not_configured(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("gsched"), "propagate", False)
    monkeypatch.setattr(logging.getLogger("gsched"), "handlers", [logging.StreamHandler()])
    _StandardLogger().error("run.failed", traceback=f"{HOSTILE}\n{HOSTILE}", job_id=HOSTILE)
    said = capsys.readouterr().err
    assert said.count("\n") == 3 and not [raw for raw in RAW if raw in said]


def test_lines_of_a_traceback_stay_lines_on_a_console():
    event = logs._for_people(None, "", {"event": "x", "exception": f"one\n\ttwo {HOSTILE}"})
    assert event["exception"].startswith("one\n        two a\\x1b[2J")


def test_printed_jobs_are_escaped(bench, capsys):
    bench.scheduler.add_job(print, "interval", hours=1, id="a", name=HOSTILE)
    bench.scheduler.print_jobs()
    assert not [raw for raw in RAW if raw in capsys.readouterr().out]


def test_commands_print_foreign_text_in_one_way():
    others = {"__init__", "printing", "output", "table", "streaming", "top", "doctor", "completion", "progress"}
    others.add("crontab_explain")
    folder = Path(package.__file__).parent / "cli"
    callers = {path.stem for path in folder.glob("*.py") if re.search(r"\b(click\.s?echo|print)\(", path.read_text())}
    assert callers <= others


# -- completion ------------------------------------------------------------------------------------------------------

PLAIN = ["plain", "feeds/a.b-c_d", "a@b:c,d+e=f%g", "日本語", "./x"]
ODD = [
    *("p$(touch owned)", "p;id", "p`id`", "p q", "-rf", "p*", "p?", "p'q", 'p"q', "p\nq", "p|q", "p&q", "p>q", "~root"),
    *("p\\q", "{p,q}", "p!q", "#p", "=ls", "p\x1b[2J", "p\u202eq", "[p]", "(p)", "^p"),
]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_only_ids_that_no_shell_takes_for_more_than_a_word_are_offered(jobs, address, shell):
    jobs.add_jobs({"func": "time:time", "trigger": "interval", "hours": 1, "id": each} for each in [*PLAIN, *ODD])
    variables = {"_GSCHED_COMPLETE": f"{shell}_complete", "COMP_WORDS": "gsched job show ", "COMP_CWORD": "3"}
    if shell == "fish":
        variables["COMP_CWORD"] = ""  # the word that is begun
    offered = gsched(GSCHED_STORE=address, **variables).out
    words = {word for line in offered.splitlines() for word in (line, *re.split("[,\t]", line, maxsplit=1))}
    assert set(PLAIN) <= words
    assert not [line for line in offered.splitlines() for odd in ODD if odd.split("\n")[0] == line.partition(",")[2]]
    assert "owned" not in offered and "\x1b" not in offered


# -- Unicode ---------------------------------------------------------------------------------------------------------

HALF = "\udcff"  # what Python makes of a byte that is no UTF-8, in a file's name


@pytest.mark.parametrize("field", ["id", "name", "tags"])
def test_text_that_is_no_unicode_is_refused(bench, field):
    with pytest.raises(InvalidJobError, match="expected Unicode text"):
        bench.scheduler.add_job(print, "interval", hours=1, **{field: [HALF] if field == "tags" else HALF})


@pytest.mark.parametrize("field", ["id", "name", "tags"])
def test_text_that_is_no_unicode_is_refused_in_an_import(bench, tmp_path, field):
    bench.scheduler.add_job("time:time", "interval", hours=1, id="a", tags=["t"])
    bench.scheduler.export_jobs(tmp_path / "jobs")
    header, job = (tmp_path / "jobs").read_text().splitlines()
    changed = json.loads(job) | {field: [HALF] if field == "tags" else HALF}
    (tmp_path / "jobs").write_text(f"{header}\n{json.dumps(changed)}\n")
    with pytest.raises(InvalidJobError, match="expected Unicode text"):
        bench.scheduler.import_jobs(tmp_path / "jobs")


def test_labels_that_are_no_unicode_leave_the_metrics_whole(make_bench):
    from prometheus_client import CollectorRegistry, generate_latest

    from gsched.metrics import collector

    bench = make_bench(name=HALF, jobstores={HALF: MemoryJobStore()}, executors={HALF: {"type": "greenlet"}}).start()
    registry = CollectorRegistry()
    registry.register(collector(bench.scheduler))
    assert b"udcff" in generate_latest(registry)
