"""The jobs that files declare: they are brought into the store at start and at each reload."""

from __future__ import annotations

from collections.abc import Sequence
from random import uniform
from typing import Final

import gevent
from gevent.event import Event
from gevent.lock import RLock

from gsched.config import Configuration
from gsched.errors import GschedError, StoreUnreachableError
from gsched.runner.declared import Declaration, apply_declared, plan_declared, read_declarations
from gsched.runner.logs import runner_log
from gsched.scheduler import GeventScheduler

LONGEST_PAUSE: Final = 30.0  # seconds between two attempts


class FileJobs:
    """Keeps the store's jobs as the [[job]] entries of the configuration say.

    Raises ConfigurationError for an entry that is wrong; nothing has been changed then.
    """

    def __init__(self, scheduler: GeventScheduler, configuration: Configuration) -> None:
        self._scheduler = scheduler
        self._owner = configuration.name
        self._declarations: Sequence[Declaration] = read_declarations(configuration, scheduler)
        self._was_declared = bool(self._declarations) or configuration.path is not None
        self._lock = RLock()
        self._stopped = Event()
        self._trying: gevent.Greenlet | None = None

    def reload(self, configuration: Configuration) -> None:
        """Take a new configuration's entries. Raises ConfigurationError, and keeps the old ones then."""
        declarations = read_declarations(configuration, self._scheduler)
        with self._lock:
            before, self._declarations = self._declarations, declarations
            try:
                self.write()
            except StoreUnreachableError:
                self.write_later()
            except GschedError:
                self._declarations = before
                raise

    def write(self) -> None:
        """Bring the store up to date. Raises ConfigurationError, StoreUnreachableError or another StoreError."""
        if not self._was_declared:
            return
        with self._lock:
            plan = plan_declared(self._scheduler, self._declarations, self._owner)
            apply_declared(self._scheduler, plan, self._owner)
            runner_log().info("jobs.declared", **plan.counts())

    def write_later(self) -> None:
        """Bring the store up to date as soon as it answers."""
        if not self._trying:
            runner_log().warning("jobs.postponed", reason="the store does not answer")
            self._trying = gevent.spawn(self._try)

    def stop(self) -> None:
        """Try no more."""
        self._stopped.set()

    def _try(self) -> None:
        pause = 1.0
        while not self._stopped.wait(pause * uniform(0.5, 1)):
            try:
                self.write()
                return
            except StoreUnreachableError:
                pause = min(2 * pause, LONGEST_PAUSE)
            except GschedError as error:
                runner_log().error("jobs.refused", error=str(error))
                return
