"""Shell commands as jobs: real processes, their output, and how they end."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import waiting
from hypothesis import given, strategies as st
from programs import run_program
from structlog.testing import capture_logs
from waiting import LONGEST_SECONDS

from gsched import CommandFailedError, ConfigurationError, GeventScheduler, NotInRunError
from gsched.runner.commands import run_command
from gsched.runner.shell.output import lines_of
from gsched.runner.shell.process import CommandProcess, Usage

ENDINGS = {"run.succeeded", "run.failed", "run.timed_out", "run.cancelled"}
wait_until = partial(waiting.wait_until, sleep=gevent.sleep)
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root changes users")
STUBBORN = "trap '' TERM; while :; do sleep 0.05; done"


class Site:
    """A scheduler that runs commands, with the events of their ends.

    :ivar ended: the events of runs that ended
    :ivar lines: what was logged: (level, line) of output, in order
    """

    def __init__(self) -> None:
        self.scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=None)
        self.scheduler.add_listener(lambda event: event.name in ENDINGS and self.ended.append(event))
        self.ended: list[Any] = []
        self.logged: list[dict[str, Any]] = []

    def start(self, command: str, timeout: float | None = None, **kwargs: Any) -> str:
        return self.scheduler.add_job(run_command, args=[command], kwargs=kwargs, timeout=timeout).id

    def run(self, command: str, timeout: float | None = None, **kwargs: Any) -> Any:
        """Run a command. Gives the event of its end."""
        count = len(self.ended)
        self.start(command, timeout, **kwargs)
        wait_until(lambda: len(self.ended) > count)
        return self.ended[-1]

    def said(self, command: str, **kwargs: Any) -> list[str]:
        """The lines that a command writes to standard output."""
        before = len(self.logged)
        assert self.run(command, **kwargs).name == "run.succeeded"
        return [line["line"] for line in self.logged[before:] if line.get("stream") == "stdout"]


@pytest.fixture
def site() -> Iterator[Site]:
    with gevent.Timeout(LONGEST_SECONDS), capture_logs() as logged:
        site = Site()
        site.logged = logged
        site.scheduler.start()
        yield site
        site.scheduler.shutdown(wait=False)


def is_alive(pid: int) -> bool:
    """True if a process runs. A process that has ended and waits for its parent does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids_in(path: Path, count: int) -> list[int]:
    wait_until(lambda: path.exists() and len(path.read_text().split()) >= count)
    return [int(pid) for pid in path.read_text().split()]


# -- output -----------------------------------------------------------------------------------------------------------


def test_output_goes_to_the_log_line_by_line_and_names_the_run(site):
    ended = site.run("echo one; echo two")
    out = [line for line in site.logged if line["event"] == "command.output"]
    assert [line["line"] for line in out] == ["one", "two"]
    assert {line["log_level"] for line in out} == {"info"}
    assert {(line["job_id"], line["run_id"]) for line in out} == {(ended.job_id, ended.run_id)}


def test_lines_on_standard_error_are_warnings(site):
    site.run("echo oops >&2")
    (line,) = (line for line in site.logged if line["event"] == "command.output")
    assert (line["log_level"], line["line"], line["stream"]) == ("warning", "oops", "stderr")


def test_a_last_line_without_an_end_is_logged(site):
    assert site.said("printf 'one\\ntwo'") == ["one", "two"]


def test_bytes_that_are_no_text_are_shown_escaped(site):
    assert site.said("printf 'a\\377b\\n'") == ["a\\xffb"]


def test_long_lines_are_cut_and_the_log_counts_the_bytes(site):
    site.run("head -c 10000 /dev/zero | tr '\\0' x")
    (line,) = (line for line in site.logged if line["event"] == "command.output")
    assert (len(line["line"]), line["cut"]) == (4096, 10000 - 4096)


def test_lines_beyond_the_limit_are_counted_and_a_failure_shows_the_last_ones(site):
    ended = site.run("seq 1000; exit 1", max_lines=3)
    assert [line["line"] for line in site.logged if line["event"] == "command.output"] == ["1", "2", "3"]
    (cut,) = (line for line in site.logged if line["event"] == "command.output_cut")
    assert (cut["lines"], cut["bytes"]) == (997, sum(len(str(n)) for n in range(4, 1001)))
    assert ended.exception.output == ["996", "997", "998", "999", "1000"]


