"""The jobs and limits that files declare: the runner writes them into the store at its start and at each reload."""

from __future__ import annotations

from collections.abc import Sequence

import gevent
from gevent.event import Event
from gevent.lock import RLock

from gsched.config import Configuration
from gsched.errors import GschedError, StoreUnreachableError
from gsched.event_loop.helpers import spawn
from gsched.runner.crontab.sync import CrontabFile, crontab_jobs, load_crontab, write_crontab
from gsched.runner.declaration import Declaration
from gsched.runner.declared import apply_declared, plan_declared, read_declarations
from gsched.runner.declared_limits import read_limits, write_limits
from gsched.runner.logs import runner_log
from gsched.runner.retry import retry_until_answered
from gsched.schedulers.gevent import GeventScheduler
from gsched.wording import brief_message


class FileJobs:
    """Keeps the store's jobs equal to the [[job]] entries and the crontab, and its limits to the [limit] sections.

    :ivar settled: set once the store has taken the jobs or refused them
    :raises ConfigurationError: if an entry or a line has a mistake; nothing has been changed then
    """

    def __init__(self, scheduler: GeventScheduler, configuration: Configuration, stopped: Event) -> None:
        self._scheduler = scheduler
        self._owner = configuration.name
        self._crontab_path = configuration.crontab
        self._crontab = self._loaded(configuration)
        self._declarations = self._read(configuration)
        self._limits = read_limits(configuration)
        self._was_declared = bool(self._declarations) or configuration.path is not None
        self._lock = RLock()
        self.settled = Event()
        self._stopped = stopped
        self._trying: gevent.Greenlet | None = None

    def reload(self, configuration: Configuration) -> None:
        """Take over the entries of a new configuration, and the current crontab.

        :raises ConfigurationError: if an entry or a line has a mistake; the old jobs stay then
        """
        declarations, crontab = self._read(configuration), self._loaded(configuration)
        limits = read_limits(configuration)
        with self._lock:
            before = self._declarations, self._crontab, self._limits
            self._declarations, self._crontab, self._limits = declarations, crontab, limits
            try:
                self.write()
            except StoreUnreachableError:
                self.write_later()
            except GschedError:
                self._declarations, self._crontab, self._limits = before
                raise

    def write(self) -> None:
        """Write the jobs and limits into the store. Raises ConfigurationError, StoreUnreachableError or StoreError."""
        with self._lock:
            if self._was_declared:
                limits = write_limits(self._scheduler, self._limits, self._owner)  # before the jobs obey them
                if any(limits.values()):
                    runner_log().info("limits.declared", **limits)
                plan = plan_declared(self._scheduler, self._declarations, self._owner)
                apply_declared(self._scheduler, plan, self._owner)
                runner_log().info("jobs.declared", **plan.counts())
            if self._crontab is not None:
                counts = write_crontab(self._scheduler, self._crontab)
                runner_log().info("crontab.imported", file=self._crontab.source.file, **counts)
        self.settled.set()

    def write_later(self) -> None:
        """Write the jobs and limits into the store as soon as it answers."""
        if not self._trying:
            runner_log().warning("jobs.postponed", reason="the store does not answer")
            self._trying = spawn(self._try)

    def _read(self, configuration: Configuration) -> Sequence[Declaration]:
        """The entries. A program or user that this machine lacks is only logged: the command may find it later."""
        declarations = read_declarations(configuration, self._scheduler)
        for declaration in declarations:
            for doubt in declaration.doubts:
                runner_log().warning("job.doubtful", job_id=declaration.job.id, reason=doubt)
        return declarations

    def _loaded(self, configuration: Configuration) -> CrontabFile | None:
        if self._crontab_path is None:
            return None
        loaded = load_crontab(self._crontab_path, configuration.timezone or self._scheduler.timezone)
        crontab_jobs(self._scheduler, loaded)  # allows these commands to run, which the store may have already
        return loaded

    def _try(self) -> None:
        try:
            retry_until_answered(self.write, self._stopped)
        except StoreUnreachableError:
            pass  # this runner ends before the store answers
        except GschedError as error:
            runner_log().error("jobs.refused", error=brief_message(error))
            self.settled.set()
