"""Work that goes on beside the calls of a program, wherever there is room for it."""

from __future__ import annotations

from collections.abc import Callable

from gsched.event_loop.helpers import spawn
from gsched.event_loop.slices import has_event_loop
from gsched.event_loop.threads import start_native_thread


def run_beside(work: Callable[[], object]) -> None:
    """Do the work beside the caller: in a greenlet, or in a native thread if no event loop turns in this one."""
    if has_event_loop():
        spawn(work)
    else:
        start_native_thread(work)
