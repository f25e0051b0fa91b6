"""AsyncIOScheduler: runs coroutine functions on an application's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gsched.errors import ConfigurationError, SchedulerAlreadyRunningError
from gsched.event_loop import patch
from gsched.executors import BaseExecutor
from gsched.executors.asyncio import AsyncIOExecutor
from gsched.jobs.run import Run
from gsched.schedulers.background import BackgroundScheduler
from gsched.schedulers.settings import make_executor


class AsyncIOScheduler(BackgroundScheduler):
    """Schedules jobs in a program on asyncio, such as a FastAPI server.

    A native thread of its own makes all decisions, so that nothing of them delays the event loop. Coroutine functions
    run on the event loop, other functions in its default executor, unless another executor is named "default".
    Settings are those of GeventScheduler.

    Verbs block the event loop for less than a millisecond with jobs in memory, and as long as the database takes with
    others: `await scheduler.aio.add_job(...)` does not.

    :param event_loop: where coroutine functions run; None: the loop that runs when `start` is called
    :raises ConfigurationError: for a setting that is unknown or cannot work
    """

    _default_executor = AsyncIOExecutor

    def __init__(
        self,
        gconfig: Mapping[str, Any] | None = None,
        prefix: str | None = "apscheduler.",
        event_loop: asyncio.AbstractEventLoop | None = None,
        **options: Any,
    ) -> None:
        super().__init__(gconfig, prefix, **options)
        self._given_loop = event_loop
        self._event_loop: asyncio.AbstractEventLoop | None = None  # of the last start

    def start(self, paused: bool = False) -> None:
        """Start scheduling, and return when it has begun. Call it in a coroutine, or give the scheduler `event_loop`.

        :param paused: start no runs until `resume`
        :raises SchedulerAlreadyRunningError: if it runs already
        :raises ConfigurationError: if there is no event loop, gevent has patched the program, jobs were added to a
            store that was not, or one is in use elsewhere
        """
        if patch.is_patched():
            raise ConfigurationError(
                f"{type(self).__name__}: gevent has patched this program, in which asyncio would stop every greenlet;"
                " use GeventScheduler"
            )
        if self._engine.hub is not None:
            raise SchedulerAlreadyRunningError
        self._event_loop = self._find_loop()
        if self._event_loop is None:
            raise ConfigurationError(
                "AsyncIOScheduler: no event loop runs in this thread: call start() in a coroutine, or give the"
                " scheduler event_loop"
            )
        if "default" not in self.executors:
            self.add_executor(AsyncIOExecutor())
        for executor in self.executors.values():
            self._lend_loop(executor)
        super().start(paused)

    def _find_loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop for a start, if there is one."""
        return self._given_loop or _running_loop()

    def add_executor(self, executor: BaseExecutor | str, alias: str = "default", **options: Any) -> None:
        made = make_executor({"type": executor, **options} if isinstance(executor, str) else executor)
        self._lend_loop(made)
        super().add_executor(made, alias)

    def _lend_loop(self, executor: BaseExecutor) -> None:
        if self._event_loop is not None and isinstance(executor, AsyncIOExecutor):
            executor.lend_loop(self._event_loop)

    def shutdown(self, wait: bool = True, timeout: float | None = None) -> list[Run]:
        """Stop: claim nothing more, wait for the runs in progress, and cancel those that take too long.

        On the event loop of the scheduler it returns at once, because the runs need that loop, and returns no runs:
        `await scheduler.ashutdown()` waits there.

        :param wait: let runs in progress end by themselves; otherwise they are cancelled at once
        :param timeout: seconds to wait at most; None: as long as they take
        :return: the runs that were cancelled
        :raises SchedulerNotRunningError: if it does not run
        """
        if self._event_loop is not None and _running_loop() is self._event_loop:
            self._engine.begin_shutdown(wait, timeout)
            return []
        return super().shutdown(wait, timeout)

    async def ashutdown(self, wait: bool = True, timeout: float | None = None) -> list[Run]:
        """`shutdown` for coroutines: the event loop turns until the scheduler has stopped.

        :param wait: let runs in progress end by themselves; otherwise they are cancelled at once
        :param timeout: seconds to wait at most; None: as long as they take
        :return: the runs that were cancelled
        :raises SchedulerNotRunningError: if it does not run
        """
        cancelled: list[Run] = await self.aio.shutdown(wait, timeout)
        return cancelled


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in the calling thread, if there is one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
