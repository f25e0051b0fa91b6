"""Health: is a scheduler alive, is it ready, and if not, why not. It is read from memory, without a query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Final, NamedTuple

from gsched.monitoring.overdue import OverdueReport
from gsched.monitoring.scheduler_status import Pool, SchedulerStatus
from gsched.monitoring.store_report import StoreReport

STUCK_SECONDS: Final = 10.0  # the hub greenlet has a turn every few milliseconds when it works
SATURATED_SECONDS: Final = 30.0


class Check(NamedTuple):
    """One check.

    :ivar name: hub, scheduler, "store:", "overdue:" or "pool:" and an alias
    :ivar ok: whether it passes
    :ivar what: what was found
    :ivar warning: it passes, but a person should look at it
    """

    name: str
    ok: bool
    what: str
    warning: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The same in JSON's types, with `warning` only if it is true."""
        return {"name": self.name, "ok": self.ok, "what": self.what} | ({"warning": True} if self.warning else {})


@dataclass(frozen=True)
class Health:
    """The health of a scheduler.

    :ivar liveness: checks that fail only if nothing but a restart helps; they do not depend on databases
    :ivar readiness: checks that fail while the scheduler cannot do its work
    """

    liveness: tuple[Check, ...]
    readiness: tuple[Check, ...]

    @property
    def live(self) -> bool:
        """True if no check of liveness fails."""
        return all(check.ok for check in self.liveness)

    @property
    def ready(self) -> bool:
        """True if it is alive and can do its work."""
        return not self.failing()

    def checks(self) -> tuple[Check, ...]:
        """All checks."""
        return (*self.liveness, *self.readiness)

    def failing(self) -> list[Check]:
        """The checks that fail."""
        return [check for check in self.checks() if not check.ok]

    def warnings(self) -> list[Check]:
        """The checks that pass with a warning."""
        return [check for check in self.checks() if check.warning]

    def as_dict(self) -> dict[str, Any]:
        """The same in JSON's types."""
        return {"live": self.live, "ready": self.ready, "checks": [check.as_dict() for check in self.checks()]}


def health_of(status: SchedulerStatus, draining: bool = False) -> Health:
    """The health of a scheduler with this status.

    :param draining: the process is about to end
    """
    return Health((_hub(status),), tuple(_readiness(status, draining)))


def _hub(status: SchedulerStatus) -> Check:
    if status.stuck <= STUCK_SECONDS:
        return Check("hub", True, "it turns")
    what = "was killed" if status.stuck == inf else f"had no turn for {status.stuck:.0f} s"
    return Check("hub", False, f"the hub greenlet {what}")


def _readiness(status: SchedulerStatus, draining: bool) -> Iterator[Check]:
    state = "draining" if draining or status.state == "stopping" else status.state
    yield Check("scheduler", state in ("running", "paused"), state)
    if status.state != "stopped":
        yield from (_store(f"store:{alias}", report) for alias, report in status.stores.items())
        for alias, report in status.stores.items():
            if report.overdue is not None:
                yield _overdue(f"overdue:{alias}", report.overdue)
        yield from (_pool(f"pool:{alias}", pool) for alias, pool in status.pools.items())


def _store(name: str, report: StoreReport) -> Check:
    if not report.connected:
        since = "has not answered yet" if report.answered is None else f"has not answered for {report.answered:.1f} s"
        return Check(name, False, since if report.error is None else f"{since}: {report.error}")
    return Check(name, True, "connected" if report.feed is None else f"connected, change feed {report.feed}")


def _overdue(name: str, report: OverdueReport) -> Check:
    """No failure: a scheduler that does its work is ready, though a job fails."""
    return Check(name, True, report.words(), warning=bool(report.jobs))


def _pool(name: str, pool: Pool) -> Check:
    busy = f"{pool.in_progress} of {pool.size} workers busy, {pool.waiting} runs wait"
    if pool.saturated > SATURATED_SECONDS:  # no failure: a small executor may be meant as a limit
        return Check(name, True, f"full for {pool.saturated:.0f} s: {busy}", warning=True)
    return Check(name, True, busy)
