"""gsched dump."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from gsched.cli.options import configured
from gsched.cli.printing import say
from gsched.cli.probe_client import ask_probe
from gsched.config import Configuration
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.web.address import USUAL


@click.command()
@configured("probe", "pid_file")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, metavar="SECONDS", show_default=True,
    help="How long to wait for an answer.",
)  # fmt: skip
def dump(configuration: Configuration, timeout: float) -> None:
    """Print the stacks of all greenlets and threads of a runner.

    The command asks the runner on its probe port. If only a pid file is configured, it sends a signal, and the runner
    logs the stacks.
    """
    if configuration.probe is None and configuration.pid_file is not None:
        _signal(Path(configuration.pid_file))
        return
    status, body = ask_probe(configuration.probe or USUAL, "/stacks", timeout)
    if status != 200:
        raise CommandRefused(f"the probe port answers {status}: {body.decode(errors='replace').strip()}")
    say(body.decode(errors="replace").rstrip("\n"))


def _signal(pid_file: Path) -> None:
    try:
        pid = _signal_owner(pid_file)
    except (ValueError, OverflowError):
        raise CommandRefused(f"{pid_file} does not hold a process id", Exit.INVALID) from None
    except (FileNotFoundError, ProcessLookupError):
        raise CommandRefused(f"no runner runs with the pid file {pid_file}", Exit.NOT_FOUND) from None
    except OSError as error:
        raise CommandRefused(f"{pid_file}: {error.strerror}") from None
    say(f"process {pid} logs its stacks (under systemd: journalctl _PID={pid})", err=True)


def _signal_owner(pid_file: Path) -> int:
    """Send SIGUSR1 to the process that the file names, and give its id.

    :raises ProcessLookupError: if the process does not have the file open: then the file was left behind, and the id
        may belong to any process, which the signal would end
    """
    with pid_file.open(encoding="ascii") as file:
        pid = int(file.read(64))
        process = os.pidfd_open(pid)  # it stays this process, also if the id is given to another one
        try:
            if not _has_open(pid, os.fstat(file.fileno())):
                raise ProcessLookupError
            signal.pidfd_send_signal(process, signal.SIGUSR1)
        finally:
            os.close(process)
    return pid


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.path.samestat(each.stat(), wanted):
                return True
        except FileNotFoundError:  # closed meanwhile
            pass
    return False
