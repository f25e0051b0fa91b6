"""GeventScheduler: runs jobs in the gevent hub of the thread that starts it."""

from __future__ import annotations

import atexit
import sys

import gevent

from gsched.event_loop import patch
from gsched.event_loop.threads import is_main_thread
from gsched.jobs.run import Run
from gsched.schedulers.base import BaseScheduler

HUB_AT_REST = (
    "the scheduler was started in the main thread of a program that gevent has not patched. Nothing runs unless this"
    f" thread gives control to gevent. {patch.HUB_REMEDIES}"
)

ENDED_TOO_SOON = (
    "the program ended and no job had run: start() returns at once; to run until shutdown(), call run_forever() instead"
)


class GeventScheduler(BaseScheduler):
    """Schedules jobs in a gevent program.

    Settings, by name or, as `gconfig`, by dotted keys that begin with `prefix`:

    - jobstores: mapping of aliases to stores (default: one MemoryJobStore, "default")
    - executors: mapping of aliases to executors (default: one GreenletPoolExecutor, "default")
    - job_defaults: mapping of job options to the values for jobs that do not set them
    - limits: mapping of groups, or of the beginnings of groups with "*" at their ends, to mappings of `set_limit`'s
      arguments; `start` sets these limits in the store "default", and leaves its other limits as they are
    - timezone: name or tzinfo for triggers that name none (default: this machine's)
    - modules: modules in which function references from stores and imports may be resolved
    - functions: instead of modules, a `gsched.jobs.funcref.AllowedFunctions` of your own
    - name: the scheduler's name in log lines (default: "gsched")
    - run_events: which runs are logged: "all", "failures" (default; repetitions are counted) or "none"
    - blocked_hub_after: report code that holds gevent's hub for so many seconds (default: 1; None: never)
    - summary_every: seconds between two summaries of runs, the event `runs.summary` (default: 60; None: never)
    - notifiers: who is told of failures: a list of `gsched.notices.Notifier`
    - public_url: where people reach the dashboard, for links in notifications
    - clock: a clock, for tests

    Stores and executors are objects, or mappings with "type" and the type's arguments.

    :raises ConfigurationError: for a setting that is unknown or cannot work
    """

    def start(self, paused: bool = False) -> gevent.Greenlet:
        """Start scheduling, in the calling thread's gevent hub.

        In the main thread of a program that gevent has not patched, the hub may never turn, and then nothing runs. A
        warning on standard error and in the log says so, with the remedies.

        :param paused: start no runs until `resume`
        :return: the hub greenlet; joining it waits for `shutdown`
        :raises SchedulerAlreadyRunningError: if it runs already
        :raises ConfigurationError: if jobs were added to a store that was not, or one is in use elsewhere
        """
        greenlet = self._engine.start(paused)
        atexit.register(self._at_exit)
        if is_main_thread() and not patch.is_patched():
            self._warn_of_hub_at_rest()
        return greenlet

    def shutdown(self, wait: bool = True, timeout: float | None = None) -> list[Run]:
        atexit.unregister(self._at_exit)
        return super().shutdown(wait, timeout)

    def _at_exit(self) -> None:
        """The program ends. If its last line was `start()`, it ends at once."""
        hub = self._engine.hub
        if self.running and hub is not None and not hub.counters.started:
            print(f"gsched: {ENDED_TOO_SOON}", file=sys.stderr, flush=True)

    def _warn_of_hub_at_rest(self) -> None:
        """Not by an event: if the hub does not turn, no event is delivered."""
        print(f"gsched: {HUB_AT_REST}", file=sys.stderr, flush=True)
        if self._engine.log_sink is not None:
            self._engine.log_sink.warn_now("hub.at_rest", HUB_AT_REST)

    def run_forever(self) -> None:
        """Start, and wait until the scheduler is shut down; Ctrl-C shuts it down."""
        self._run_until_shutdown(paused=False)
