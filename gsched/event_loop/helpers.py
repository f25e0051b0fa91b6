"""Helper greenlets: the one way to start them, so that none of their errors is dropped."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import gevent

from gsched.errors import message_of
from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.event_loop.log_lines import logger_for

OnError = Callable[[BaseException], object]


def spawn(call: Callable[..., object], *args: Any, on_error: OnError | None = None) -> gevent.Greenlet:
    """Run `call(*args)` in a greenlet. The greenlet's value is the result of the call, or None after an error.

    :param on_error: called in the greenlet with the error; default: the error is logged, as `helper.failed`.
        A Ctrl-C is passed on to the main greenlet instead, and a killed greenlet ends without an error
    """
    return gevent.spawn(_reporting, call, args, on_error)


def _reporting(call: Callable[..., object], args: tuple[Any, ...], on_error: OnError | None) -> object:
    try:
        return call(*args)
    except gevent.GreenletExit:
        raise
    except BaseException as error:  # nor may SystemExit of a helper end the program
        if not was_interrupt(error):
            _log(call, error) if on_error is None else on_error(error)
        return None


def _log(call: Callable[..., object], error: BaseException) -> None:
    logger = logger_for("error")
    if logger is not None:
        logger.error(
            "helper.failed",
            helper=getattr(call, "__qualname__", repr(call)),
            error_type=type(error).__name__,
            error_message=message_of(error),
            traceback="".join(traceback.format_exception(error)),
        )