def test_a_flood_of_output_does_not_hold_the_event_loop(site):
    site.start("yes", max_lines=10)
    wait_until(lambda: site.logged)
    turns, end = 0, time.monotonic() + 0.5
    while time.monotonic() < end:
        gevent.sleep(0.001)
        turns += 1
    assert turns > 30


@given(st.lists(st.binary(max_size=30).map(lambda chunk: chunk.replace(b"x", b"\n"))), st.integers(1, 20))
def test_lines_are_the_same_however_they_come_in_chunks(chunks, longest):
    found = list(lines_of(chunks, longest))
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert [line.kept for line in found] == [line[:longest] for line in expected]
    assert [line.cut for line in found] == [max(0, len(line) - longest) for line in expected]


# -- how it ends ------------------------------------------------------------------------------------------------------


def test_an_exit_status_of_zero_is_success(site):
    assert site.run("true").name == "run.succeeded"


def test_another_exit_status_is_a_failure_that_shows_the_last_lines(site):
    ended = site.run("echo going; echo wrong >&2; exit 3")
    assert ended.name == "run.failed"
    assert isinstance(ended.exception, CommandFailedError)
    assert ended.exception.status == 3
    assert sorted(ended.exception.output) == ["going", "wrong"]
    assert str(ended.exception).startswith("exit status 3: ")
    assert ended.traceback is None


def test_a_command_that_a_signal_ends_has_failed(site):
    ended = site.run("kill -KILL $$")
    assert (ended.name, ended.exception.status, str(ended.exception)) == ("run.failed", -9, "ended by SIGKILL")


def test_a_missing_shell_is_a_failure(site):
    assert isinstance(site.run("true", shell="/nonexistent/sh").exception, FileNotFoundError)
    assert site.said("echo still") == ["still"]


def test_outside_a_run_it_is_refused():
    with pytest.raises(NotInRunError):
        run_command("true")


def test_a_command_in_a_thread_pool_fails_with_the_remedy(site):
    site.scheduler.add_executor("threadpool", "threads")
    site.scheduler.add_job(run_command, args=["true"], executor="threads")
    wait_until(lambda: site.ended)
    assert isinstance(site.ended[0].exception, ConfigurationError)
    assert "main thread" in str(site.ended[0].exception)


# -- what it is given -------------------------------------------------------------------------------------------------


def test_standard_input_is_the_given_text_or_empty(site):
    assert site.said("cat", stdin="one\ntwo\n") == ["one", "two"]
    assert site.said("cat") == []


def test_input_that_the_command_does_not_read_is_dropped(site):
    assert site.run("true", stdin="x" * 5_000_000).name == "run.succeeded"


def test_much_input_is_copied_whole(site):
    assert site.said("wc -c", stdin="x" * 1_000_000) == ["1000000"]


def test_the_environment_is_the_runners_without_its_settings(site, monkeypatch):
    monkeypatch.setenv("GSCHED_STORE", "mongodb://user:secret@db")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("INHERITED", "yes")
    lines = site.said("env", env={"EXTRA": "1", "SHELL": "/bin/zsh"})
    assert {"INHERITED=yes", "EXTRA=1", "SHELL=/bin/zsh"} <= set(lines)
    assert not [line for line in lines if "secret" in line or "NOTIFY" in line]


def test_variables_name_the_run_of_a_command(site):
    job_id, run_id = site.said('echo "$GSCHED_JOB_ID"; echo "$GSCHED_RUN_ID"')
    assert (job_id, run_id) == (site.ended[-1].job_id, site.ended[-1].run_id)


def test_the_working_directory(site, tmp_path):
    assert site.said("pwd", cwd=str(tmp_path)) == [str(tmp_path)]
    assert site.said("pwd", cwd="~", env={"HOME": str(tmp_path)}) == [str(tmp_path)]
    assert site.said("pwd") == [os.getcwd()]
    assert site.run("pwd", cwd="/nonexistent").name == "run.failed"


