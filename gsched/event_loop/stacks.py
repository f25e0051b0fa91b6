"""The stacks of all greenlets and threads: for USR1, `gsched dump` and the probe's /stacks."""

from __future__ import annotations

import gc
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator
from types import FrameType
from weakref import ref

from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from gsched.wording import escaped

_thread_names = get_original("threading", "enumerate")


def stacks_text() -> str:
    """The stacks of all native threads and greenlets of this process, as text. Greenlets with equal stacks share one.

    It takes milliseconds for thousands of greenlets, during which nothing else runs.
    """
    return "\n\n".join([*_thread_stacks(), *_greenlet_stacks()]) + "\n"


def _thread_stacks() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in _thread_names()}
    for ident, frame in sys._current_frames().items():
        yield f"thread {escaped(str(names.get(ident, ident)))}:\n{_stack(frame)}"


def freeze_heap() -> None:
    """Freeze all objects of the garbage collector. It does not list frozen objects, so their greenlets are kept here.

    It takes 70 ms for a million objects.
    """
    _frozen[:] = [ref(each) for each in _all_greenlets()]
    gc.freeze()


_frozen: list[ref[greenlet]] = []  # no WeakSet: a greenlet's class may define equality


def _all_greenlets() -> list[greenlet]:
    """The frozen greenlets, and those that the collector lists."""
    kept = [each for each in (reference() for reference in _frozen) if each is not None]
    return kept + _listed_greenlets()


def _listed_greenlets() -> list[greenlet]:
    """By their types: isinstance calls into proxies, too, and raises for proxies of dead objects."""
    listed = gc.get_objects()
    kinds = {kind for kind in set(map(type, listed)) if issubclass(kind, greenlet)}
    return [each for each in listed if type(each) in kinds]


def _greenlet_stacks() -> Iterator[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    for each in _all_greenlets():
        if each is not getcurrent() and (frame := each.gr_frame) is not None:
            alike[_stack(frame)].append(escaped(_name_of(each)))
    for stack, names in sorted(alike.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
        yield f"{len(names)} greenlet{'s' if len(names) > 1 else ''} ({shown}):\n{stack}"


def _stack(frame: FrameType) -> str:
    return "".join(traceback.format_stack(frame)).rstrip()


def _name_of(each: greenlet) -> str:
    """The name of a greenlet; for a worker, with the run that it executes."""
    name = getattr(each, "name", None) or type(each).__name__
    context = each.gr_context
    for variable in context or ():
        if variable.name == "gsched_run" and context is not None:
            return f"{name} {context[variable].id}"
    return str(name)
