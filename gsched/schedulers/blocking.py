"""BlockingScheduler: a program that does nothing else."""

from __future__ import annotations

from gsched.event_loop.patch import is_patched
from gsched.schedulers.background import TenThreads
from gsched.schedulers.base import BaseScheduler


class BlockingScheduler(BaseScheduler):
    """Schedules jobs in a program that does nothing else. Settings are those of GeventScheduler.

    Jobs run in ten threads, unless another executor is named "default".

    :raises ConfigurationError: for a setting that is unknown or cannot work
    """

    _default_executor = TenThreads

    def start(self, paused: bool = False) -> None:
        """Start scheduling, and return after `shutdown`, which a job or another thread calls, or after Ctrl-C.

        :param paused: start no runs until `resume`
        :raises SchedulerAlreadyRunningError: if it runs already
        :raises ConfigurationError: if jobs were added to a store that was not, or one is in use elsewhere
        """
        self._run_until_shutdown(paused, without_gevent=not is_patched())
