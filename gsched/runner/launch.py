"""The beginning of `gsched run`: patches, configures the log, and starts one process or a supervisor of several."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gsched.config import Configuration
from gsched.event_loop.patch import patch_all
from gsched.runner.inherited import keep_to_ourselves, unblock_signals
from gsched.runner.logs import configure_logging, runner_log
from gsched.runner.pid_file import pid_file
from gsched.runner.signals import SUPERVISED, ProcessRequests
from gsched.runner.store_url import PASSWORD_REMEDY, has_password
from gsched.runner.systemd import SystemdReporter

if TYPE_CHECKING:
    from gsched.runner.supervisor.supervisor import Part


def launch(configuration: Configuration) -> int:
    """Run jobs until a signal ends the runner. Gives the exit code.

    Raises GschedError or CommandRefused if the runner cannot begin.
    """
    keep_to_ourselves()
    unblock_signals()
    if configuration.processes == 1:
        patch_all()
    configure_logging(configuration)
    if has_password(configuration.flags.get("store", "")):
        runner_log().warning("store.password_visible", flag="--store", remedy=PASSWORD_REMEDY)
    with pid_file(configuration.pid_file):
        if configuration.processes > 1:
            return _supervise(configuration)
        from gsched.runner.runner import run_jobs

        return run_jobs(configuration, ProcessRequests(), SystemdReporter())


def _supervise(configuration: Configuration) -> int:
    """Run a supervisor. Nothing is patched before the forks, so that each process has an event loop of its own."""
    from gsched.runner.supervisor.supervisor import Part, Supervisor

    outcome = Supervisor(configuration, SystemdReporter()).run()
    return _run_part(outcome) if isinstance(outcome, Part) else outcome


def _run_part(part: Part) -> int:
    """Run jobs in a forked process, as a runner without a supervisor does. Gives the exit code."""
    patch_all()
    from gsched.runner.runner import run_jobs
    from gsched.runner.supervisor.lifeline import Lifeline

    web = part.configuration.web if part.number == 0 else None  # one dashboard shows all processes
    configuration = replace(part.configuration, probe=_probe_address(part), web=web)
    configure_logging(configuration)
    lifeline, requests = Lifeline(part.line, part.watchdog_seconds), ProcessRequests(SUPERVISED)
    lifeline.follow(requests)
    return run_jobs(configuration, requests, lifeline)


def _probe_address(part: Part) -> str | None:
    """The first process listens at the configured address, the others at the ports after it."""
    address = part.configuration.probe
    if address is None or part.number == 0:
        return address
    host, _, port = address.rpartition(":")
    is_countable = port.isdecimal() and int(port) > 0
    return f"{host}:{int(port) + part.number}" if is_countable else address
