"""Cancels runs of this process that somebody in another process wants to end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from gevent.event import Event

from gsched.errors import StoreError
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.stores.durable.answers import Audience
from gsched.stores.messages import CancelRequested, HubPort
from gsched.times.clock import Clock

_AGAIN_SECONDS: Final = 1.0  # after the database has not answered


class Cancellations:
    """Asks the database, when the change feed names a job with recorded runs here, which of these are to be cancelled.

    :param requested: gives the ids of those runs, given with their attempts, that are to be cancelled
    """

    def __init__(
        self, requested: Callable[[Sequence[tuple[str, int]]], Collection[str]], hub: HubPort, clock: Clock
    ) -> None:
        self._requested = requested
        self._hub = hub
        self._clock = clock
        self._jobs: set[str] = set()  # that were named since the last look
        self._all = False
        self._wakeup = Event()
        self._stopping = False

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Runs of these jobs may be to be cancelled."""
        self._jobs.update(job_ids)
        self._wakeup.set()

    def look_at_limits(self) -> None:
        """Limits are of no matter here."""

    def rescan(self) -> None:
        """Any run may be to be cancelled."""
        self._all = True
        self._wakeup.set()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._stopping:
            self._wakeup.wait()
            self._wakeup.clear()
            names, everything = self._jobs, self._all
            self._jobs, self._all = set(), False
            try:
                self._look(names, everything)
            except StoreError:
                self._jobs |= names
                self._all |= everything
                self._clock.call_later(_AGAIN_SECONDS, self._wakeup.set)
            except BaseException as error:  # whatever it is, later requests must still be looked at
                was_interrupt(error)

    def stop(self) -> None:
        """Stop looking, soon."""
        self._stopping = True
        self._wakeup.set()

    def _look(self, names: Collection[str], everything: bool) -> None:
        runs = [run for run in self._hub.unfinished() if run.recorded and (everything or run.job.id in names)]
        if runs:
            wanted = self._requested([(run.id, run.attempt) for run in runs])
            for run in runs:
                if run.id in wanted:
                    self._hub.post(CancelRequested(run))


class Audiences:
    """Passes the notices of a change feed on to several: see `Audience`."""

    def __init__(self, *audiences: Audience) -> None:
        self._audiences = audiences

    def look_at(self, job_ids: Iterable[str]) -> None:
        """These jobs may have changed."""
        names = list(job_ids)
        for audience in self._audiences:
            audience.look_at(names)

    def look_at_limits(self) -> None:
        """The limits may have changed."""
        for audience in self._audiences:
            audience.look_at_limits()

    def rescan(self) -> None:
        """Any job may have changed."""
        for audience in self._audiences:
            audience.rescan()
