"""GeventScheduler: what users start, stop and ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import gevent
from gevent.event import Event
from greenlet import greenlet

from gsched import events, patching, runtime
from gsched.errors import ConfigurationError, ForkedError, SchedulerAlreadyRunningError, SchedulerNotRunningError
from gsched.events import SchedulerEvent
from gsched.executors import GreenletPoolExecutor
from gsched.executors.interruption import GRACE_SECONDS
from gsched.forks import forget_forks, watch_forks
from gsched.health import Health, health_of
from gsched.helpers import spawn
from gsched.hub import Hub
from gsched.parts import refuse_if_started
from gsched.run import Run, inside_run_of
from gsched.stores import MemoryJobStore
from gsched.threads import HomeThread, is_main_thread
from gsched.verbs.insight import Insight
from gsched.vitals import Pool, Vitals
from gsched.watchdog import Watchdog

T = TypeVar("T")

STATE_STOPPED = 0
STATE_RUNNING = 1
STATE_PAUSED = 2

HUB_AT_REST = (
    "the scheduler was started in the main thread of a program that gevent has not patched. Nothing runs unless this"
    f" thread gives control to gevent. {patching.HUB_REMEDIES}"
)

FLUSH_SECONDS = 5.0  # how long shutdown waits for listeners


class GeventScheduler(Insight):
    """Schedules jobs in a gevent program.

    Settings, by name or, as `gconfig`, by dotted keys that begin with `prefix`:

    - jobstores: mapping of aliases to stores (default: one MemoryJobStore, "default")
    - executors: mapping of aliases to executors (default: one GreenletPoolExecutor, "default")
    - job_defaults: mapping of job options to what they are when a job does not say
    - timezone: name or tzinfo for triggers that name none (default: this machine's)
    - modules: modules in which function references from stores and imports may be resolved
    - functions: instead of modules, a `gsched.funcref.AllowedFunctions` of your own
    - name: the scheduler's name in log lines (default: "gsched")
    - run_events: which runs are logged: "all", "failures" (default; what repeats is counted) or "none"
    - blocked_hub_after: report code that holds gevent's hub for so many seconds (default: 1; None: never)
    - summary_every: seconds between two summaries of runs, the event `runs.summary` (default: 60; None: never)
    - clock: a clock, for tests

    Stores and executors are objects, or mappings with "type" and the type's arguments.

    :raises ConfigurationError: for a setting that is unknown or cannot work
    """

    def __init__(
        self, gconfig: Mapping[str, Any] | None = None, prefix: str | None = "apscheduler.", **options: Any
    ) -> None:
        self._home: HomeThread | None = None
        self._greenlet: gevent.Greenlet | None = None
        self._stopping = False
        self._paused = False
        self._cut: dict[str, Run] = {}  # cancelled while it stops, by id
        self._is_copy = False  # in a forked child
        self._finished = Event()
        super().__init__(gconfig or {}, prefix, options)

    @classmethod
    def embedded(cls, path: str | os.PathLike[str], **options: Any) -> GeventScheduler:
        """A scheduler that keeps its jobs in a private MongoDB in the directory `path`: see `MongoDBJobStore.embedded`.

        :param options: settings by name, without `jobstores`
        :raises EmbeddedMongoError: if there is no mongod, or it cannot be started
        """
        from gsched.stores import MongoDBJobStore  # with it comes PyMongo

        return cls(jobstores={"default": MongoDBJobStore.embedded(path)}, **options)

    # -- lifecycle ----------------------------------------------------------------------------------------------

    def start(self, paused: bool = False) -> gevent.Greenlet:
        """Start scheduling, in the calling thread's gevent hub.

        In the main thread of a program that gevent has not patched, the hub may never turn, and then nothing runs. A
        warning on standard error and in the log says so, with the remedies.

        :param paused: start nothing until `resume`
        :return: the hub greenlet; joining it waits for `shutdown`
        :raises SchedulerAlreadyRunningError: if it runs already
        :raises ConfigurationError: if jobs were added to a store that was not, or one is in use elsewhere
        """
        greenlet = self._start(paused)
        if is_main_thread() and not patching.is_patched():
            self._warn_of_a_hub_at_rest()
        return greenlet

    def _start(self, paused: bool) -> gevent.Greenlet:
        if self._is_copy:
            raise ForkedError
        if self._hub is not None:
            raise SchedulerAlreadyRunningError
        missing = sorted(self._implicit.keys() - {"default"})
        if missing:
            raise ConfigurationError(f"jobs were added to a jobstore that was not: {', '.join(missing)}")
        for alias, store in self._stores.items():
            refuse_if_started(alias, store)
        self._implicit.clear()
        if "default" not in self._stores:
            self.add_jobstore(MemoryJobStore())
        if "default" not in self._executors:
            self.add_executor(GreenletPoolExecutor())
        return self._start_parts(paused)

    def _start_parts(self, paused: bool) -> gevent.Greenlet:
        self._home = HomeThread()
        self._stopping, self._paused = False, paused
        self._finished.clear()
        self._bus.attach(self._clock)
        self._watchdog = Watchdog(self.blocked_hub_after, self._bus.emit)
        hub = self._hub = Hub(self._clock, self._bus, self._executors, self.summary_every)
        self._greenlet = hub.start(paused)
        try:
            for executor in self._executors.values():
                executor.start(self._clock)
                self._warn_of_limits(executor)
            for alias, store in self._stores.items():
                hub.add_store(alias, store)
        except BaseException:
            self._stop_parts(hub)
            raise
        watch_forks(self)
        self._watchdog.start()
        self._bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_STARTED))
        missing = patching.unpatched_modules()
        if missing and (patching.is_patched() or is_main_thread()):  # in a thread of its own that may be meant
            self._bus.emit(SchedulerEvent(events.EVENT_NOT_PATCHED, modules=missing, remedy=patching.PATCH_REMEDY))
        return self._greenlet

    def _warn_of_a_hub_at_rest(self) -> None:
        """Not by an event: if the hub does not turn, no event is delivered."""
        print(f"gsched: {HUB_AT_REST}", file=sys.stderr, flush=True)
        if self._log_sink is not None:
            self._log_sink.warn_now("hub.at_rest", HUB_AT_REST)

    def run_forever(self) -> None:
        """Start, and wait until the scheduler is shut down; Ctrl-C shuts it down."""
        self._start(paused=False)
        try:
            with runtime.on_interrupt(self._interrupted):
                self._finished.wait()
        except KeyboardInterrupt:
            self.shutdown() if self.running else self._finished.wait()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until a shutdown is over, at most `timeout` seconds; whether it is."""
        return bool(self._finished.wait(timeout))

    def _interrupted(self) -> None:
        if self.running:
            self.shutdown()

    def shutdown(self, wait: bool = True, timeout: float | None = None) -> list[Run]:
        """Stop: claim nothing any more, wait for what is in progress, cancel the rest.

        Called from inside a job of this scheduler, it returns at once and the rest happens when that job has ended.

        :param wait: let runs in progress end by themselves; else they are cancelled at once
        :param timeout: seconds to wait at most; None: as long as they take
        :return: the runs that were cut, cancelled before their end
        :raises SchedulerNotRunningError: if it does not run
        """
        inside = self._hub is not None and inside_run_of(self._hub.dispatch)  # here: at home it is another context
        return self._at_home(self._shutdown, wait, timeout, inside)

    def _shutdown(self, wait: bool, timeout: float | None, inside: bool) -> list[Run]:
        hub = self._require_running()
        self._stopping = True
        seconds = timeout if wait else 0
        self._bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_DRAINING, running=hub.in_progress, timeout=seconds))
        if inside:
            spawn(self._finish, hub, wait, timeout)
            return []
        return self._finish(hub, wait, timeout)

    def _finish(self, hub: Hub, wait: bool, timeout: float | None) -> list[Run]:
        hub.stop_serving()
        if not hub.join_runs(timeout if wait else 0):
            self._cut.update((run.id, run) for run in self.get_running())
            self._cut_all(hub)
        cut, self._cut = list(self._cut.values()), {}
        self._watchdog.stop()
        forget_forks(self)
        self._stop_parts(hub)
        self._bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_SHUTDOWN, cut=len(cut)))
        self._bus.flush(FLUSH_SECONDS)
        self._finished.set()
        return cut

    def _stop_parts(self, hub: Hub) -> None:
        hub.stop()
        if self._greenlet is not None and self._greenlet is not gevent.getcurrent():
            self._greenlet.join()
        self._farewells.join()
        for executor in self._executors.working():
            self._let_go(executor.shutdown, events.EVENT_EXECUTOR_FAILED, executor.alias)
        self._close_stores()
        self._hub = self._home = None

    def close(self) -> None:
        """Let go of what the stores of a scheduler that does not run hold open: connections, an embedded MongoDB.

        They are opened anew when they are needed. A scheduler that runs is closed by `shutdown`.
        """
        if self._hub is not None:
            raise SchedulerAlreadyRunningError
        self._close_stores()

    def _close_stores(self) -> None:
        for alias, store in self._stores.items():
            self._let_go(store.close, events.EVENT_STORE_FAILED, alias)
            store.started = False

    def _cancel(self, wanted: Callable[[Run], bool]) -> list[Run]:
        cancelled = super()._cancel(wanted)
        if self._stopping:  # whoever wants it, as a second Ctrl-C does
            self._cut.update((run.id, run) for run in cancelled)
        return cancelled

    def _cut_all(self, hub: Hub) -> None:
        """Cancel what is in progress, and wait until the last step of that, which succeeds always."""
        self._cancel(lambda run: True)
        if not hub.join_runs(2 * GRACE_SECONDS + 1):
            for executor in self._executors.working():
                executor.abandon_all()
            hub.join_runs(1)

    def pause(self) -> None:
        """Start no runs until `resume`; what falls due meanwhile is late then. Raises SchedulerNotRunningError."""
        self._at_home(self._pause)

    def _pause(self) -> None:
        self._require_running().pause()
        self._paused = True
        self._bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_PAUSED))

    def resume(self) -> None:
        """Go on after `pause`. Raises SchedulerNotRunningError."""
        self._at_home(self._resume)

    def _resume(self) -> None:
        self._require_running().resume()
        self._paused = False
        self._bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_RESUMED))

    @property
    def running(self) -> bool:
        """Whether it was started, and not shut down; paused counts as running.

        After somebody has killed its hub greenlet it is not running: shut it down and start it again.
        """
        return self._hub is not None and not self._stopping and not self._hub.dead

    @property
    def state(self) -> int:
        """STATE_STOPPED, STATE_RUNNING or STATE_PAUSED."""
        if not self.running:
            return STATE_STOPPED
        return STATE_PAUSED if self._paused else STATE_RUNNING

    def wake(self) -> None:
        """Look now at what is due; needed only after the clock was set by hand. Raises SchedulerNotRunningError."""
        self._require_running().wake()

    def at_rest(self) -> bool:
        """Whether all that can happen now has happened, but for what runs in progress wait for: for tests."""
        return (self._hub is None or self._hub.at_rest()) and self._bus.at_rest()

    # -- how it is ----------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Whether it lives and is ready, and if not, why not. It asks no database; call it in any thread."""
        return health_of(self.vitals())

    def vitals(self) -> Vitals:
        """What it is doing now, read from memory, in whatever thread."""
        pools = {
            alias: Pool(each.size, each.in_progress, each.waiting, each.saturated_seconds)
            for alias, each in list(self._executors.items())
        }
        stores = {alias: store.report() for alias, store in list(self._stores.items())}
        resting = Vitals("stopped", pools, stores, self._bus.dropped, self._bus.failures)
        hub = self._hub
        if hub is None:
            return resting
        return replace(
            resting,
            state="stopping" if self._stopping else "paused" if self._paused else "running",
            stuck=hub.stuck_seconds(),
            blocked=self._watchdog.blocked,
            figures=hub.figures,
            in_progress=hub.in_progress,
            jobs=hub.jobs(),
        )

    def get_activity(self) -> dict[str, Any]:
        """What it did since its start and is doing, in plain values: see `gsched.figures.activity_of`.

        Raises SchedulerNotRunningError.
        """
        return self._require_running().activity()

    # -- threads and forks --------------------------------------------------------------------------------------

    def _at_home(self, verb: Callable[..., T], *args: Any) -> T:
        if self._is_copy:
            raise ForkedError
        return verb(*args) if self._home is None else self._home.call(verb, *args)

    def _require_running(self) -> Hub:
        if self._hub is None or self._stopping:
            raise ForkedError if self._is_copy else SchedulerNotRunningError
        return self._hub

    def greenlets(self) -> list[greenlet] | None:
        """Those that must not go on in a forked child: all but the calling one, if that is a job's."""
        if self._hub is not None and inside_run_of(self._hub.dispatch):
            return None
        own = [self._greenlet, *self._farewells, *self._bus.greenlets()]
        for store in self._stores.values():
            own.extend(store.greenlets())
        for executor in self._executors.working():
            own.extend(executor.greenlets())
        return own

    def forked(self) -> None:
        """Called in a forked child: the scheduler goes on in the parent only."""
        self._is_copy, self._stopping = True, True
        self._bus.forked()
        if self._hub is not None:
            self._hub.forked()
            if inside_run_of(self._hub.dispatch):
                return
        self._bus.emit(SchedulerEvent(events.EVENT_FORK_DETECTED, remedy=str(ForkedError())))
