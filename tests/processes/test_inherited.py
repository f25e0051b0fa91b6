"""What a process is started in: the real `gsched run` under each, with a command that runs and a TERM that ends it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import EXECUTABLE, environment
from runner_rig import write
from waiting import LONGEST_SECONDS, wait_until

CONFIGURATION = """
    [[job]]
    id = "look"
    command = "ls /proc/self/fd; grep Sig[BI] /proc/self/status"
    trigger = {type = "interval", seconds = 1}
"""


STANDARD = (1 << 31) - 1  # the bits of signals 1 to 31; libc has the next two for itself


def nothing() -> None:
    pass


def all_signals_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def signals_ignored() -> None:
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def a_lock_file_open() -> None:
    for number in (3, 4, 9, 77):
        os.dup2(1, number, inheritable=True)


def few_files_allowed() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def closed(*descriptors: int) -> Callable[[], None]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


SURROUNDINGS: dict[str, tuple[Callable[[], None], dict[str, str | None]]] = {
    "nothing unusual": (nothing, {}),
    "all signals blocked": (all_signals_blocked, {}),
    "signals ignored, as by nohup": (signals_ignored, {}),
    "descriptors open": (a_lock_file_open, {}),
    "few files allowed": (few_files_allowed, {}),
    "no standard input": (closed(0), {}),
    "no standard input and output": (closed(0, 1), {}),
    "a umask that hides files": (lambda: os.umask(0o077) and None, {}),
    "neither HOME nor USER": (nothing, {"HOME": None, "USER": None, "LOGNAME": None}),
    "no PATH": (nothing, {"PATH": None}),
    "a locale that there is not": (nothing, {"LC_ALL": "xx_XX.UTF-8"}),
    "the locale C": (nothing, {"LC_ALL": "C", "LANG": "C"}),
    "a Latin-1 locale": (nothing, {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONIOENCODING": "latin-1"}),
    "bytes that are not UTF-8 in a variable": (nothing, {"ODD": "\udce4"}),
    "an empty environment": (nothing, dict.fromkeys(os.environ)),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_commands_run_and_term_ends_it_whatever_it_was_started_in(tmp_path: Path, surroundings: str) -> None:
    prepare, variables = SURROUNDINGS[surroundings]
    write(tmp_path / "gsched.toml", CONFIGURATION)
    known = {name: value for name, value in environment().items() if name not in variables}
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, EXECUTABLE, "run", "-c", "gsched.toml", "--memory"], cwd=tmp_path, stderr=file,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, close_fds=False,
            preexec_fn=prepare, env={**known, **{name: value for name, value in variables.items() if value}},
        )  # fmt: skip
    try:
        wait_until(lambda: b"SigIgn" in log.read_bytes() or process.poll() is not None, log.read_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONGEST_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
    said = [line["line"] for line in logged(log) if line["event"] == "command.output"][:6]
    assert said[:4] == ["0", "1", "2", "3"]  # the last is that of ls itself
    blocked, ignored = (int(line.split()[1], 16) & STANDARD for line in said[4:])
    assert (blocked, ignored) == (0, 0)


def logged(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_daemon_that_a_command_leaves_does_not_hold_the_runners_lock_file(tmp_path: Path) -> None:
    """As started by: exec 9>lock; flock -n 9; exec gsched run"""
    write(
        tmp_path / "gsched.toml",
        """
        [[job]]
        id = "daemon"
        command = "setsid sleep 60 <&- >&- 2>&- & echo $! >daemon"
        trigger = {type = "interval", seconds = 1}
        """,
    )
    start = f"exec 9>lock; flock -n 9 && exec {sys.executable} {EXECUTABLE} run -c gsched.toml --memory"
    shell = ["/bin/sh", "-c", start]
    with subprocess.Popen(shell, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL) as runner:
        daemon = tmp_path / "daemon"
        try:
            wait_until(lambda: daemon.exists() and daemon.read_text().strip())
            runner.kill()
            runner.wait(LONGEST_SECONDS)
            assert subprocess.run(["flock", "-n", str(tmp_path / "lock"), "true"], check=False).returncode == 0
        finally:
            runner.kill()
            os.kill(int(daemon.read_text()), signal.SIGKILL)


# -- what cannot be helped is said in a line ------------------------------------------------------------------------


def said_in(directory: Path, *arguments: str, **variables: str) -> tuple[str, int]:
    """What a command says on standard error, and its exit code."""
    done = subprocess.run(
        [EXECUTABLE, *arguments], cwd=directory, env=environment(**variables), capture_output=True, text=True,
        timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    return done.stderr, done.returncode


@pytest.mark.parametrize("arguments", [("run", "--memory"), ("check",), ("crontab", "import", "x", "--embedded")])
def test_a_working_directory_that_was_deleted_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        f"cd {tmp_path} && mkdir gone && cd gone && rmdir ../gone && {EXECUTABLE} {' '.join(arguments)}",
        shell=True, env=environment(), capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert done.stderr == "gsched: the working directory: it was deleted; change to another one\n"
    assert done.returncode == 3


NOBODY = """
    import os, pwd, sys
    def unknown(_): raise KeyError("getpwuid(): uid not found")
    os.getuid, pwd.getpwuid = (lambda: 54321), unknown
    from gsched.cli import main
    sys.exit(main())
