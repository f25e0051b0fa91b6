"""BackgroundScheduler: runs jobs beside a program that does not use gevent."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import Any, Final

from gsched.event_loop import patch
from gsched.executors import BaseExecutor, GreenletPoolExecutor
from gsched.executors.thread import ThreadPoolExecutor
from gsched.jobs.run import Run
from gsched.schedulers.base import BaseScheduler
from gsched.schedulers.hub_thread import HubThread
from gsched.schedulers.verbs.aio import AioVerbs

AT_EXIT_SECONDS: Final = 5.0  # at the end of the program: how long a shutdown that has begun may take
IN_THIS_HUB: Final = (
    "gevent has patched this program, so the scheduler runs in the hub of the thread that started it, as"
    " GeventScheduler does"
)


class TenThreads(ThreadPoolExecutor):
    """The default executor, with as many threads as APScheduler's."""

    def __init__(self) -> None:
        super().__init__(10)


class BackgroundScheduler(BaseScheduler):
    """Schedules jobs in the background of a program that does not use gevent, such as a script or a Flask server.

    A native thread of its own makes all decisions. Jobs run in ten further threads, unless another executor is named
    "default". Each listener is called in a native thread of its own. Settings are those of GeventScheduler.

    In a program that gevent has patched, it works as GeventScheduler does, in the hub of the thread that starts it.

    :param daemon: True: the program may end while the scheduler runs; runs in progress are cancelled then. False: the
        program goes on until `shutdown`
    :raises ConfigurationError: for a setting that is unknown or cannot work
    """

    _default_executor: type[BaseExecutor] = TenThreads
    _has_said = False  # in this process, that it runs in the caller's hub

    def __init__(
        self,
        gconfig: Mapping[str, Any] | None = None,
        prefix: str | None = "apscheduler.",
        daemon: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(gconfig, prefix, **options)
        self._daemon = daemon

    def start(self, paused: bool = False) -> None:
        """Start scheduling, and return when it has begun.

        :param paused: start no runs until `resume`
        :raises SchedulerAlreadyRunningError: if it runs already
        :raises ConfigurationError: if jobs were added to a store that was not, or one is in use elsewhere
        """
        if patch.is_patched():
            self._start_in_this_hub(paused)
            return
        engine = self._engine
        if engine.own_thread is not None and not self.running:
            engine.own_thread.join()
        thread = HubThread(f"{self.name}-hub", self._daemon)
        thread.run(lambda: engine.start(paused, thread, without_gevent=True), engine.run_until_finished)
        atexit.register(self._at_exit)

    def _start_in_this_hub(self, paused: bool) -> None:
        self._engine.default_executor = GreenletPoolExecutor
        self._engine.start(paused)
        if self._engine.log_sink is not None and not self._has_said:
            BackgroundScheduler._has_said = True
            self._engine.log_sink.warn_now("scheduler.in_this_hub", IN_THIS_HUB)

    def shutdown(self, wait: bool = True, timeout: float | None = None) -> list[Run]:
        thread, inside = self._engine.call_alone(lambda: self._engine.own_thread), self._engine.is_inside_run()
        cancelled = super().shutdown(wait, timeout)
        if thread is not None and not inside:
            thread.join()
            atexit.unregister(self._at_exit)
        return cancelled

    def join(self, timeout: float | None = None) -> bool:
        thread = self._engine.own_thread
        return super().join(timeout) if thread is None else thread.join(timeout)

    @property
    def aio(self) -> AioVerbs:
        """The verbs as coroutine functions, which never block the event loop: `await scheduler.aio.add_job(...)`."""
        return AioVerbs(self)

    def _at_exit(self) -> None:
        """End the scheduler before the interpreter ends: a thread with greenlets that it cuts off may crash it."""
        if self.running:
            self.shutdown(wait=False)
        elif self._engine.own_thread is not None:  # a shutdown that did not wait, inside a run, may go on
            self._engine.own_thread.join(AT_EXIT_SECONDS)
