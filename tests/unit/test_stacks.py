"""The stacks of all greenlets, whatever else is in the memory of the process."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest

from gsched.event_loop.stacks import freeze_heap, stacks_text


class Target:
    """Something that proxies refer to."""


class Odd:
    """An object that says of itself what it is, and raises."""

    @property  # type: ignore[misc]
    def __class__(self):
        raise ValueError("not for you")


def dead_proxy() -> object:
    target = Target()
    proxy = weakref.proxy(target)
    del target
    gc.collect()
    return [proxy]


def odd_object() -> object:
    return [Odd()]


def wait_for_ever() -> None:
    gevent.sleep(100)


WAITING = f"in {wait_for_ever.__name__}"  # no literal: stacks show the source of the test, too


@pytest.mark.parametrize("make", [list, dead_proxy, odd_object])
def test_objects_that_cannot_be_asked_do_not_hide_the_greenlets(make):
    kept = make()
    waiting = gevent.spawn(wait_for_ever)
    gevent.sleep(0)
    assert WAITING in stacks_text()
    waiting.kill()
    del kept


def test_frozen_greenlets_are_shown_and_the_frozen_heap_stays_as_it_is():
    waiting = gevent.spawn(wait_for_ever)
    gevent.sleep(0)
    freeze_heap()
    try:
        freeze_heap()  # a second time, when the greenlet is frozen already
        frozen = gc.get_freeze_count()
        assert stacks_text().count(WAITING) == 1
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
        waiting.kill()


def test_garbage_that_is_there_while_stacks_are_dumped_is_collected_later():
    freeze_heap()
    try:
        cycle = Target()
        cycle.itself = cycle
        gone = weakref.ref(cycle)
        del cycle
        stacks_text()
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()


def test_frozen_greenlets_that_have_ended_are_freed():
    ended = gevent.spawn(gevent.sleep)
    freeze_heap()
    try:
        ended.join()
        gevent.sleep(0)  # the loop lets go of it
        gone = weakref.ref(ended)
        del ended
        assert gone() is None
    finally:
        gc.unfreeze()
