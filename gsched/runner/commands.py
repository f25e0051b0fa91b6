"""Shell commands as jobs: `gsched.runner.commands:run_command`, whose arguments any store can keep."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping
from dataclasses import replace
from errno import ENOENT
from typing import Any, Final

import gevent

from gsched.errors import CommandFailedError, ConfigurationError, signal_name
from gsched.event_loop.helpers import spawn
from gsched.jobs.command_end import CommandEnd
from gsched.jobs.funcref import executes_its_arguments
from gsched.jobs.run import Run, current_run
from gsched.runner.shell.env_file import read_env_file
from gsched.runner.shell.limits import CommandLimits
from gsched.runner.shell.options import limits_of, wrong_options
from gsched.runner.shell.output import OutputLog
from gsched.runner.shell.process import CommandProcess, Start
from gsched.runner.shell.start import as_another_user, as_ourselves

COMMANDS: Final = "gsched.runner.commands"  # the module that a runner must allow, or stored commands do not run
RUN_COMMAND: Final = f"{COMMANDS}:run_command"
# Variables that no command gets: those that systemd sets for the runner, and those of notifiers' secrets.
_WITHHELD: Final = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
# The variables of the runner that another user's command gets: the machine's language and time zone.
_OF_THE_MACHINE: Final = ("LANG", "LC_ALL", "TZ")
_USUAL_PATH: Final = "/usr/bin:/bin"
_CHANGE_DIRECTORY: Final = 'cd -- "$0" && exec "$@"'


@executes_its_arguments
def run_command(
    command: str,
    *,
    shell: str = "/bin/sh",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | None = None,
    user: str | None = None,
    max_lines: int = 1000,
    log_output: bool = True,
    env_file: str | None = None,
    nice: int | None = None,
    memory_max: int | str | None = None,
    cpu_time_max: float | str | None = None,
    umask: str | None = None,
) -> None:
    """Run a shell command as a job's function. The exit status decides the run's outcome; the log gets the output.

    Each line of output becomes a log line `command.output` that names the run; a line of standard error is a warning.
    The command has a session and a process group of its own. If the run is timed out or cancelled, the group gets TERM,
    and KILL a second later. If the runner is killed, its guardian ends the group. A background process of the command
    is part of the run as long as it holds the output open; otherwise it goes on after the run.

    The environment is the runner's without variables that begin with GSCHED_, and with SHELL. HOME, LOGNAME and USER
    are added if they are not set. Another user's command gets PATH=/usr/bin:/bin, SHELL, HOME, LOGNAME, USER, and the
    runner's LANG, LC_ALL and TZ instead. Each command gets GSCHED_JOB_ID, GSCHED_RUN_ID, GSCHED_ATTEMPT and
    GSCHED_SCHEDULED_AT.

    The job needs the greenlet executor, in the program's main thread. The program may be patched or not.

    :param shell: the program that gets `-c` and the command
    :param env: further variables of the command
    :param cwd: the working directory; "~" is the home directory. Default: the runner's directory, and / for another
        user
    :param stdin: the text of the standard input; default: it is empty
    :param user: run as this user; only a runner of root can. No program sees `env` before it runs as this user
    :param max_lines: how many lines of output are logged at most; further lines and their bytes are counted
    :param log_output: False: no line is logged. The job's `keep_output` keeps the output all the same
    :param env_file: a file with further variables, in the syntax of systemd's EnvironmentFile; `env` wins. The file is
        read when the run starts, with this process's rights; no other user may be able to change it
    :param nice: what is added to this process's niceness, -20 to 19; only commands of root may have a negative value
    :param memory_max: the address space of each process, in bytes or as text such as "512MiB"
    :param cpu_time_max: the CPU time of each process, in whole seconds or as text such as "10s"; then the process gets
        SIGXCPU, and KILL five seconds later
    :param umask: three octal digits as text, such as "027"
    :raises CommandFailedError: if the exit status is not 0, or a signal ended the command
    :raises ConfigurationError: if an option is wrong, or the user does not exist or this process cannot change to it
    :raises FileNotFoundError: if there is no such shell
    """
    run = current_run()
    given = {"command": command, "shell": shell, "env": env, "cwd": cwd, "stdin": stdin, "user": user}
    limited = {"nice": nice, "memory_max": memory_max, "cpu_time_max": cpu_time_max, "umask": umask}
    _check({**given, "max_lines": max_lines, "log_output": log_output, "env_file": env_file, **limited})
    limits = limits_of(limited)
    variables = {**({} if env_file is None else read_env_file(env_file)), **(env or {})}
    process = CommandProcess(_start(run, command, shell, variables, cwd, user, limits))
    output = OutputLog(run.plain_log, max_lines if log_output else None, run.output)
    try:
        _follow(process, output, stdin)
        status = process.wait()
    except BaseException as error:
        error.__traceback__ = None  # nobody needs the line that waited
        process.stop()
        raise
    finally:
        process.close()
        output.close()
        run.command = _end(process, limits, output)
    if status != 0:
        raise CommandFailedError(status, output.last_lines, None if run.command is None else run.command.limit)


def _end(process: CommandProcess, limits: CommandLimits, output: OutputLog) -> CommandEnd | None:
    """How the command has ended; None if its process goes on, because the kernel holds it."""
    status, usage = process.status, process.usage
    if status is None:
        return None
    seconds = None if usage is None else usage.user_seconds + usage.system_seconds
    limit = limits.reached(status, seconds, output.last_lines)
    ended = CommandEnd(status, None, limit) if status >= 0 else CommandEnd(None, signal_name(-status), limit)
    return ended if usage is None else replace(ended, **usage._asdict())


def withhold(name: str) -> None:
    """Keep a variable of the runner from all commands, because it is a secret."""
    _WITHHELD.add(name)


def _check(options: Mapping[str, Any]) -> None:
    if problems := list(wrong_options({name: value for name, value in options.items() if value is not None})):
        raise ConfigurationError("; ".join(map(str, problems)))


def _start(
    run: Run, command: str, shell: str, env: Mapping[str, str], cwd: str | None, user: str | None, limits: CommandLimits
) -> Start:
    account = _account(user)
    if (limits.nice or 0) < 0 and (os.getuid() != 0 or (account is not None and account.pw_uid != 0)):
        raise ConfigurationError(f"nice: only commands of root may have {limits.nice}; write a number from 0 to 19")
    arguments = [shell, "-c", command]
    if account is not None and account.pw_uid != os.getuid():
        variables = {**_of_another(account), "SHELL": shell, **_of_run(run), **env}
        return as_another_user(account, _in_directory(cwd or "/", arguments, variables), variables, limits)
    if shutil.which(shell) is None:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), shell)
    variables = {**_of_ours(account, named=user is not None), "SHELL": shell, **_of_run(run), **env}
    return as_ourselves(_in_directory(cwd, arguments, variables), variables, limits)


def _follow(process: CommandProcess, output: OutputLog, stdin: str | None) -> None:
    """Write the command's input and read its output until the command closes it. Errors pass through."""
    errors: list[BaseException] = []
    readers = [
        spawn(output.follow, process.read_output, "stdout", on_error=errors.append),
        spawn(output.follow, process.read_errors, "stderr", on_error=errors.append),
    ]
    feeder = spawn(process.begin, (stdin or "").encode(), on_error=errors.append)
    try:
        for _ in gevent.iwait([*readers, feeder]):
            if errors:
                raise errors[0]
            if all(reader.ready() for reader in readers):
                return
    finally:
        gevent.killall([*readers, feeder], block=False)
        gevent.joinall([*readers, feeder])


