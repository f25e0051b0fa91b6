"""One runner process: builds the scheduler, starts it, carries out the requests of signals, and drains it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, Protocol

import gevent
from gevent.event import Event

from gsched.config import Configuration, origin, read_again, taken_over
from gsched.errors import ConfigurationError, GschedError, SchedulerNotRunningError, StoreUnreachableError
from gsched.event_loop.helpers import spawn
from gsched.event_loop.stacks import stacks_text
from gsched.events import EVENT_NODE_DRAIN_REQUESTED
from gsched.files.rights import REMEDY
from gsched.runner.build import runner_scheduler
from gsched.runner.crontab.reboot import run_reboot_jobs
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.runner.file_jobs import FileJobs
from gsched.runner.foreign_files import foreign_files, refuse_foreign_files
from gsched.runner.gc_tuning import LongCollections
from gsched.runner.logs import configure_logging, runner_log
from gsched.runner.place import refuse_memory_for_many
from gsched.runner.retry import retry_until_answered
from gsched.runner.signals import ProcessRequests, Request
from gsched.schedulers.gevent import GeventScheduler
from gsched.stores import MemoryJobStore
from gsched.times.clock import SystemClock
from gsched.wording import brief_message

STUCK_SECONDS: Final = 1.0  # the hub greenlet turns more often than that


class StatusReporter(Protocol):
    """Gets reports about this process: systemd, or the supervisor."""

    watchdog_seconds: float | None

    def ready(self, status: str) -> None:
        """The runner runs; also called after `reloading`."""

    def reloading(self, monotonic: float) -> None:
        """The runner reads its configuration again.

        :param monotonic: the time (monotonic, seconds)
        """

    def stopping(self, status: str) -> None:
        """The runner drains."""

    def alive(self) -> None:
        """The hub greenlet has had a turn."""


def run_jobs(configuration: Configuration, requests: ProcessRequests, reporter: StatusReporter) -> int:
    """Run jobs until a request ends the runner. Gives the exit code.

    The process must be patched, and the log configured. Raises GschedError or CommandRefused if the runner cannot
    begin.
    """
    scheduler, place = runner_scheduler(configuration)
    if isinstance(scheduler.stores["default"], MemoryJobStore):
        refuse_memory_for_many(configuration, place)
    runner_log().info("store.chosen", store=place.kind, where=place.why)
    for reason in foreign_files(configuration):
        runner_log().warning("file.open_to_others", reason=reason, remedy=REMEDY)
    return Runner(configuration, scheduler, requests, reporter).run()


def _reap_orphans() -> None:
    """If this is process 1 of a container, let the event loop reap every child: process 1 is the parent of all orphans.

    The loop gives the exit status to those who wait for it.
    """
    if os.getpid() == 1:
        gevent.get_hub().loop.install_sigchld()
        os.kill(1, signal.SIGCHLD)  # some children may have ended before


class Runner:
    """Runs a scheduler, and carries out requests from outside."""

    def __init__(
        self,
        configuration: Configuration,
        scheduler: GeventScheduler,
        requests: ProcessRequests,
        reporter: StatusReporter,
    ) -> None:
        self._configuration = configuration
        self._scheduler = scheduler
        self._requests = requests
        self._reporter = reporter
        self._clock = SystemClock()
        self._stopping = Event()
        self._files = FileJobs(scheduler, configuration, self._stopping)
        self._draining = False
        self._cancelling = False
        self._cut: set[str] = set()  # ids of runs that were not allowed to end

    def run(self) -> int:
        """Start, serve and drain. Gives the exit code."""
        with ExitStack() as stack:
            stack.enter_context(self._requests.from_signals())
            _reap_orphans()
            self._reach_store()
            if self._configuration.probe is not None:
                stack.callback(self._serve_probe(self._configuration.probe))
            if self._configuration.web is not None:
                stack.callback(self._serve_web(self._configuration.web))
            self._scheduler.add_listener(lambda _: self._requests.note(Request.DRAIN), EVENT_NODE_DRAIN_REQUESTED)
            self._scheduler.start()
            spawn(self._note_end)
            spawn(self._run_reboot_jobs)
            spawn(self._feed_watchdog)
            collections = LongCollections(self._clock)
            collections.watch()
            stack.callback(collections.stop)
            self._reporter.ready("running")
            for request in self._requests:
                _ACTIONS[request](self)
        return Exit.DRAIN_TIMED_OUT if self._cut else Exit.OK

    # -- starting -------------------------------------------------------------------------------------------------

    def _reach_store(self) -> None:
        """Write the files' jobs into the store, later if the store does not answer. Raises if it refuses access."""
        try:
            self._scheduler.admin.ping_store()
            self._files.write()
        except StoreUnreachableError as error:
            runner_log().warning("store.unreachable", error=brief_message(error))
            self._files.write_later()

    def _serve_probe(self, address: str) -> Callable[[], None]:
        from gsched.web.probe import serve_probe

        try:
            server = serve_probe(address, self._scheduler, draining=lambda: self._draining)
        except ConfigurationError as error:
            if isinstance(error.__cause__, OSError):  # another process listens there
                raise CommandRefused(str(error), Exit.FAILED) from error
            said = str(error).removeprefix("probe: ")
            raise ConfigurationError(f"{origin(self._configuration, 'probe')}: {said}") from error
        runner_log().info("probe.opened", address=server.address)
        return server.stop

    def _serve_web(self, address: str) -> Callable[[], None]:
        from gsched.runner.dashboard import open_dashboard

        return open_dashboard(address, self._scheduler, self._configuration).stop

    def _run_reboot_jobs(self) -> None:
        """Run @reboot jobs, once the files' jobs are in the store: some of these may be @reboot jobs."""
        self._files.settled.wait()
        try:
            run_reboot_jobs(self._scheduler, reach=lambda do: retry_until_answered(do, self._stopping))
        except GschedError as error:
            runner_log().error("reboot_jobs.failed", error=brief_message(error))

    def _note_end(self) -> None:
        self._scheduler.join()
        self._requests.note(Request.OVER)

    def _feed_watchdog(self) -> None:
        period = self._reporter.watchdog_seconds
        while period is not None:
            if self._scheduler.status().stuck < STUCK_SECONDS:
                self._reporter.alive()
            gevent.sleep(period / 3)

    # -- ending ---------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._cancel() if self._draining else self._drain()

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        self._stopping.set()
        self._reporter.stopping("draining")
        spawn(self._shut_down)

    def _shut_down(self) -> None:
        try:
            cut = self._scheduler.shutdown(timeout=self._configuration.drain_timeout)
        except SchedulerNotRunningError:  # a job has shut the scheduler down, and may wait for ever
            if not self._scheduler.join(self._configuration.drain_timeout):
                self._cancel()
        else:
            self._cut |= {run.id for run in cut}

    def _cancel(self) -> None:
        self._drain()
        if not self._cancelling:
            self._cancelling = True
            spawn(self._cancel_all)

    def _cancel_all(self) -> None:
        """Cancel the runs in progress, and those that begin while the last claimed instants are submitted."""
        while not self._scheduler.join(0.05):
            for run in self._scheduler.get_running():
                if run.id not in self._cut:
                    self._cut.add(run.id)
                    self._scheduler.cancel_run(run.id)

    # -- while it runs --------------------------------------------------------------------------------------------

    def _dump_stacks(self) -> None:
        runner_log().info("stacks.dumped", stack=stacks_text())

    def _reload(self) -> None:
        if not self._draining:
            spawn(self._take_configuration)

    def _take_configuration(self) -> None:
        self._reporter.reloading(self._clock.monotonic())
        try:
            wanted, later = taken_over(self._configuration, read_again(self._configuration))
            refuse_foreign_files(wanted)
            self._files.reload(wanted)
        except GschedError as error:
            runner_log().error("configuration.refused", error=brief_message(error))
        else:
            configure_logging(wanted)
            self._configuration = wanted
            need = {"need_a_restart": sorted(later)} if later else {}
            runner_log().info("configuration.reloaded", path=wanted.path, **need)
        finally:
            self._reporter.ready("running")


_ACTIONS: Final[dict[Request, Callable[[Runner], Any]]] = {
    Request.END: Runner._end,
    Request.DRAIN: Runner._drain,
    Request.CANCEL: Runner._cancel,
    Request.RELOAD: Runner._reload,
    Request.STACKS: Runner._dump_stacks,
}
