"""TornadoScheduler: AsyncIOScheduler for programs on Tornado, whose loops are asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gsched.schedulers.asyncio import AsyncIOScheduler


class TornadoScheduler(AsyncIOScheduler):
    """Schedules jobs in a Tornado server, as AsyncIOScheduler does in a program on asyncio.

    :param io_loop: where coroutine functions run; None: the current one when `start` is called, which may begin later
    :raises ConfigurationError: for a setting that is unknown or cannot work
    """

    def __init__(
        self,
        gconfig: Mapping[str, Any] | None = None,
        prefix: str | None = "apscheduler.",
        io_loop: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(gconfig, prefix, **options)
        self._io_loop = io_loop

    def _find_loop(self) -> asyncio.AbstractEventLoop | None:
        from tornado.ioloop import IOLoop

        io_loop: Any = self._io_loop or IOLoop.current()
        loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop
        return loop
