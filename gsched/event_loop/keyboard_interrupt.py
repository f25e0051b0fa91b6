"""Ctrl-C: Python may raise it in any greenlet, and it is passed on to the main one."""

from __future__ import annotations

from gevent import get_hub


def was_interrupt(error: BaseException) -> bool:
    """True for a Ctrl-C, which is then raised in the main greenlet."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    get_hub().loop.run_callback(get_hub().handle_system_error, type(error), error)
    return True
