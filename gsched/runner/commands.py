"""Shell commands as jobs: `gsched.runner.commands:run_command`, whose arguments any store can keep."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping
from errno import ENOENT
from typing import Any, Final

import gevent

from gsched.errors import CommandFailedError, ConfigurationError
from gsched.helpers import spawn
from gsched.run import Run, current_run
from gsched.runner.command_options import wrong_options
from gsched.runner.command_output import OutputLog
from gsched.runner.command_process import CommandProcess

COMMANDS: Final = "gsched.runner.commands"  # what a runner has to allow for commands to run
RUN_COMMAND: Final = f"{COMMANDS}:run_command"
# What the runner is told, its store's password among it, and what systemd tells the runner alone.
_WITHHELD: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_CHANGE_DIRECTORY: Final = 'cd -- "$0" && exec "$@"'


def run_command(
    command: str,
    *,
    shell: str = "/bin/sh",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | None = None,
    user: str | None = None,
    max_lines: int = 1000,
) -> None:
    """A job's function: run a shell command, its output in the log, its exit status the run's outcome.

    Each line of output becomes a log line `command.output` (standard error: as a warning) that names the run. The
    command has a session, and so a process group, of its own. When the run is timed out or cancelled, the group gets
    TERM, and KILL a second later; if the runner itself is killed, its guardian does that. What the command leaves in
    the background counts as part of the run while it holds the output open, else it goes on after the run.

    The environment is the runner's without GSCHED_ variables, with SHELL, and where they are not set HOME, LOGNAME and
    USER; GSCHED_JOB_ID, GSCHED_RUN_ID, GSCHED_ATTEMPT and GSCHED_SCHEDULED_AT tell the command which run it is.

    Needs the greenlet executor, in the program's main thread; patched or not.

    :param shell: gets `-c` and the command
    :param env: variables on top
    :param cwd: working directory (default: the runner's); "~" is the home directory
    :param stdin: text for standard input (default: it is empty)
    :param user: run as this user; only root's runner can
    :param max_lines: so many lines of output are logged; of more, and of long lines, what is left out is counted
    :raises CommandFailedError: if the exit status is not 0 or a signal ended it
    :raises ConfigurationError: if an option is wrong, or the user does not exist or cannot be changed to
    :raises FileNotFoundError: if there is no such shell
    """
    run = current_run()
    _check({"command": command, "shell": shell, "env": env or {}, "cwd": cwd, "stdin": stdin, "user": user}, max_lines)
    if shutil.which(shell) is None:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), shell)
    account = _account(user)
    variables = {**_environment(account, user is not None, shell), **_of_run(run), **(env or {})}
    process = CommandProcess(_arguments(command, shell, cwd, account, variables), variables)
    output = OutputLog(run.log, max_lines)
    try:
        _follow(process, output, stdin)
        status = process.wait()
    except BaseException as error:
        error.__traceback__ = None  # where we waited tells nothing
        process.stop()
        raise
    finally:
        process.close()
        output.close()
    if status != 0:
        raise CommandFailedError(status, output.last_lines)


def _check(options: Mapping[str, Any], max_lines: Any) -> None:
    given = {name: value for name, value in options.items() if value is not None}
    if problems := list(wrong_options({**given, "max_lines": max_lines})):
        raise ConfigurationError("; ".join(map(str, problems)))


def _follow(process: CommandProcess, output: OutputLog, stdin: str | None) -> None:
    """Feed the command and read what it says, until it has closed its output. Raises what any of that raises."""
    errors: list[BaseException] = []
    readers = [
        spawn(output.follow, process.read_output, "stdout", on_error=errors.append),
        spawn(output.follow, process.read_errors, "stderr", on_error=errors.append),
    ]
    feeder = spawn(process.feed, (stdin or "").encode(), on_error=errors.append)
    try:
        for _ in gevent.iwait([*readers, feeder]):
            if errors:
                raise errors[0]
            if all(reader.ready() for reader in readers):
                return
    finally:
        gevent.killall([*readers, feeder], block=False)
        gevent.joinall([*readers, feeder])


def _arguments(
    command: str, shell: str, cwd: str | None, account: Any, variables: Mapping[str, str]
) -> list[str]:
    arguments = [shell, "-c", command]
    if cwd is not None:
        if cwd == "~" or cwd.startswith("~/"):
            cwd = variables.get("HOME", "/") + cwd[1:]
        arguments = ["/bin/sh", "-c", _CHANGE_DIRECTORY, cwd, *arguments]
    if account is None or account.pw_uid == os.getuid():
        return arguments
    return [*_as_user(account), *arguments]


def _as_user(account: pwd.struct_passwd) -> list[str]:
    setpriv = shutil.which("setpriv")
    if os.getuid() != 0 or setpriv is None:
        need = "only root can run commands as another user" if setpriv else "setpriv (of util-linux) is missing"
        raise ConfigurationError(f"user {account.pw_name!r}: {need}")
    return [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", "--"]


def _account(user: str | None) -> pwd.struct_passwd | None:
    """The account that the command runs under; None if this process's own user has none, as in containers."""
    try:
        return pwd.getpwuid(os.getuid()) if user is None else pwd.getpwnam(user)
    except KeyError:
        if user is None:
            return None
        raise ConfigurationError(f"user {user!r}: there is no such user") from None


def _environment(account: pwd.struct_passwd | None, changed: bool, shell: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GSCHED_") and name not in _WITHHELD
    }  # fmt: skip
    own = {} if account is None else {"HOME": account.pw_dir, "LOGNAME": account.pw_name, "USER": account.pw_name}
    return {**(inherited | own if changed else own | inherited), "SHELL": shell}


def _of_run(run: Run) -> dict[str, str]:
    return {
        "GSCHED_JOB_ID": run.job_id,
        "GSCHED_RUN_ID": run.id,
        "GSCHED_ATTEMPT": str(run.attempt),
        "GSCHED_SCHEDULED_AT": run.scheduled_at.isoformat(timespec="milliseconds"),
    }
