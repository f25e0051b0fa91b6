"""Asks the store on behalf of all users: equal questions once, few at a time, each with a time limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from gsched.event_loop.helpers import spawn
from gsched.event_loop.slices import has_event_loop
from gsched.event_loop.waiter import Waiter
from gsched.web.refusals import RequestRefused

MOST_ASKED: Final = 4  # questions that the store has at once
MOST_WAITING: Final = 32  # questions that wait for it
LONGEST_SECONDS: Final = 10.0  # for a question and the answer
MOST_KEPT: Final = 256  # answers
FORGOTTEN_SECONDS: Final = 60.0  # a change makes answers that are kept so long, or less, old

_FOREVER: Final = 86_400.0
_allocate_lock = get_original("_thread", "allocate_lock")

T = TypeVar("T")


class StoreReader:
    """Shares answers between users: fifty browsers ask the store as often as one.

    Greenlets and native threads may call it. On gevent a question has a greenlet of its own, which nobody kills: a
    client that goes away leaves no call of a driver half done.

    :param monotonic: gives seconds
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = _allocate_lock()  # never held across a switch of greenlets
        self._answers: dict[Hashable, _Shared] = {}  # the oldest first
        self._unanswered = 0
        self._asking = 0
        self._holders: set[greenlet] = set()  # those that ask
        self._turns: deque[Waiter] = deque()

    def ask(self, key: Hashable, seconds: float, question: Callable[[], T]) -> T:
        """The answer to `question`; it raises what that raises.

        :param key: equal for equal questions
        :param seconds: how old an answer may be
        :raises RequestRefused: if too many questions wait, or the answer takes too long
        """
        with self._lent_turn():
            return self._ask(key, seconds, question)

    def _ask(self, key: Hashable, seconds: float, question: Callable[[], T]) -> T:
        with self._lock:
            shared = self._answers.get(key)
            is_new = shared is None or not shared.is_usable(self._monotonic())
            if is_new:
                shared = self._begin(key, seconds)
            assert shared is not None
            waiter = shared.waiter()
        if is_new:
            spawn(self._answer, shared, question) if has_event_loop() else self._answer(shared, question)
        if waiter is not None and not waiter.wait(LONGEST_SECONDS):
            raise RequestRefused(
                504, "too_slow", f"the store has not answered within {LONGEST_SECONDS:g} s", "ask for less, or again"
            )
        return cast(T, shared.value())

    def forget(self) -> None:
        """Give nobody an answer to a question that was asked before now: something has changed.

        Answers that are kept for minutes stay: they cost too much to be asked for at each change.
        """
        with self._lock:
            for key in [key for key, shared in self._answers.items() if shared.seconds <= FORGOTTEN_SECONDS]:
                del self._answers[key]

    def _begin(self, key: Hashable, seconds: float) -> _Shared:
        """A new answer to come. Called with the lock."""
        if self._unanswered >= MOST_ASKED + MOST_WAITING:
            raise RequestRefused(
                503, "busy", "too many questions wait for the store", "ask again in some seconds",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        self._unanswered += 1
        self._answers.pop(key, None)
        while len(self._answers) >= MOST_KEPT:
            del self._answers[next(iter(self._answers))]
        shared = self._answers[key] = _Shared(seconds)
        return shared

    def _answer(self, shared: _Shared, question: Callable[[], Any]) -> None:
        self._take_turn()
        value, error = None, None
        try:
            value = question()
        except Exception as raised:
            error = raised
        with self._lock:
            shared.end(value, error, self._monotonic())
            self._unanswered -= 1
        self._end_turn()

    def _take_turn(self) -> None:
        """Wait until the store has few enough questions. A question that ends hands its place on."""
        with self._lock:
            self._holders.add(getcurrent())
            if self._asking < MOST_ASKED:
                self._asking += 1
                return
            waiter = Waiter()
            self._turns.append(waiter)
        waiter.wait(_FOREVER)

    def _end_turn(self) -> None:
        with self._lock:
            self._holders.discard(getcurrent())
            if self._turns:
                self._turns.popleft().wake()
            else:
                self._asking -= 1

    @contextmanager
    def _lent_turn(self) -> Iterator[None]:
        """A question that asks another one gives up its place: else some that wait for each other might take all."""
        if getcurrent() not in self._holders:
            yield
            return
        self._end_turn()
        try:
            yield
        finally:
            self._take_turn()


class _Shared:
    """An answer, or one to come, that several users get.

    :ivar seconds: for how long they do
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiters: list[Waiter] = []
        self._ended_at: float | None = None
        self._value: Any = None
        self._error: Exception | None = None

    def is_usable(self, now: float) -> bool:
        """True while the answer is on its way, or young enough. An error goes only to those who wait for it."""
        return self._ended_at is None or (self._error is None and now - self._ended_at < self.seconds)

    def waiter(self) -> Waiter | None:
        """Waits for the answer; None if it is there."""
        if self._ended_at is not None:
            return None
        self._waiters.append(Waiter())
        return self._waiters[-1]

    def end(self, value: Any, error: Exception | None, now: float) -> None:
        self._value, self._error, self._ended_at = value, error, now
        for waiter in self._waiters:
            waiter.wake()
        self._waiters.clear()

    def value(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value