def test_a_directory_with_an_odd_name_is_no_command(site, tmp_path):
    odd = tmp_path / "-a $(echo b) ;'\""
    odd.mkdir()
    assert site.said("pwd", cwd=str(odd)) == [str(odd)]


@only_root
def test_root_runs_commands_as_other_users(site):
    nobody = pwd.getpwnam("nobody")
    lines = site.said("id -un; id -u; echo $HOME; echo $LOGNAME", user="nobody")
    assert lines == ["nobody", str(nobody.pw_uid), nobody.pw_dir, "nobody"]


@only_root
def test_another_users_command_gets_only_language_and_time_zone_from_the_runner(site, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PATH", f"/root/bin:{os.environ['PATH']}")
    monkeypatch.setenv("TZ", "Europe/Paris")
    lines = site.said("env; pwd", user="nobody", env={"EXTRA": "it's \n$(id) \\"})
    assert {"PATH=/usr/bin:/bin", "TZ=Europe/Paris", "SHELL=/bin/sh", "USER=nobody", "EXTRA=it's "} <= set(lines)
    assert "$(id) \\" in lines and lines[-1] == "/"
    names = {line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)}
    known = {"PATH", "TZ", "LANG", "LC_ALL", "SHELL", "USER", "LOGNAME", "HOME", "EXTRA", "PWD", "OLDPWD", "_", "SHLVL"}
    assert {name for name in names if not name.startswith("GSCHED_")} <= known


@only_root
def test_no_program_that_is_root_heeds_the_variables_of_another_users_command(site, shared_directory):
    written = shared_directory / "linker"  # by the dynamic linker of each program, with the rights that it has
    site.said("/bin/true", user="nobody", env={"LD_DEBUG": "libs", "LD_DEBUG_OUTPUT": str(written)})
    owners = {path.stat().st_uid for path in shared_directory.iterdir()}
    assert owners == {pwd.getpwnam("nobody").pw_uid}


