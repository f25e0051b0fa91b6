"""BaseScheduler: what every scheduler offers, in whichever thread its hub turns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import tzinfo
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from gsched.checks import is_whole
from gsched.errors import ConfigurationError, SchedulerAlreadyRunningError
from gsched.event_loop import process
from gsched.event_loop.helpers import spawn
from gsched.events import EVENT_ALL
from gsched.events.bus import Listener
from gsched.executors import BaseExecutor, GreenletPoolExecutor
from gsched.jobs.callables import check_callable
from gsched.jobs.run import Run
from gsched.monitoring.health import Health, health_of
from gsched.monitoring.scheduler_status import SchedulerStatus
from gsched.schedulers.engine import Engine
from gsched.schedulers.settings import SchedulerSettings, make_executor, make_jobstore
from gsched.schedulers.verbs import JobVerbs
from gsched.stores import BaseJobStore
from gsched.times.clock import Clock

if TYPE_CHECKING:
    from gsched.schedulers.verbs.admin import AdminVerbs

STATE_STOPPED = 0
STATE_RUNNING = 1
STATE_PAUSED = 2


class BaseScheduler(JobVerbs):
    """The public methods of a scheduler, but for `start`. The engine does the work."""

    _default_executor: type[BaseExecutor] = GreenletPoolExecutor

    def __init__(
        self, gconfig: Mapping[str, Any] | None = None, prefix: str | None = "apscheduler.", **options: Any
    ) -> None:
        self._engine = Engine(SchedulerSettings.read(gconfig or {}, prefix, options), self._default_executor)

    @classmethod
    def embedded(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """A scheduler that keeps its jobs in a SQLite file in the directory `path`: see `SQLJobStore.in_directory`.

        :param options: settings by name, without `jobstores`
        :raises ConfigurationError: if SQLAlchemy is not installed, other users may write the directory, or it holds
            the jobs of a private MongoDB
        """
        from gsched.stores import SQLJobStore  # it imports SQLAlchemy

        return cls(jobstores={"default": SQLJobStore.in_directory(path)}, **options)

    @classmethod
    def embedded_mongodb(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """A scheduler that keeps its jobs in a private MongoDB in the directory `path`: see `MongoDBJobStore.embedded`.

        :param options: settings by name, without `jobstores`
        :raises EmbeddedMongoError: if there is no mongod, or it cannot be started
        :raises ConfigurationError: if the directory holds the jobs of a SQLite store
        """
        from gsched.stores import MongoDBJobStore  # it imports PyMongo

        return cls(jobstores={"default": MongoDBJobStore.embedded(path)}, **options)

    def configure(
        self, gconfig: Mapping[str, Any] | None = None, prefix: str | None = "apscheduler.", **options: Any
    ) -> None:
        """Set the scheduler up anew, before it is started; the components that were added to it are dropped.

        :param gconfig: settings by dotted keys, such as {"apscheduler.jobstores.default": {"type": "memory"}}
        :param prefix: the beginning of those keys; other keys are ignored
        :param options: settings by name; they win over `gconfig`
        :raises SchedulerAlreadyRunningError: if the scheduler runs
        :raises ConfigurationError: for a setting that is unknown or cannot work; nothing is changed then
        """
        if self._engine.hub is not None:
            raise SchedulerAlreadyRunningError
        self._engine.call_alone(self._engine.set_up, SchedulerSettings.read(gconfig or {}, prefix, options))

    @property
    def admin(self) -> AdminVerbs:
        """The operators' verbs: on stores as a whole, and on all schedulers that share them."""
        from gsched.schedulers.verbs.admin import AdminVerbs  # few programs need it

        return AdminVerbs(self._engine, self)

    # -- lifecycle ----------------------------------------------------------------------------------------------

    def join(self, timeout: float | None = None) -> bool:
        """Wait until a shutdown is over, at most `timeout` seconds; True if it is."""
        return bool(self._engine.finished.wait(timeout))

    def _run_until_shutdown(self, paused: bool, without_gevent: bool = False) -> None:
        """Start in this thread, and wait until the scheduler is shut down; Ctrl-C shuts it down."""
        self._engine.start(paused, without_gevent=without_gevent)
        try:
            with process.on_interrupt(partial(spawn, self._interrupted)):
                self.join()
        except KeyboardInterrupt:
            self.shutdown() if self.running else self.join()

    def _interrupted(self) -> None:
        if self.running:
            self.shutdown()

    def shutdown(self, wait: bool = True, timeout: float | None = None) -> list[Run]:
        """Stop: claim nothing more, wait for the runs in progress, and cancel those that take too long.

        Called from inside a job of this scheduler, it returns at once, and the scheduler stops after the end of that
        job.

        :param wait: let runs in progress end by themselves; otherwise they are cancelled at once
        :param timeout: seconds to wait at most; None: as long as they take
        :return: the runs that were cancelled
        :raises SchedulerNotRunningError: if it does not run
        """
        return self._engine.shutdown(wait, timeout)

    def close(self) -> None:
        """Close what the stores of a scheduler that does not run hold open: connections, an embedded MongoDB.

        The stores open them anew when they are needed. A scheduler that runs is closed by `shutdown`.

        :raises SchedulerAlreadyRunningError: if it runs
        """
        self._engine.close()

    def pause(self) -> None:
        """Start no runs until `resume`; what falls due meanwhile is late then. Raises SchedulerNotRunningError."""
        self._engine.call_alone(self._engine.pause)

    def resume(self) -> None:
        """Start runs again after `pause`. Raises SchedulerNotRunningError."""
        self._engine.call_alone(self._engine.resume)

    def wakeup(self) -> None:
        """Look for due jobs now, as after the clock was set. No verb needs it. Raises SchedulerNotRunningError."""
        self._engine.call_alone(self._engine.wake)

    @property
    def running(self) -> bool:
        """True from `start` to `shutdown`, also while it is paused.

        A scheduler whose hub greenlet was killed is not running: shut it down and start it again.
        """
        return self._engine.running

    @property
    def state(self) -> int:
        """STATE_STOPPED, STATE_RUNNING or STATE_PAUSED."""
        if not self._engine.running:
            return STATE_STOPPED
        return STATE_PAUSED if self._engine.paused else STATE_RUNNING

    def health(self) -> Health:
        """Is it alive, is it ready, and if not, why not. It queries no database; call it in any thread."""
        return health_of(self._engine.status())

    def status(self) -> SchedulerStatus:
        """What it is doing now, read from memory; call it in any thread."""
        return self._engine.status()

    # -- settings and components --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The scheduler's name in log lines."""
        return self._engine.name

    @property
    def timezone(self) -> tzinfo:
        """The zone of triggers that name none."""
        return self._engine.timezone

    @property
    def clock(self) -> Clock:
        """The clock by which it works."""
        return self._engine.clock

    @property
    def executors(self) -> Mapping[str, BaseExecutor]:
        """The executors by alias, as they are now."""
        return MappingProxyType(self._engine.executors)

    @property
    def stores(self) -> Mapping[str, BaseJobStore]:
        """The job stores by alias, as they are now."""
        return MappingProxyType(self._engine.stores)

    def add_executor(self, executor: BaseExecutor | str, alias: str = "default", **options: Any) -> None:
        """Add an executor, before or after start. Jobs that were parked because it was missing are healed.

        :param executor: an executor, or the name of a type (greenlet, threadpool, processpool, a plugin's)
        :param options: arguments for that type
        :raises ConfigurationError: if the alias is taken or the executor cannot be made
        """
        made = make_executor({"type": executor, **options} if isinstance(executor, str) else executor)
        self._engine.call_alone(self._engine.add_executor, made, alias)

    def remove_executor(self, alias: str, shutdown: bool = True) -> None:
        """Remove an executor. Jobs that name it are parked when they are due.

        :param shutdown: end its workers too, after the runs in progress
        :raises ConfigurationError: if there is no such executor
        """
        self._engine.call_alone(self._engine.remove_executor, alias, shutdown)

    def add_jobstore(self, jobstore: BaseJobStore | str, alias: str = "default", **options: Any) -> None:
        """Add a job store, before or after start.

        :param jobstore: a store, or the name of a type (memory, mongodb, a plugin's)
        :param options: arguments for that type
        :raises ConfigurationError: if the alias is taken, the store cannot be made or is in use elsewhere, or another
            one has the same jobs
        """
        made = make_jobstore({"type": jobstore, **options} if isinstance(jobstore, str) else jobstore)
        self._engine.call_alone(self._engine.add_jobstore, made, alias)

    def remove_jobstore(self, alias: str, shutdown: bool = True) -> None:
        """Remove a job store from this scheduler; its jobs stay in it.

        It returns when the instants that were claimed in the store are decided, after a fraction of a second. It does
        not wait for runs in progress: when the last of them is settled, the store is released, and the event
        `store.removed` is published.

        :param shutdown: close the store's connections too
        :raises ConfigurationError: if there is no such store
        """
        self._engine.call_alone(self._engine.remove_jobstore, alias, shutdown)

    def add_listener(self, callback: Listener, mask: int = EVENT_ALL) -> None:
        """Call `callback(event)` for each event whose code is in `mask`, in order, in a greenlet of their own.

        :raises ConfigurationError: if `callback` cannot be called, or a call of it runs nothing (`async def`), or
            `mask` is no mask of event codes
        """
        check_callable("listener", callback)
        if not is_whole(mask) or not mask & EVENT_ALL or mask & ~EVENT_ALL:
            raise ConfigurationError(f"listener: {mask!r} is not a mask of EVENT_ codes")
        self._engine.bus.add_listener(callback, mask)

    def remove_listener(self, callback: Listener) -> None:
        """Stop calling `callback`; nothing happens if it does not listen."""
        self._engine.bus.remove_listener(callback)
