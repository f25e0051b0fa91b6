"""Sends one message through a channel, within a bounded time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.monkey import is_module_patched

from gsched.event_loop.native_threads import NativeThreads
from gsched.notices.channels.channel import SECONDS, ChannelError, PerRunChannel, error_words
from gsched.notices.message import Composer
from gsched.notices.notice import Notice
from gsched.notices.notifier import Notifier

_threads: Final = NativeThreads(4)  # for programs that gevent has not patched


def carry_out(secrets: tuple[str, ...], call: Callable[..., None], *args: Any) -> None:
    """Call a method of a channel, for at most eleven seconds. Other greenlets go on meanwhile.

    :param secrets: the channel's secrets
    :raises ChannelError: if the method raises, or takes longer; the error shows no secret
    """
    late = gevent.Timeout(SECONDS + 1)
    try:
        with late:
            call(*args) if is_module_patched("socket") else _threads.call(call, *args)
    except gevent.Timeout as timeout:
        if timeout is not late:
            raise
        raise ChannelError(f"not sent within {SECONDS:.0f} s") from None
    except Exception as error:
        raise ChannelError(error_words(error, secrets)) from None


def send_test(notifier: Notifier, scheduler: str, public_url: str | None) -> None:
    """Send a test message, which shows that messages get through. Raises ChannelError."""
    channel = notifier.channel
    if isinstance(channel, PerRunChannel):
        carry_out(channel.secrets, channel.report, "tested", "", "a test")
    else:
        message = Composer(scheduler, _nothing, _nothing, public_url).test(notifier.name)
        carry_out(channel.secrets, channel.send, message)


def _nothing(notice: Notice) -> None:
    """A test message has no notice to explain."""
