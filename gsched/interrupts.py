"""Ctrl-C: it may find the program in any greenlet, and is for the main one."""

from __future__ import annotations

from gevent import get_hub


def was_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C: then it is raised in the main greenlet."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    get_hub().loop.run_callback(get_hub().handle_system_error, type(error), error)
    return True