"""


@pytest.mark.parametrize("arguments", [("run",), ("check",), ("job", "list")])
def test_a_user_without_a_home_directory_learns_what_to_say(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    variables = {name: value for name, value in environment().items() if name not in ("HOME", "XDG_STATE_HOME")}
    program = "\n".join(line.strip() for line in NOBODY.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=variables, capture_output=True, text=True,
        timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert done.stderr == (
        "gsched: this process's user, 54321, has no home directory: no entry in passwd, and HOME is not set; name "
        "the place of the jobs (--data DIRECTORY, --store URL), or --memory\n"
    )
    assert done.returncode == 3


TOML = b'[gsched]\nname = "caf\xc3\xa9"\n[[job]]\nid = "a"\ncommand = "true"\ntrigger = "@daily"\n'
CRONTAB = b"# caf\xc3\xa9\n*/5 * * * * true\n"


@pytest.mark.parametrize(("flag", "name", "content"), [("-c", "a.toml", TOML), ("--crontab", "cron", CRONTAB)])
def test_a_byte_order_mark_is_no_content(tmp_path: Path, flag: str, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert said_in(tmp_path, "check", "--memory", flag, name)[1] == 0


@pytest.mark.parametrize(("flag", "name", "content"), [("-c", "a.toml", TOML), ("--crontab", "cron", CRONTAB)])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_another_encoding_is_named(tmp_path: Path, flag: str, name: str, content: bytes, encoding: str) -> None:
    (tmp_path / name).write_bytes(("\ufeff" + content.decode()).encode(encoding))
    assert said_in(tmp_path, "check", "--memory", flag, name) == (
        f"gsched: {name}: UTF-16 text; save the file as UTF-8\n", 3,
    )  # fmt: skip


def test_a_byte_of_latin_1_in_a_configuration_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(TOML.replace(b"\xc3\xa9", b"\xe9"))
    assert said_in(tmp_path, "check", "--memory", "-c", "a.toml") == (
        "gsched: a.toml: line 2: byte 0xe9 in column 12 is not UTF-8; save the file as UTF-8\n", 3,
    )  # fmt: skip


def test_a_byte_of_latin_1_in_a_crontab_concerns_its_line_only(tmp_path: Path) -> None:
    """In a comment it concerns nobody."""
    (tmp_path / "cron").write_bytes(b"# caf\xe9\n*/5 * * * * true\n@daily echo gr\xfc\xdfe\n")
    refused, code = said_in(tmp_path, "check", "--memory", "--crontab", "cron")
    reason = "byte 0xfc in column 15 is not UTF-8; save the file as UTF-8"
    assert (refused, code) == (f"gsched: cron: line 3: '@daily echo gr\ufffd\ufffde': {reason}\n", 3)
    (tmp_path / "cron").write_bytes(b"# caf\xe9\n*/5 * * * * true\n")
    assert said_in(tmp_path, "check", "--memory", "--crontab", "cron")[1] == 0


def test_a_time_zone_that_there_is_not_is_named(tmp_path: Path) -> None:
    said, code = said_in(tmp_path, "run", "--memory", TZ="Mars/Olympus")
    assert "TZ='Mars/Olympus' is neither in the time zone database" in said.splitlines()[-1] and code == 3
