"""The engine of a scheduler: it starts the components and stops them, and takes calls from every thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import gevent
from gevent import getcurrent
from gevent.event import Event
from gevent.monkey import get_original
from gevent.pool import Group
from greenlet import greenlet

from gsched import events
from gsched.errors import ConfigurationError, ForkedError, SchedulerAlreadyRunningError, SchedulerNotRunningError
from gsched.event_loop import patch
from gsched.event_loop.batches import batches
from gsched.event_loop.forks import forget_forks, watch_forks
from gsched.event_loop.helpers import spawn
from gsched.event_loop.slices import has_event_loop, paced
from gsched.event_loop.threads import HomeClosedError, HomeThread, is_main_thread, thread_ident
from gsched.events import JobEvent, SchedulerEvent
from gsched.executors import BaseExecutor, GreenletPoolExecutor
from gsched.executors.interruption import GRACE_SECONDS
from gsched.executors.main_module import end_import
from gsched.hub.hub import Hub
from gsched.hub.watchdog import Watchdog
from gsched.jobs.audit import Act
from gsched.jobs.job import Job
from gsched.jobs.run import Run, inside_run_of
from gsched.monitoring.scheduler_status import Pool, SchedulerStatus
from gsched.schedulers.components import Components, refuse_if_started
from gsched.schedulers.group_limits import set_limit
from gsched.schedulers.hub_thread import HubThread
from gsched.schedulers.settings import SchedulerSettings
from gsched.schedulers.spreading import Spreader
from gsched.stores import MemoryJobStore

if TYPE_CHECKING:
    from gsched.notices import Notifier
    from gsched.notices.service import Notices
    from gsched.schedulers.base import BaseScheduler

T = TypeVar("T")

_RLock = get_original("threading", "RLock")

FLUSH_SECONDS = 5.0  # how long a shutdown waits for listeners
RETRIES_SECONDS = 2.0  # and for stores to keep what is to follow failed attempts
CHANGED_AT_ONCE = 500  # jobs


def modified_event(job: Job) -> JobEvent:
    """The event about a job that was modified."""
    return JobEvent(events.EVENT_JOB_MODIFIED, job)


class Engine(Components):
    """Runs the components in one thread, the scheduler's.

    `call` is how every other thread reaches them. Users see none of this: they have the scheduler's verbs, which call
    the engine. The runner, the commands, the probe and `gsched.testing` reach it by `engine_of`.

    :ivar finished: set after each shutdown
    :ivar own_thread: the native thread of the last start, if that is there for this scheduler only
    """

    def __init__(
        self, settings: SchedulerSettings, default_executor: type[BaseExecutor] = GreenletPoolExecutor
    ) -> None:
        self.finished = Event()
        self._outside = _RLock()  # of verbs while the scheduler does not run, and of its start
        self._home: HomeThread | None = None
        self._greenlet: gevent.Greenlet | None = None
        self._stopping = False
        self._paused = False
        self._cancelled_at_end: dict[Run, None] = {}
        self._is_copy = False  # in a forked child
        self.own_thread: HubThread | None = None
        self._notices: Notices | None = None  # while it runs, and there are notifiers
        super().__init__(settings, default_executor)

    # -- threads ------------------------------------------------------------------------------------------------

    def call(self, verb: Callable[..., T], *args: Any) -> T:
        """Call `verb` in the scheduler's thread, from whatever thread. Raises ForkedError in a forked child.

        While the scheduler does not run, the calling thread calls it.
        """
        while True:
            if self._is_copy:
                raise ForkedError
            if (home := self._home) is None:
                return self._call_outside(verb, *args)
            with suppress(HomeClosedError):
                return home.call(verb, *args)

    def call_alone(self, verb: Callable[..., T], *args: Any) -> T:
        """`call` for verbs on the scheduler itself: while it does not run, one thread at a time calls them."""
        with self._outside if self._home is None else nullcontext():
            return self.call(verb, *args)

    def _call_outside(self, verb: Callable[..., T], *args: Any) -> T:
        if any(store.shared for store in self.stores.values()):
            end_import()
        if self.stores and all(store.shared for store in self.stores.values()):  # their databases take many at once
            return verb(*args)
        with self._outside:
            return verb(*args) if self._home is None else self.call(verb, *args)

    def require_running(self) -> Hub:
        """The hub. Raises SchedulerNotRunningError, or ForkedError in a forked child, unless the scheduler runs."""
        if self.hub is None or self._stopping:
            raise ForkedError if self._is_copy else SchedulerNotRunningError
        return self.hub

    # -- start --------------------------------------------------------------------------------------------------

    def start(
        self, paused: bool, own_thread: HubThread | None = None, *, without_gevent: bool = False
    ) -> gevent.Greenlet:
        """Start in the calling thread's gevent hub; the hub greenlet.

        In a forked child it starts anew. The parent's scheduler goes on in the parent.

        :param own_thread: the calling thread, if it is there for this scheduler only
        :param without_gevent: the program does not use gevent, so that listeners may block
        :raises SchedulerAlreadyRunningError: if it runs already
        :raises ConfigurationError: if jobs were added to a store that was not, or a store is in use elsewhere
        """
        end_import()
        with self._outside:
            return self._start(paused, own_thread, without_gevent)

    def _start(self, paused: bool, own_thread: HubThread | None, without_gevent: bool) -> gevent.Greenlet:
        if self._is_copy:
            self._forget_parent()
        if self.hub is not None:
            raise SchedulerAlreadyRunningError
        missing = sorted(self.implicit.keys() - {"default"})
        if missing:
            raise ConfigurationError(f"jobs were added to a jobstore that was not: {', '.join(missing)}")
        for alias, store in self.stores.items():
            refuse_if_started(alias, store)
        self.implicit.clear()
        if "default" not in self.stores:
            self.add_jobstore(MemoryJobStore(), "default")
        if "default" not in self.executors:
            self.add_executor(cast(Callable[[], BaseExecutor], self.default_executor)(), "default")
        for limit in self.limits:
            set_limit(self, limit, "default")
        self.own_thread = own_thread
        return self._start_components(paused, without_gevent)

    def _start_components(self, paused: bool, without_gevent: bool) -> gevent.Greenlet:
        self._stopping, self._paused = False, paused
        if self.finished.is_set():
            self.finished = Event()  # gevent's events belong to the first thread that waits for them
        self.farewells = Group()
        self.bus.attach(self.clock, uses_threads=without_gevent)
        hub = self.hub = Hub(self.clock, self.bus, self.executors, self.summary_every)
        self._watchdog = Watchdog(self.blocked_hub_after, self.bus.emit, hub.loop_times.shares)
        self._greenlet = hub.start(paused)
        try:
            for executor in self.executors.values():
                executor.start(self.clock)
                self.warn_of_limits(executor)
            for alias, store in self.stores.items():
                hub.add_store(alias, store)
            if self.notifiers:
                self._start_notices()
        except BaseException:
            self._stop_components(hub)
            raise
        self._home = HomeThread()  # only now: until here, calls of other threads wait
        watch_forks(self)
        self._watchdog.start()
        if self.blocked_hub_after is not None:
            hub.loop_times.start(self._greenlet)
        self.bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_STARTED))
        if not without_gevent:
            self._warn_if_not_patched()
        return self._greenlet

    def _start_notices(self) -> None:
        from gsched.schedulers.notifications import make_notices  # few programs need it

        self._notices = make_notices(self, self.bus)
        self._notices.start()

    def add_notifier(self, notifier: Notifier) -> None:
        """Add a notifier. Raises ConfigurationError if another one has its name."""
        if notifier.name in self.notifiers:
            raise ConfigurationError(f"notifier: the name {notifier.name!r} is taken")
        self.notifiers[notifier.name] = notifier
        if self._notices is not None:
            self._notices.look_at_notifiers()
        elif self.hub is not None:
            self._start_notices()

    def _warn_if_not_patched(self) -> None:
        missing = patch.unpatched_modules()
        if missing and (patch.is_patched() or is_main_thread()):  # in another thread that may be meant
            self.bus.emit(SchedulerEvent(events.EVENT_NOT_PATCHED, modules=missing, remedy=patch.PATCH_REMEDY))

    # -- shutdown -----------------------------------------------------------------------------------------------

    def shutdown(self, wait: bool, timeout: float | None) -> list[Run]:
        """Drain and stop; the runs that were cancelled. Inside a run of this scheduler it returns at once."""
        inside = self.is_inside_run()
        return self.call_alone(self._shutdown, wait, timeout, inside, thread_ident())

    def is_inside_run(self) -> bool:
        """True if the calling code belongs to a run of this scheduler, which a shutdown would wait for."""
        return self.hub is not None and inside_run_of(self.hub.dispatch)

    def begin_shutdown(self, wait: bool, timeout: float | None) -> None:
        """Do what `shutdown` does, and do not wait for its end."""
        self.call_alone(self._shutdown, wait, timeout, True, thread_ident())

    def _shutdown(self, wait: bool, timeout: float | None, inside: bool, caller: int) -> list[Run]:
        hub = self.require_running()
        self._stopping = True
        seconds = timeout if wait else 0
        self.bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_DRAINING, running=hub.in_progress, timeout=seconds))
        if inside:
            spawn(self._finish, hub, wait, timeout, caller)
            return []
        return self._finish(hub, wait, timeout, caller)

    def _finish(self, hub: Hub, wait: bool, timeout: float | None, caller: int) -> list[Run]:
        hub.stop_serving()
        if not hub.join(timeout if wait else 0, RETRIES_SECONDS):
            self._cancelled_at_end.update(dict.fromkeys(self.runs()))
            self._cancel_all(hub)
        cut, self._cancelled_at_end = list(self._cancelled_at_end), {}
        self._watchdog.stop()
        hub.loop_times.stop()
        forget_forks(self)
        if self._notices is not None:
            self.bus.flush(FLUSH_SECONDS, caller)  # the last runs may have failed
        self._stop_components(hub)
        self.bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_SHUTDOWN, cut=len(cut)))
        self.bus.flush(FLUSH_SECONDS, caller)
        self.finished.set()
        return cut

    def _stop_components(self, hub: Hub) -> None:
        hub.stop()
        if self._greenlet is not None and self._greenlet is not gevent.getcurrent():
            self._greenlet.join()
        self.farewells.join()
        for executor in self.executors.working():
            self.close_component(executor.shutdown, events.EVENT_EXECUTOR_FAILED, executor.alias)
        if self._notices is not None:
            self._notices.stop()
            self._notices = None
        self.close_stores()
        self.hub = self._home = None

    def _cancel_all(self, hub: Hub) -> None:
        """Cancel the runs in progress, and wait for their end. A run that does not end in time is abandoned."""
        self.cancel(lambda run: True)
        if not hub.join_runs(2 * GRACE_SECONDS + 1):
            for executor in self.executors.working():
                executor.abandon_all()
            hub.join_runs(1)

    def run_until_finished(self) -> None:
        """Wait in the scheduler's own thread for the end of a shutdown. Afterwards no other thread waits for this one.
        """
        home = self._home
        try:
            self.finished.wait()
        finally:
            if home is not None:
                home.close()
            self.bus.detach()

    def close(self) -> None:
        """Close the stores of a scheduler that does not run. Raises SchedulerAlreadyRunningError if it runs."""
        if self.hub is not None:
            raise SchedulerAlreadyRunningError
        self.close_stores()

    # -- pause and resume ---------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Start no runs until `resume`. Raises SchedulerNotRunningError."""
        self.require_running().pause()
        self._paused = True
        self.bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_PAUSED))

    def resume(self) -> None:
        """Start runs again. Raises SchedulerNotRunningError."""
        self.require_running().resume()
        self._paused = False
        self.bus.emit(SchedulerEvent(events.EVENT_SCHEDULER_RESUMED))

    # -- runs ---------------------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """The runs of this process that execute or wait for a worker."""
        return [run for executor in self.executors.working() for run in executor.runs()]

    def cancel(self, wanted: Callable[[Run], bool]) -> list[Run]:
        """Cancel the runs that `wanted` accepts; those that were still there."""
        found = [(executor, run) for executor in self.executors.working() for run in executor.runs() if wanted(run)]
        cancelled = [run for executor, run in paced(found) if executor.cancel(run)]
        if self._stopping:  # `shutdown` returns them
            self._cancelled_at_end.update(dict.fromkeys(cancelled))
        return cancelled

    # -- status -------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """True from the start to the shutdown, unless the hub greenlet was killed."""
        return self.hub is not None and not self._stopping and not self.hub.dead

    @property
    def paused(self) -> bool:
        """True between `pause` and `resume`."""
        return self._paused

    def status(self) -> SchedulerStatus:
        """What the scheduler is doing now, read from memory, in whatever thread."""
        pools = {
            alias: Pool(each.size, each.in_progress, each.waiting, each.saturated_seconds)
            for alias, each in list(self.executors.items())
        }
        stores = {alias: store.report() for alias, store in list(self.stores.items())}
        hub = self.hub
        if hub is None:
            return SchedulerStatus("stopped", pools, stores, self.bus.dropped, self.bus.failures)
        return SchedulerStatus(
            "stopping" if self._stopping else "paused" if self._paused else "running",
            pools,
            stores,
            self.bus.dropped,
            self.bus.failures,
            stuck=hub.stuck_seconds(),
            blocked=self._watchdog.blocked,
            counters=hub.counters,
            in_progress=hub.in_progress,
            jobs=hub.jobs(),
            groups=hub.groups(),
            loop=hub.loop_times.shares(),
        )

    def activity(self) -> dict[str, Any]:
        """What the scheduler did since its start and is doing: see `gsched.hub.activity.activity_of`.

        Raises SchedulerNotRunningError.
        """
        return self.require_running().activity()

    # -- for our own parts --------------------------------------------------------------------------------------

    def build_job(self, definition: Mapping[str, Any]) -> Job:
        """The job that add_job's arguments would add now; it is checked, and not added.

        :raises InvalidJobError, InvalidTriggerError, FuncRefError: as add_job does
        """
        return self.job_builder().build(definition)

    def change_job(
        self,
        job_id: str,
        change: Callable[[Job], Job],
        jobstore: str | None = None,
        event: Callable[[Job], JobEvent] = modified_event,
        act: Act | None = None,
    ) -> Job:
        """Replace a job's definition by the result of `change`, which is called again if another process was faster.

        An error that `change` raises is raised here, and the job stays as it was. Raises JobNotFoundError.

        :param event: makes the event to publish
        :param act: who changes the job, if somebody does: it is kept with the job and in the audit
        """
        return self.call(self._change, job_id, change, jobstore, event, act)

    def _change(
        self,
        job_id: str,
        change: Callable[[Job], Job],
        jobstore: str | None,
        event: Callable[[Job], JobEvent],
        act: Act | None,
    ) -> Job:
        store = self.store(self.find(job_id, jobstore).jobstore)
        changed = store.change(job_id, Spreader(store, self.now_ms).after(change), act)
        self._publish_change(changed, event)
        return changed

    def change_jobs(
        self,
        job_ids: Iterable[str],
        change: Callable[[Job], Job | None],
        jobstore: str,
        event: Callable[[Job], JobEvent],
        act: Act | None = None,
        target: str = "",
    ) -> Iterator[Job]:
        """Replace many jobs of a store, several in a round trip, and give those that were replaced, as they come.

        :param change: as for `change_job`; None leaves the job as it is. Jobs that do not exist are left out
        :param act: who changes the jobs, if somebody does: it is kept with each job, and once in the audit
        :param target: the words that name the jobs, for the audit
        """
        count, job_id = 0, ""
        try:
            for some in batches(job_ids, CHANGED_AT_ONCE):
                for job in self.call(self._change_some, some, _stamping(change, act), jobstore, event):
                    count, job_id = count + 1, job.id
                    yield job
        finally:
            self.call(self.record, act, jobstore, job_id if count == 1 else target or f"{count} jobs", count)

    def record(self, act: Act | None, jobstore: str, target: str, count: int) -> None:
        """Keep in the audit what somebody has done to so many jobs, if somebody has, and there are any."""
        if act is not None and count:
            self.store(jobstore).record_audit(act.entry(target, count))

    def _change_some(
        self,
        job_ids: Sequence[str],
        change: Callable[[Job], Job | None],
        jobstore: str,
        event: Callable[[Job], JobEvent],
    ) -> list[Job]:
        changed = self.store(jobstore).change_many(job_ids, change)
        for job in changed:
            self._publish_change(job, event)
        return changed

    def _publish_change(self, job: Job, event: Callable[[Job], JobEvent]) -> None:
        # A store keeps a lower bound of the next run time; listeners get the time itself.
        made = event(job.evolve(next_run_ms=job.next_due_ms(self.now_ms())))
        self.bus.emit(made)
        if made.code == events.EVENT_JOB_MODIFIED:
            self.warn_of_options(job)

    def claimed_until(self, jobstore: str) -> Callable[[Job], int]:
        """How far the claims of a store's schedulers reach now. A past instant beyond that is overdue.

        :return: a function of a job; it gives the time up to which the instants of that job are claimed,
            milliseconds since the epoch
        """
        return self.call(self.store(jobstore).claimed_until)

    def allow_modules(self, modules: Iterable[str]) -> None:
        """Resolve function references from stores and imports in these modules, too."""
        self.allowed.allow(modules)

    def wake(self) -> None:
        """Look for due jobs now, after a clock was set by hand. Raises SchedulerNotRunningError."""
        self.require_running().wake()

    def at_rest(self) -> bool:
        """True if nothing more can happen now, but for the end of runs in progress: for tests."""
        return (self.hub is None or self.hub.at_rest()) and self.bus.at_rest()

    # -- forks --------------------------------------------------------------------------------------------------

    def greenlets(self) -> list[greenlet] | None:
        """The greenlets that must not go on in a forked child; None inside a run, which goes on there itself."""
        if self._home is not None and self._home.ident != thread_ident() and not has_event_loop():
            return []  # a child has no other threads
        if self.hub is not None and inside_run_of(self.hub.dispatch):
            return None
        own = [self._greenlet, *self.farewells, *self.bus.greenlets()]
        if self._notices is not None:
            own.extend(self._notices.greenlets())
        for store in self.stores.values():
            own.extend(store.greenlets())
        for executor in self.executors.working():
            own.extend(executor.greenlets())
        return own

    def forked(self) -> None:
        """Called in a forked child: the scheduler goes on in the parent only."""
        sends = self._notices is not None and getcurrent() in self._notices.greenlets()
        self._is_copy, self._stopping = True, True
        self._outside = _RLock()  # another thread may have held it
        self.bus.forked()
        if self._home is not None and self._home.ident != thread_ident():
            self.bus.detach()
        if self.hub is not None:
            self.hub.forked()
            if inside_run_of(self.hub.dispatch):
                return
        if sends:  # the program that a notifier runs takes the child's place at once
            return
        self.bus.emit(SchedulerEvent(events.EVENT_FORK_DETECTED, remedy=str(ForkedError())))

    def _forget_parent(self) -> None:
        """In a forked child: what the parent's scheduler was doing is the parent's."""
        self._is_copy = False
        self.finished = Event()
        self.hub = self._home = self._greenlet = self._notices = None
        for store in self.stores.values():
            store.started = False


def _stamping(change: Callable[[Job], Job | None], act: Act | None) -> Callable[[Job], Job | None]:
    """The change, which also records its author in the job."""
    if act is None:
        return change
    return lambda job: None if (changed := change(job)) is None else act.stamped(changed)


def engine_of(scheduler: BaseScheduler) -> Engine:
    """The engine of a scheduler, for our own parts."""
    return scheduler._engine
