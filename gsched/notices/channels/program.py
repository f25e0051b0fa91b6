"""Programs that take messages: started without a shell, and ended with all that they have started."""

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

_KEPT: Final = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")  # not others: some are secret
_MOST_SHOWN: Final = 200  # characters


class Command(Channel):
    """Runs a program for each message. The text is its standard input; its environment has the message's parts.

    :param command: the program and its arguments: a list, or a text that is split as a shell does; no shell runs
    :raises ConfigurationError: if it cannot be a command
    """

    def __init__(self, command: str | Iterable[str]) -> None:
        self._arguments = _checked_arguments(command)

    def send(self, message: Message) -> None:
        run_program(self._arguments, message.text.encode(), _variables(message))

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
    import subprocess  # in a program that gevent has patched, gevent's: other greenlets go on

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
    """End a process that has not ended, with its group."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
