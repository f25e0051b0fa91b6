"""gsched dump."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import click

from gsched.cli.asking import ask
from gsched.cli.options import configured
from gsched.config import Configuration
from gsched.runner.exits import CommandRefused, Exit
from gsched.web.address import USUAL


@click.command()
@configured("probe", "pid_file")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, metavar="SECONDS", show_default=True,
    help="How long to wait for an answer.",
)  # fmt: skip
def dump(configuration: Configuration, timeout: float) -> None:
    """Show what every greenlet and thread of a runner is doing.

    It is asked on its probe port; or, where only a pid file is configured, told by a signal to log it.
    """
    if configuration.probe is None and configuration.pid_file is not None:
        _signal(Path(configuration.pid_file))
        return
    status, body = ask(configuration.probe or USUAL, "/stacks", timeout)
    if status != 200:
        raise CommandRefused(f"the probe port answers {status}: {body.decode(errors='replace').strip()}")
    click.echo(body.decode(errors="replace"), nl=False)


def _signal(pid_file: Path) -> None:
    try:
        pid = _live_owner(pid_file)
        os.kill(pid, signal.SIGUSR1)
    except ValueError:
        raise CommandRefused(f"{pid_file} does not hold a process id", Exit.INVALID) from None
    except (FileNotFoundError, ProcessLookupError):
        raise CommandRefused(f"no runner runs with the pid file {pid_file}", Exit.NOT_FOUND) from None
    except OSError as error:
        raise CommandRefused(f"{pid_file}: {error.strerror}") from None
    click.echo(f"process {pid} logs its stacks (under systemd: journalctl _PID={pid})", err=True)


def _live_owner(pid_file: Path) -> int:
    """Who holds the file. One left behind may name anybody, whom the signal would end."""
    with pid_file.open(encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    raise ProcessLookupError
