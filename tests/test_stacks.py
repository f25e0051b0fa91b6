"""The stacks of all greenlets, whatever else is in the memory of the process."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest

from gsched.stacks import stacks_text


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


@pytest.mark.parametrize("make", [list, dead_proxy, odd_object])
def test_objects_that_cannot_be_asked_do_not_hide_the_greenlets(make):
    kept = make()
    waiting = gevent.spawn(wait_for_ever)
    gevent.sleep(0)
    assert "in wait_for_ever" in stacks_text()
    waiting.kill()
    del kept
