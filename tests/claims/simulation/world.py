"""Virtual time, and whose turn it is: everything that happens is an item of one agenda."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from heapq import heappop, heappush
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from zlib import crc32

from greenlet import GreenletExit, getcurrent, greenlet

BEGINNING = 1_767_225_600_000  # 2026-01-01, ms


class Task(greenlet):
    """A greenlet of a process."""

    process: Any

    def link(self, callback: Callable[[Any], object]) -> None:
        """Nothing kills a greenlet here but the end of its process, which takes the callback along."""


class World:
    """The agenda. Times are milliseconds; what is due in the same one happens in random order.

    :ivar now: the database server's time, which is the true one here
    """

    def __init__(self, seed: int, show: Callable[[str], object] | None = None) -> None:
        self.random = Random(seed)
        self.now = BEGINNING
        self.digest = 0
        self._show = show
        self._agenda: list[tuple[int, float, int, Any, Callable[[], object]]] = []
        self._count = 0
        self._main = getcurrent()
        self._tasks: list[Task] = []

    def at(self, delay: int, process: Any, step: Callable[[], object]) -> None:
        """Have `step` happen after a delay in a process; None is somewhere that nothing ever stops."""
        self._count += 1
        heappush(self._agenda, (self.now + delay, self.random.random(), self._count, process, step))

    def run(self, until: int) -> None:
        """Let everything happen up to a time."""
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, _, process, step = heappop(self._agenda)
            if process is None:
                step()
            elif not process.dead:
                if process.stands_still:
                    process.backlog.append(step)
                else:
                    step()
        self.now = until

    def note(self, text: str) -> None:
        """Something happened: equal histories have equal digests."""
        self.digest = crc32(text.encode(), self.digest ^ self.now & 0xFFFFFFFF)
        if self._show is not None:
            self._show(f"{(self.now - BEGINNING) / 1000:9.3f} {text}")

    # -- tasks ------------------------------------------------------------------------------------------------

    def spawn(self, process: Any, run: Callable[[], object]) -> Task:
        """Start a task."""
        task = Task(run, self._main)
        task.process = process
        self._tasks.append(task)
        self.at(0, process, task.switch)
        return task

    def park(self) -> None:
        """The calling task waits until somebody switches to it."""
        self._main.switch()

    def sleep(self, delay: int) -> None:
        """The calling task waits."""
        task = getcurrent()
        self.at(delay, task.process, task.switch)
        self.park()

    def end(self) -> None:
        """Let go of all tasks."""
        for task in self._tasks:
            if task and not task.dead:
                task.throw(GreenletExit)

    def chance(self, share: float) -> bool:
        return self.random.random() < share


class SimEvent:
    """gevent's Event, in virtual time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._flag = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._world.at(0, task.process, task.switch)

    def clear(self) -> None:
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        while not self._flag:
            self._waiting.append(getcurrent())
            self._world.park()
        return True


class SimSlice:
    """A slice that is used up now and then, for no reason."""

    def __init__(self, world: World) -> None:
        self._world = world

    def restart(self) -> None:
        """Nothing is measured."""

    end = restart

    def used_up(self) -> bool:
        return self._world.chance(0.05)

    def breathe(self) -> bool:
        if not self.used_up():
            return False
        self._world.sleep(self._world.random.choice((0, 1, 3)))
        return True


class SimClock:
    """One machine's clocks: a wall clock that is off, and elapsed time."""

    longest_sleep = 1.0

    def __init__(self, world: World, process: Any, skew: int) -> None:
        self._world = world
        self._process = process
        self._booted = world.now - world.random.randrange(10**6)
        self.skew = skew

    def now_ms(self) -> int:
        return self._world.now + self.skew

    def monotonic(self) -> float:
        return (self._world.now - self._booted) / 1000

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> SimTimer:
        timer = SimTimer(callback, args)
        delay = max(0, -int(-seconds * 1000 // 1)) + self._world.random.choice((0, 0, 1, 3))
        self._world.at(delay, self._process, timer.go_off)
        return timer


class SimTimer:
    """A call that is due later."""

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def go_off(self) -> None:
        if self._callback is not None:
            self._callback(*self._args)

    def cancel(self) -> None:
        self._callback = None


@contextmanager
def real_code_in(world: World, slots: int) -> Iterator[None]:
    """The real modules, with this world in place of gevent's hub and of chance, and few slots and small batches."""
    replaced = {
        "gsched.hub.hub.gevent": SimpleNamespace(sleep=lambda seconds: world.sleep(round(seconds * 1000))),
        "gsched.hub.hub.spawn": lambda run: world.spawn(getcurrent().process, run),
        "gsched.hub.hub.threadsafe_calls": lambda: None,
        "gsched.event_loop.keyboard_interrupt.get_hub": lambda: SimpleNamespace(loop=None),
        "gsched.hub.hub.Event": lambda: SimEvent(world),
        "gsched.hub.lane.Event": lambda: SimEvent(world),
        "gsched.hub.dispatch.Event": lambda: SimEvent(world),
        "gsched.hub.hub.Slice": lambda *_: SimSlice(world),
        "gsched.hub.hub.give_way": lambda: world.sleep(world.random.choice((0, 1))),
        "gsched.executors.base.Slice": lambda: SimSlice(world),
        "gsched.event_loop.slices.Slice": lambda: SimSlice(world),
        "gsched.stores.claims.ownership.Event": lambda: SimEvent(world),
        "gsched.event_loop.backoff.random": world.random.random,
        "gsched.stores.claims.partition.SLOTS": slots,
        "gsched.stores.claims.membership.SLOTS": slots,
        "gsched.stores.claims.slots.AT_ONCE": 2,
        "gsched.stores.claims.admission.BATCH": 3,
        "gsched.stores.claims.parking.AT_ONCE": 2,
        "gsched.stores.claims.waiting_runs.AT_ONCE": 2,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(name, value))
        yield
