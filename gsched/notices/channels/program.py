"""Programs that take messages. No shell starts them; a program that takes too long is killed with its process group."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gsched.errors import ConfigurationError
from gsched.notices.channels.channel import SECONDS, Channel, ChannelError
from gsched.notices.message import Message

if TYPE_CHECKING:
    from subprocess import Popen

_KEPT: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")  # others may be secret
_MOST_SHOWN: Final = 200  # characters


class Command(Channel):
    """Runs a program for each message. The program gets the text as its standard input, and the rest as variables.

    The variables are GSCHED_EVENT, GSCHED_SUBJECT and others, see docs/notifications.md. An exit status other than 0
    means that the message was not sent. After ten seconds the program is killed.

    :param command: the program and its arguments: a list, or a text that is split as a shell does; no shell runs
    :raises ConfigurationError: if `command` is empty, or no list of texts
    """

    def __init__(self, command: str | Iterable[str]) -> None:
        self._arguments = _checked_arguments(command)

    def send(self, message: Message) -> None:
        run_program(self._arguments, f"{message.text}\n".encode(), _variables(message))

    def where(self) -> str:
        return self._arguments[0]


def _checked_arguments(command: object) -> list[str]:
    try:
        arguments = shlex.split(command) if isinstance(command, str) else list(command)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        arguments = []
    if not arguments or not all(isinstance(each, str) and "\0" not in each for each in arguments) or not arguments[0]:
        raise ConfigurationError("command: expected a program and its arguments, as a list or as a text")
    return arguments


def _variables(message: Message) -> Mapping[str, str]:
    notice = message.notices[0] if len(message.notices) == 1 else {}
    values = {
        "NOTIFIER": message.notifier,
        "SCHEDULER": message.scheduler,
        "EVENT": message.event,
        "SUBJECT": message.subject,
        "URL": message.url,
        "COUNT": sum(int(each["count"]) for each in message.notices),
        "JOB_ID": notice.get("job_id"),
        "RUN_ID": notice.get("run_id"),
        "ERROR_TYPE": notice.get("error_type"),
    }
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    return {f"GSCHED_{name}": text.replace("\0", " ") for name, text in texts.items()}


def run_program(arguments: Sequence[str], stdin: bytes, variables: Mapping[str, str]) -> None:
    """Run a program with this input. Raises ChannelError if it cannot be started, fails or takes too long."""
    import subprocess  # gevent's, in a program that gevent has patched: other greenlets go on

    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**environment, **variables}, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ChannelError(f"{arguments[0]}: {error.strerror or error}") from None
    try:
        _, said = process.communicate(stdin, timeout=SECONDS)
    except BaseException as error:
        _kill(process)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ChannelError(f"{arguments[0]} took longer than {SECONDS:.0f} s") from None
        raise
    if process.returncode:
        shown = " ".join(said.decode(errors="replace").split())[-_MOST_SHOWN:]
        raise ChannelError(f"{arguments[0]} ended with status {process.returncode}{f': {shown}' if shown else ''}")


def _kill(process: Popen[bytes]) -> None:
    """Kill a process that still runs, with its group."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
