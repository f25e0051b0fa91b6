"""The dashboard on a port: beside a runner, or alone beside a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.event_loop.patch import patch_all
from gsched.runner.build import control_scheduler, refuse_memory
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.runner.logs import configure_logging, runner_log
from gsched.runner.signals import ProcessRequests, Request
from gsched.runner.systemd import SystemdReporter
from gsched.schedulers.gevent import GeventScheduler
from gsched.web.serving import Dashboard, serve_dashboard

if TYPE_CHECKING:
    from gsched.runner.runner_watch import RunnerWatch

_ENDS = (Request.END, Request.DRAIN, Request.CANCEL)


def open_dashboard(address: str, scheduler: GeventScheduler, configuration: Configuration) -> Dashboard:
    """Serve the dashboard. Raises ConfigurationError, or CommandRefused if another process listens there."""
    try:
        dashboard = serve_dashboard(address, scheduler, configuration)
    except ConfigurationError as error:
        if isinstance(error.__cause__, OSError):
            raise CommandRefused(str(error), Exit.FAILED) from error
        raise
    runner_log().info("web.opened", address=dashboard.address)
    return dashboard


def run_dashboard(address: str, configuration: Configuration) -> int:
    """Serve the dashboard of a store until a signal ends it, and run no jobs. Gives the exit code.

    Raises GschedError or CommandRefused if the dashboard cannot be served.
    """
    patch_all()
    configure_logging(configuration)
    requests, notifier = ProcessRequests(), SystemdReporter()
    scheduler = control_scheduler(configuration)
    try:
        refuse_memory(scheduler)
        with requests.from_signals():
            watch = _watch_runners(scheduler, configuration)
            dashboard = open_dashboard(address, scheduler, configuration)
            notifier.ready("serving")
            for request in requests:
                if request in _ENDS:
                    break
            notifier.stopping("stopping")
            dashboard.stop()
            if watch is not None:
                watch.stop()
    finally:
        scheduler.close()
    return Exit.OK


def _watch_runners(scheduler: GeventScheduler, configuration: Configuration) -> RunnerWatch | None:
    """Start the watch for runners; None if the configuration has no notifiers, or their secrets cannot be read.

    The user who serves the dashboard need not be able to read these secrets.
    """
    if not configuration.notifiers:
        return None
    from gsched.runner.declared_notifiers import read_notifiers  # few configurations have any
    from gsched.runner.runner_watch import RunnerWatch

    try:
        watch = RunnerWatch(scheduler, read_notifiers(configuration))
    except ConfigurationError as error:
        runner_log().warning("runners.unwatched", reason=str(error))
        return None
    watch.start()
    return watch