def _in_directory(cwd: str | None, arguments: list[str], variables: Mapping[str, str]) -> list[str]:
    if cwd is None:
        return arguments
    if cwd == "~" or cwd.startswith("~/"):
        cwd = variables.get("HOME", "/") + cwd[1:]
    return ["/bin/sh", "-c", _CHANGE_DIRECTORY, cwd, *arguments]


def _account(user: str | None) -> pwd.struct_passwd | None:
    """The account that the command runs under; None if this process's own user has none, as in containers."""
    try:
        return pwd.getpwuid(os.getuid()) if user is None else pwd.getpwnam(user)
    except KeyError:
        if user is None:
            return None
        raise ConfigurationError(f"user {user!r}: there is no such user") from None


def _of_ours(account: pwd.struct_passwd | None, named: bool) -> dict[str, str]:
    """The environment of commands that run as this process's own user.

    :param named: the option `user` names this user; else the runner's own HOME, LOGNAME and USER win
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GSCHED_") and name not in _WITHHELD
    }  # fmt: skip
    own = {} if account is None else _of_account(account)
    return inherited | own if named else own | inherited


def _of_another(account: pwd.struct_passwd) -> dict[str, str]:
    """The environment of another user's commands. The runner's own may hold secrets of root."""
    machine = {name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ}
    return {"PATH": _USUAL_PATH, **machine, **_of_account(account)}


def _of_account(account: pwd.struct_passwd) -> dict[str, str]:
    return {"HOME": account.pw_dir, "LOGNAME": account.pw_name, "USER": account.pw_name}


def _of_run(run: Run) -> dict[str, str]:
    return {
        "GSCHED_JOB_ID": run.job_id,
        "GSCHED_RUN_ID": run.id,
        "GSCHED_ATTEMPT": str(run.attempt),
        "GSCHED_SCHEDULED_AT": run.scheduled_at.isoformat(timespec="milliseconds"),
    }
