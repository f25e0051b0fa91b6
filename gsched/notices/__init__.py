"""Notifications: sends messages about failures, by mail, a web hook and other channels. See docs/notifications.md.

Names are imported when they are used: each store keeps notices, and few programs send any.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gsched.notices.channels.mail import Mail as Mail, Sendmail as Sendmail
    from gsched.notices.channels.ping import Ping as Ping
    from gsched.notices.channels.program import Command as Command
    from gsched.notices.channels.sentry import Sentry as Sentry
    from gsched.notices.channels.webhook import WebHook as WebHook, signature as signature
    from gsched.notices.notifier import Notifier as Notifier
    from gsched.notices.status import NotifierStatus as NotifierStatus

__all__ = ["Command", "Mail", "Notifier", "NotifierStatus", "Ping", "Sendmail", "Sentry", "WebHook", "signature"]

_HOMES: Final = {
    "Command": "channels.program",
    "Mail": "channels.mail",
    "Notifier": "notifier",
    "NotifierStatus": "status",
    "Ping": "channels.ping",
    "Sendmail": "channels.mail",
    "Sentry": "channels.sentry",
    "WebHook": "channels.webhook",
    "signature": "channels.webhook",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