@pytest.fixture
def shared_directory() -> Iterator[Path]:
    """A directory that every user may write to; only one user may write to `tmp_path`."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o777)
        yield Path(made)


@only_root
def test_another_users_command_has_no_descriptor_group_or_capability_of_roots(site):
    listing = "ls /proc/self/fd"
    assert site.said(listing, user="nobody") == site.said(listing)
    nobody = pwd.getpwnam("nobody")
    groups = site.said("id -G", user="nobody")[0].split()
    assert set(map(int, groups)) == set(os.getgrouplist("nobody", nobody.pw_gid))
    capabilities = site.said("grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status", user="nobody")
    assert {line.split()[1] for line in capabilities} == {"0" * 16}


@only_root
def test_another_users_command_gets_its_input_and_a_large_environment(site):
    large = {f"LARGE_{number}": "x" * 100_000 for number in range(5)}
    lines = site.said("cat; echo ${#LARGE_4}", user="nobody", stdin="typed\n", env=large)
    assert lines == ["typed", "100000"]


@only_root
@pytest.mark.parametrize("name", ["A B", "1ST", "X;id", "", "A=B"])
def test_a_variable_that_a_shell_cannot_export_is_refused_for_another_user(site, name):
    assert "cannot be a variable" in str(site.run("true", user="nobody", env={name: "x"}).exception)


def test_a_user_that_does_not_exist_is_a_failure(site):
    assert "no such user" in str(site.run("true", user="nobody-like-that").exception)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_lines": "5"}, "max_lines: expected a whole number from 0, got '5'"),
        ({"env": {"A": 5}}, "env.A: expected a text, got 5; write \"5\""),
        ({"env": {"A=B": "x"}}, "env: 'A=B' cannot be a variable's name"),
        ({"env": {"A": "\0"}, "cwd": 3}, "cwd: expected a text that is not empty, got 3; env.A: it has a NUL char"),
        ({"shell": ""}, "shell: expected a text that is not empty, got ''"),
        ({"stdin": 5}, "stdin: expected a text, got 5"),
        ({"user": 0}, "user: expected a text that is not empty, got 0"),
    ],
)
def test_a_wrong_option_fails_the_run_with_the_options_name(site, options, reason):
    failed = site.run("echo important", **options)
    assert (failed.name, type(failed.exception)) == ("run.failed", ConfigurationError)
    assert str(failed.exception).startswith(reason)


@pytest.mark.parametrize("method", ["read_output", "read_errors", "begin"])
def test_an_error_while_output_is_read_fails_the_run_and_ends_the_command(site, monkeypatch, tmp_path, method):
    def fail(*_: object) -> bytes:
        raise ArithmeticError(method)

    monkeypatch.setattr(CommandProcess, method, fail)
    failed = site.run(f"echo $$ >{tmp_path}/pid; exec sleep 60")
    assert (failed.name, str(failed.exception)) == ("run.failed", method)
    assert not (tmp_path / "pid").exists() or not is_alive(int((tmp_path / "pid").read_text()))


def test_the_command_begins_with_default_signals(site):
    assert site.said("yes | head -1; echo ${PIPESTATUS[0]}", shell="/bin/bash") == ["y", "141"]  # ended by SIGPIPE


def test_the_command_gets_no_descriptors_of_ours(site):
    ours = os.open("/dev/null", os.O_RDONLY)  # as Python opens files; what the tests were given by others is theirs
    given = {fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and fd != ours and is_inheritable(fd)}
    listed = site.said("for each in /proc/self/fd/*; do echo $each; done")
    os.close(ours)
    assert len(listed) <= 4 + len(given)  # the streams, and the directory that is listed


def is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


# -- stopping it ------------------------------------------------------------------------------------------------------


def test_a_command_that_takes_too_long_gets_term_with_its_whole_group(site, tmp_path):
    pids = tmp_path / "pids"
    ended = site.run(f"echo $$ >{pids}; sleep 60 & echo $! >>{pids}; sleep 60 & echo $! >>{pids}; wait", timeout=0.3)
    assert ended.name == "run.timed_out"
    assert "joinall" not in ended.traceback  # of gevent, where we waited
    assert not [pid for pid in pids_in(pids, 3) if is_alive(pid)]


def test_a_command_may_clean_up_after_term(site, tmp_path):
    proof = tmp_path / "proof"
    ended = site.run(f"trap 'echo cleaned >{proof}; exit 0' TERM; while :; do sleep 0.02; done", timeout=0.3)
    assert ended.name == "run.timed_out"
    assert proof.read_text() == "cleaned\n"


def test_a_command_that_ignores_term_is_killed_a_second_later(site, tmp_path):
    pids = tmp_path / "pids"
    started = time.monotonic()
    ended = site.run(f"echo $$ >{pids}; ({STUBBORN}) & echo $! >>{pids}; {STUBBORN}", timeout=1)
    assert ended.name == "run.timed_out"
    assert time.monotonic() - started > 1.9
    assert ended.reason != "abandoned"
    assert not [pid for pid in pids_in(pids, 2) if is_alive(pid)]


def test_cancelling_a_run_ends_its_command(site, tmp_path):
    pids = tmp_path / "pids"
    job_id = site.start(f"echo $$ >{pids}; sleep 60")
    (pid,) = pids_in(pids, 1)
    site.scheduler.cancel_runs(job_id)
    wait_until(lambda: site.ended)
    assert site.ended[0].name == "run.cancelled"
    assert not is_alive(pid)


def test_a_shutdown_that_does_not_wait_ends_commands(site, tmp_path):
    pids = tmp_path / "pids"
    site.start(f"echo $$ >{pids}; {STUBBORN}")
    (pid,) = pids_in(pids, 1)
    site.scheduler.shutdown(wait=False)
    assert not is_alive(pid)
    site.scheduler.start()


def test_a_background_process_that_holds_the_output_open_is_part_of_the_run(site, tmp_path):
    pids = tmp_path / "pids"
    assert site.run(f"sleep 60 & echo $! >{pids}", timeout=0.3).name == "run.timed_out"
    assert not is_alive(pids_in(pids, 1)[0])


def test_a_background_process_that_closes_its_output_outlives_the_run_as_with_cron(site, tmp_path):
    pids = tmp_path / "pids"
    assert site.run(f"sleep 60 >/dev/null 2>&1 & echo $! >{pids}").name == "run.succeeded"
    (pid,) = pids_in(pids, 1)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_many_at_once_leave_neither_processes_nor_descriptors(site):
    site.run("true")  # the guardian is there from now on
    files, others = open_files(), children(os.getpid())
    for _ in range(200):
        site.start("echo hello")
    site.start("exit 1")
    site.start("sleep 60", timeout=0.2)
    wait_until(lambda: len(site.ended) == 203)
    assert open_files() <= files  # what earlier tests left may be closed meanwhile
    assert children(os.getpid()) == others


def open_files() -> set[str]:
    """The open descriptors of this process, with the kernel's names: each pipe and socket has its own number."""
    entries = Path("/proc/self/fd").iterdir()
    return {os.readlink(entry) for entry in entries if entry.is_symlink()} - {f"/proc/{os.getpid()}/fd"}


