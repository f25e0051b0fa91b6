"""A bench on any store: a scheduler on a clock that the test moves, whose functions a stored job may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from waiting import LONGEST_SECONDS

from gsched import GeventScheduler, MongoDBJobStore, current_run
from gsched.stores import BaseJobStore
from gsched.stores.claims.ownership import Ownership
from gsched.stores.mongodb.claims.database import MongoClaimDatabase
from gsched.stores.mongodb.jobs import ask
from gsched.testing import ManualClock
from gsched.times.instants import as_instant, from_ms, to_ms

START = "2026-03-02 12:00"  # a Monday
STEP_MS = 2000  # far less than what expires; in each step the store asks its database a dozen times
SHORT_STEP_MS = 250  # for tests in which a second decides

began: list[tuple[str, int]] = []  # the runs that began: the job's id and the instant
# What each job's next runs do: S succeeds, F fails; W and X do so when the gate is open.
script: dict[str, list[str]] = {}
gate = Event()


def play(job_id: str) -> None:
    """A job that follows the script; beyond its end it succeeds."""
    began.append((job_id, current_run().scheduled_ms))
    acts = script.get(job_id)
    act = acts.pop(0) if acts else "S"
    if act in "WX":
        gate.wait()
    if act in "FX":
        raise ConnectionError("vendor down")


class StoreBench:
    """A scheduler with one store, on a manual clock.

    :ivar step_ms: how far `until` moves the clock at once
    :ivar events: what the scheduler published
    """

    def __init__(self, store: BaseJobStore, patches: pytest.MonkeyPatch, step_ms: int = STEP_MS) -> None:
        self.clock = ManualClock(START)
        self.step_ms = step_ms
        self.store = store
        if isinstance(store, MongoDBJobStore):  # the server's time is the clock's
            patches.setattr(MongoClaimDatabase, "time", lambda claims: self.clock.now_ms())
            asked = ask._waiting
            patches.setattr(ask, "_waiting", lambda each: asked(each) | self._times_of_request())
        self._turning: set[Ownership] = set()  # what asks the database now
        self._watch(patches)
        self.events: list[Any] = []
        self.scheduler = self._made()
        began.clear()
        script.clear()
        gate.clear()

    def _made(self) -> GeventScheduler:
        made = GeventScheduler(
            jobstores={"default": self.store}, clock=self.clock, timezone="UTC", blocked_hub_after=None,
            modules=[__name__],
        )  # fmt: skip
        made.add_listener(self.events.append)
        return made

    def _watch(self, patches: pytest.MonkeyPatch) -> None:
        real_turn, real_wait = Ownership._turn, Ownership._wait

        def turn(ownership: Ownership) -> None:
            self._turning.add(ownership)
            real_turn(ownership)

        def wait(ownership: Ownership) -> None:
            self._turning.discard(ownership)
            real_wait(ownership)

        patches.setattr(Ownership, "_turn", turn)
        patches.setattr(Ownership, "_wait", wait)

    def _times_of_request(self) -> dict[str, Any]:
        now = {"$literal": from_ms(self.clock.now_ms())}
        return {"scheduled_at": now, "due_at": now}

    def start(self) -> StoreBench:
        self.scheduler.start()
        self.until(lambda: not self.store.shared or self.named("node.joined"))
        return self

    def restart(self, modules: Iterable[str] = ()) -> None:
        """End the scheduler, and start another one on the same store, which may run functions of these modules, too."""
        self.close()
        self.scheduler = self._made()
        self.scheduler._engine.allow_modules(modules)
        self.events.clear()
        self.start()

    def close(self) -> None:
        gate.set()
        if self.scheduler.running:
            stopping = gevent.spawn(self.scheduler.shutdown)
            self.until(stopping.ready)
            stopping.get()

    def add(self, job_id: str, trigger: Any, acts: str = "", **options: Any) -> Any:
        """Add a job whose runs do this: S succeeds, F fails; W and X do so when the gate is open."""
        if acts:
            script[job_id] = list(acts)
        return self.scheduler.add_job(f"{__name__}:play", trigger, args=[job_id], id=job_id, **options)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Move the clock until this is true, and give it."""
        with gevent.Timeout(LONGEST_SECONDS):
            self.settle()
            while not (found := condition()):
                self.clock.skip(self.step_ms)
                while self.clock.step(0) is not None:
                    pass
                self.settle()
        return found

    def settle(self) -> None:
        """Let everything happen that does not wait for the clock."""
        gevent.sleep(0.001)
        while self._turning:  # databases answer in their own time
            gevent.sleep(0.001)

    def skip_to(self, time: str) -> None:
        """Let the scheduler sleep, as a machine does, until this time."""
        self.clock.skip(to_ms(as_instant(time, self.scheduler.timezone)) - self.clock.now_ms())

    def at(self, seconds: float) -> int:
        """Milliseconds since the epoch of so many seconds after the start."""
        return to_ms(as_instant(START, self.scheduler.timezone)) + round(seconds * 1000)

    def began(self, job_id: str) -> list[float]:
        """The instants of the job's runs, in seconds after the start."""
        return [(instant - self.at(0)) / 1000 for each, instant in began if each == job_id]

    def named(self, name: str) -> list[Any]:
        return [event for event in self.events if getattr(event, "name", None) == name]
