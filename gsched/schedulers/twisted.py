"""TwistedScheduler: AsyncIOScheduler for programs on Twisted's asyncio reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gsched.errors import ConfigurationError
from gsched.schedulers.asyncio import AsyncIOScheduler


class TwistedScheduler(AsyncIOScheduler):
    """Schedules jobs in a Twisted program that has installed the asyncio reactor, as AsyncIOScheduler does on asyncio.

    A coroutine function awaits a Deferred by `await deferred.asFuture(asyncio.get_running_loop())`.

    :param reactor: an AsyncioSelectorReactor; None: the one that is installed when `start` is called
    :raises ConfigurationError: for a setting that is unknown or cannot work; from `start` for another reactor
    """

    def __init__(
        self,
        gconfig: Mapping[str, Any] | None = None,
        prefix: str | None = "apscheduler.",
        reactor: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(gconfig, prefix, **options)
        self._reactor = reactor

    def _find_loop(self) -> asyncio.AbstractEventLoop | None:
        from twisted.internet import reactor as installed

        reactor: Any = self._reactor or installed
        loop: asyncio.AbstractEventLoop | None = getattr(reactor, "_asyncioEventloop", None)
        if loop is None:
            raise ConfigurationError(
                f"TwistedScheduler: the reactor is {type(reactor).__name__}; install the one on asyncio, first thing in"
                " the program: from twisted.internet import asyncioreactor; asyncioreactor.install()"
            )
        return loop