def children(pid: int) -> list[str]:
    """The command lines of a process's children. A minimal Debian has no ps."""
    return sorted(_command_line(other) for other in Path("/proc").glob("[0-9]*") if _parent(other) == pid)


def guardian_of(pid: int) -> int:
    """The guardian of a process's commands."""
    others = (other for other in Path("/proc").glob("[0-9]*") if _parent(other) == pid)
    return next(int(other.name) for other in others if "shell/guardian.py" in _command_line(other))


def _parent(process: Path) -> int | None:
    try:
        return int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return None


def _command_line(process: Path) -> str:
    try:
        return process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


PROGRAM = """
    import sys
    if {patched}:
        from gevent import monkey
        monkey.patch_all()
    import gevent
    from gsched import GeventScheduler
    from gsched.runner.commands import run_command

    scheduler = GeventScheduler(timezone="UTC")
    scheduler.add_listener(lambda event: print(event.name) if event.name in ("run.succeeded", "run.failed") else None)
    scheduler.start()
    {jobs}
    gevent.sleep({seconds})
    scheduler.shutdown()
"""


@pytest.mark.parametrize("patched", [False, True])
def test_a_command_runs_in_patched_and_in_unpatched_programs(patched):
    jobs = 'scheduler.add_job(run_command, args=["sleep 0.1; exit 0"]); scheduler.add_job(run_command, args=["exit 1"])'
    out, error, code = run_program(PROGRAM.format(patched=patched, jobs=jobs, seconds=0.5))
    assert (sorted(out.split()), code) == (["run.failed", "run.succeeded"], 0), error


def test_a_killed_runner_leaves_nothing_behind(tmp_path):
    pids = tmp_path / "pids"
    commands = [f"echo $$ >>{pids}; {STUBBORN}", f"echo $$ >>{pids}; sleep 60 & echo $! >>{pids}; wait"]
    jobs = "; ".join(f"scheduler.add_job(run_command, args=[{command!r}])" for command in commands)
    program = textwrap.dedent(PROGRAM.format(patched=True, jobs=jobs, seconds=60))
    runner = subprocess.Popen([sys.executable, "-c", program])
    left = pids_in(pids, 3)
    assert all(map(is_alive, left))
    runner.kill()
    runner.wait()
    wait_until(lambda: not any(map(is_alive, left)))


def test_a_runner_that_is_killed_before_its_guardian_knows_of_a_command_leaves_nothing_behind(tmp_path):
    proof = tmp_path / "proof"
    dies = "from gsched.runner.shell import process as p; p.guard = lambda pid: (print(pid, flush=True), os._exit(9))"
    job = f"import os; {dies}; scheduler.add_job(run_command, args=['echo began >{proof}'])"
    out, error, code = run_program(PROGRAM.format(patched=False, jobs=job, seconds=60))
    assert code == 9, error
    wait_until(lambda: not is_alive(int(out)))
    assert not proof.exists()


def test_a_guardian_that_is_killed_is_replaced(tmp_path):
    pids = tmp_path / "pids"
    add = f"scheduler.add_job(run_command, args=['echo $$ >>{pids}; sleep 60'])"
    program = PROGRAM.format(patched=False, jobs=f"{add}; gevent.sleep(0.3); sys.stdin.readline(); {add}", seconds=60)
    runner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE)
    pids_in(pids, 1)
    os.kill(guardian_of(runner.pid), signal.SIGKILL)
    assert runner.stdin is not None
    runner.stdin.write(b"\n")
    runner.stdin.flush()
    left = pids_in(pids, 2)
    wait_until(lambda: any("shell/guardian.py" in each for each in children(runner.pid)))
    runner.kill()
    runner.wait()
    wait_until(lambda: not any(map(is_alive, left)))


