"""Checks the options of run_command: finds mistakes, and what this machine lacks."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gsched.checks import checked_bytes, is_whole
from gsched.errors import ConfigurationError
from gsched.files.rights import REMEDY, open_to_others
from gsched.runner.shell.limits import CommandLimits
from gsched.times.durations import as_seconds

OPTIONS: Final = (
    *("shell", "env", "cwd", "stdin", "user", "max_lines", "log_output", "env_file"),
    *("nice", "memory_max", "cpu_time_max", "umask"),
)
_LEAST_MEMORY: Final = 1 << 20
_MOST_MEMORY: Final = 1 << 50
_MOST_CPU_SECONDS: Final = 10**9
_UMASK: Final = re.compile(r"0?[0-7]{3}")


class Problem(NamedTuple):
    """Something wrong with one option."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


def wrong_options(options: Mapping[str, Any]) -> Iterator[Problem]:
    """The mistakes in a command's options, whatever the machine."""
    for key in ("command", "shell", "cwd", "user"):
        if key in options and (reason := _no_text(options[key])):
            yield Problem(key, reason)
    if "stdin" in options and not isinstance(options["stdin"], str):
        yield Problem("stdin", f"expected a text, got {options['stdin']!r}")
    if "env" in options:
        yield from _wrong_variables(options["env"])
    if not isinstance(options.get("log_output", True), bool):
        yield Problem("log_output", f"expected true or false, got {options['log_output']!r}")
    lines = options.get("max_lines", 0)
    if not is_whole(lines, 0):
        yield Problem("max_lines", f"expected a whole number from 0, got {lines!r}")
    path = options.get("env_file", "/")
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
        yield Problem("env_file", f"expected an absolute path, got {path!r}")
    yield from _wrong_limits(options)


def _wrong_limits(options: Mapping[str, Any]) -> Iterator[Problem]:
    nice, umask = options.get("nice", 0), options.get("umask", "022")
    if not is_whole(nice, -20) or nice > 19:
        yield Problem("nice", f"expected a whole number from -20 to 19, got {nice!r}")
    if not isinstance(umask, str) or not _UMASK.fullmatch(umask):
        yield Problem("umask", f'expected three octal digits as a text, such as "027", got {umask!r}')
    for key, read in (("memory_max", _memory), ("cpu_time_max", _cpu_seconds)):
        if key in options:
            try:
                read(options[key])
            except ConfigurationError as error:
                yield Problem(key, str(error).removeprefix(f"{key}: "))


def _memory(value: Any) -> int:
    return checked_bytes("memory_max", value, _LEAST_MEMORY, _MOST_MEMORY)


def _cpu_seconds(value: Any) -> int:
    seconds = as_seconds(value, "cpu_time_max")
    if seconds != int(seconds) or seconds > _MOST_CPU_SECONDS:
        raise ConfigurationError(f"cpu_time_max: expected whole seconds, such as 10 or '10s', got {value!r}")
    return int(seconds)


def limits_of(options: Mapping[str, Any]) -> CommandLimits:
    """The limits among options without mistakes."""
    memory, seconds = options["memory_max"], options["cpu_time_max"]
    return CommandLimits(
        options["nice"],
        None if memory is None else _memory(memory),
        None if seconds is None else _cpu_seconds(seconds),
        options["umask"],
    )


def doubts(options: Mapping[str, Any]) -> Iterator[Problem]:
    """What a command needs and this machine lacks or forbids at the moment. Another machine may have it."""
    shell, user, cwd = options.get("shell", "/bin/sh"), options.get("user"), options.get("cwd")
    account, is_known = None, True
    if shutil.which(shell) is None:
        yield Problem("shell", f"there is no program {shell!r} on this machine")
    if user is not None:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            is_known = False
            yield Problem("user", f"there is no user {user!r} on this machine")
        if account is not None and os.getuid() not in (0, account.pw_uid):
            yield Problem("user", f"only a runner of root can run commands as {user!r}")
    if options.get("nice", 0) < 0 and (os.getuid() != 0 or (account is not None and account.pw_uid != 0)):
        yield Problem("nice", f"only commands of root may have {options['nice']}; write a number from 0 to 19")
    if (path := options.get("env_file")) is not None:
        if not os.path.isfile(path):
            yield Problem("env_file", f"there is no file {path} on this machine")
        elif (reason := open_to_others(path)) is not None:
            yield Problem("env_file", f"{reason}: {REMEDY}")
    if cwd is not None and (is_known or not cwd.startswith("~")) and not os.path.isdir(path := _expanded(cwd, account)):
        yield Problem("cwd", f"there is no directory {path} on this machine")


def _no_text(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return f"expected a text that is not empty, got {value!r}"
    return "it has a NUL character" if "\0" in value else None


def _wrong_variables(env: Any) -> Iterator[Problem]:
    if not isinstance(env, Mapping):
        yield Problem("env", f"expected a table of names and texts, got {env!r}")
        return
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            yield Problem("env", f"{name!r} cannot be a variable's name")
        elif not isinstance(value, str):
            yield Problem(f"env.{name}", f"expected a text, got {value!r}{_as_text(value)}")
        elif "\0" in value:
            yield Problem(f"env.{name}", "it has a NUL character")


def _as_text(value: Any) -> str:
    return f'; write "{value}"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _expanded(cwd: str, account: pwd.struct_passwd | None) -> str:
    if cwd != "~" and not cwd.startswith("~/"):
        return cwd
    home = os.environ.get("HOME", "/") if account is None else account.pw_dir
    return home + cwd[1:]
