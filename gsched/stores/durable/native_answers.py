"""A database's answers in native threads, for drivers that block in a program that gevent has not patched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final, cast

from gsched.event_loop.native_threads import NativeThreads
from gsched.notices.outbox import Outbox
from gsched.stores.claims.database import ClaimDatabase
from gsched.stores.durable.answers import Answers, Definitions, History, Limits, News, Operations, Outputs, Records
from gsched.stores.expectations import Expectations

_CLAIM_THREADS: Final = 4  # reading many jobs must not hold up what keeps the node alive
_THREADS: Final = 8
_AT_ONCE: Final = 200  # items of an iterator that are fetched at once
_ONE_BY_ONE: Final = frozenset({"jobs_in", "listen", "follow"})  # large items, and ones that come when they come


def in_native_threads(answers: Answers) -> Answers:
    """The same answers; every call of the driver is made in a native thread, while other greenlets go on."""
    threads, claims, news = NativeThreads(_THREADS), NativeThreads(_CLAIM_THREADS), NativeThreads()
    return replace(
        answers,
        definitions=cast(Definitions, _InThreads(answers.definitions, threads)),
        limits=cast(Limits, _InThreads(answers.limits, threads)),
        history=cast(History, _InThreads(answers.history, threads)),
        outputs=cast(Outputs, _InThreads(answers.outputs, threads)),
        operations=cast(Operations, _InThreads(answers.operations, threads)),
        records=cast(Records, _InThreads(answers.records, threads)),
        expectations=cast(Expectations, _InThreads(answers.expectations, threads)),
        outbox=cast(Outbox, _InThreads(answers.outbox, threads)),
        news=cast(News, _InThreads(answers.news, news)),
        claims=lambda complain: cast(ClaimDatabase, _InThreads(answers.claims(complain), claims)),
        threads=[threads, claims, news],
    )


class _InThreads:
    """An object whose methods run in native threads, their iterators too."""

    def __init__(self, target: Any, threads: NativeThreads) -> None:
        self._target = target
        self._threads = threads

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._target, name)
        at_once = 1 if name in _ONE_BY_ONE else _AT_ONCE

        def call(*args: Any, **options: Any) -> Any:
            result = self._threads.call(lambda: method(*args, **options))
            return self._items(result, at_once) if isinstance(result, Iterator) else result

        setattr(self, name, call)  # the next look finds it at once
        return call

    def _items(self, items: Iterator[Any], at_once: int) -> Iterator[Any]:
        while some := self._threads.call(lambda: list(islice(items, at_once))):
            try:
                yield from some
            except GeneratorExit:  # nobody wants the rest; no thread is in the iterator now, so that it can be closed
                if (close := getattr(items, "close", None)) is not None:
                    self._threads.call(close)
                raise