# -- limits, and what a command has used ------------------------------------------------------------------------------

PYTHON = f"exec {sys.executable} -I -S -c"


def ended_so(site: Site, ended: Any) -> Any:
    """How the command has ended, from the history."""
    return site.scheduler.get_runs(run_id=ended.run_id)[0].command


def test_the_record_has_how_a_command_ended_and_what_it_used(site):
    used = ended_so(site, site.run(f"""{PYTHON} '
while sum(__import__("os").times()[:2]) < 0.2: pass
raise SystemExit(3)'"""))
    assert (used.exit_status, used.exit_signal, used.limit) == (3, None, None)
    assert used.user_seconds + used.system_seconds >= 0.19
    assert used.peak_memory is None or used.peak_memory > 20_000_000
    assert str(used).startswith("exit status 3, user 0.")
    killed = ended_so(site, site.run("kill -KILL $$"))
    assert (killed.exit_status, killed.exit_signal) == (None, "SIGKILL")
    stopped = ended_so(site, site.run("sleep 60", timeout=0.2))
    assert (stopped.exit_status, stopped.exit_signal) == (None, "SIGTERM")


def test_many_commands_that_end_at_once_have_their_own_status_and_most_have_their_figures(site):
    for number in range(40):
        site.start(f"exit {number + 1}")
    wait_until(lambda: len(site.ended) == 40)
    ends = [ended_so(site, ended) for ended in site.ended]
    assert sorted(end.exit_status for end in ends) == list(range(1, 41))
    assert sum(end.user_seconds is not None for end in ends) >= 30


def test_the_memory_of_a_command_is_not_that_of_the_process_which_spawned_it():
    def peak(kib: int) -> int | None:
        usage: Any = SimpleNamespace(ru_utime=0.1, ru_stime=0.2, ru_maxrss=kib)
        return Usage.read(usage, own_peak=100_000).peak_memory

    assert (peak(100_000), peak(101_000), peak(102_000)) == (None, None, 102_000 * 1024)


@pytest.mark.parametrize("user", [None, pytest.param("nobody", marks=only_root)])
def test_limits_hold_for_the_command(site, user):
    lines = site.said(
        "umask; ulimit -v; ulimit -S -t; ulimit -H -t; nice",
        user=user, umask="027", memory_max="512MiB", cpu_time_max="10s", nice=5,
    )  # fmt: skip
    assert lines == ["0027", str(512 * 1024), "10", "15", str(os.nice(0) + 5)]


def test_a_limit_that_is_reached_is_named(site):
    ended = site.run("while :; do :; done", cpu_time_max=1)
    assert str(ended.exception).startswith("the command reached cpu_time_max = 1s: ended by SIGXCPU")
    assert ended_so(site, ended).limit == "cpu_time_max = 1s"
    ended = site.run("tail /dev/zero", memory_max="64MiB")  # it holds all that may be its last line
    assert str(ended.exception).startswith("the command reached memory_max = 64MiB: exit status 1: ")
    assert ended_so(site, site.run("exit 1", memory_max="64MiB", cpu_time_max=1)).limit is None


@only_root
def test_only_roots_own_commands_may_be_given_a_negative_niceness(site):
    assert site.said("nice", nice=-5) == [str(os.nice(0) - 5)]
    ended = site.run("echo begun", nice=-5, user="nobody")
    assert "nice: only commands of root may have -5" in str(ended.exception)


def test_variables_come_from_a_file_and_env_wins(site, tmp_path):
    file = tmp_path / "variables"
    file.write_text("ONE='from file'\nTWO=2\n")
    file.chmod(0o600)
    assert site.said("echo $ONE; echo $TWO", env_file=str(file), env={"TWO": "two"}) == ["from file", "two"]
    file.chmod(0o666)
    ended = site.run("echo begun", env_file=str(file))
    assert "variables may be written by other users (mode 0666)" in str(ended.exception)
