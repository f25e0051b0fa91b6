"""What every greenlet is doing: for USR1, `gsched dump` and the probe's /stacks."""

from __future__ import annotations

import gc
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from gsched.wording import escaped

_thread_names = get_original("threading", "enumerate")


def stacks_text() -> str:
    """The stacks of all native threads and greenlets of this process, alike ones once, as text of many lines.

    It takes milliseconds for thousands of greenlets, during which nothing else runs.
    """
    return "\n\n".join([*_thread_stacks(), *_greenlet_stacks()]) + "\n"


def _thread_stacks() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in _thread_names()}
    for ident, frame in sys._current_frames().items():
        yield f"thread {escaped(str(names.get(ident, ident)))}:\n{_stack(frame)}"


def _greenlet_stacks() -> Iterator[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    with _nothing_frozen():  # by their types: isinstance asks proxies, too, and raises for those of dead objects
        found = [each for each in gc.get_objects() if issubclass(type(each), greenlet) and each.gr_frame is not None]
    for each in found:
        if each is not getcurrent() and (frame := each.gr_frame) is not None:
            alike[_stack(frame)].append(escaped(_name_of(each)))
    for stack, names in sorted(alike.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
        yield f"{len(names)} greenlet{'s' if len(names) > 1 else ''} ({shown}):\n{stack}"


def _stack(frame: FrameType) -> str:
    return "".join(traceback.format_stack(frame)).rstrip()


def _name_of(each: greenlet) -> str:
    """Its name, with the run that it executes, if it is a worker."""
    name = getattr(each, "name", None) or type(each).__name__
    context = each.gr_context
    for variable in context or ():
        if variable.name == "gsched_run" and context is not None:
            return f"{name} {context[variable].id}"
    return str(name)


@contextmanager
def _nothing_frozen() -> Iterator[None]:
    """The collector does not list what was frozen."""
    was_frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    try:
        yield
    finally:
        if was_frozen:
            gc.freeze()
