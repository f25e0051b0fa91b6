"""Greenlets that help: the one way to start them, so that no error of theirs is dropped."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import gevent

from gsched.errors import message_of
from gsched.interrupts import was_interrupt
from gsched.log_lines import logger_for

OnError = Callable[[BaseException], object]


def spawn(call: Callable[..., object], *args: Any, on_error: OnError | None = None) -> gevent.Greenlet:
    """Run `call(*args)` in a greenlet, whose value is what that returns; None after an error.

    :param on_error: called in the greenlet with what ended the call; default: it is logged, as `helper.failed`.
        A Ctrl-C is passed on to the main greenlet instead, and a killed greenlet ends without an error
    """
    return gevent.spawn(_reporting, call, args, on_error)


def _reporting(call: Callable[..., object], args: tuple[Any, ...], on_error: OnError | None) -> object:
    try:
        return call(*args)
    except gevent.GreenletExit:
        raise
    except BaseException as error:  # SystemExit of a helper must not end the program either
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
