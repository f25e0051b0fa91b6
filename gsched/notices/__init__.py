"""Notifications: sends messages about failures, by mail, a web hook and other channels. See docs/notifications.md.

Names are imported when they are used: each store keeps notices, and few programs send any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.lazy_names import lazy_names

if TYPE_CHECKING:
    from gsched.notices.channels.mail import Mail as Mail, Sendmail as Sendmail
    from gsched.notices.channels.ping import Ping as Ping
    from gsched.notices.channels.program import Command as Command
    from gsched.notices.channels.sentry import Sentry as Sentry
    from gsched.notices.channels.webhook import WebHook as WebHook, signature as signature
    from gsched.notices.notifier import Notifier as Notifier
    from gsched.notices.status import NotifierStatus as NotifierStatus

__all__ = ["Command", "Mail", "Notifier", "NotifierStatus", "Ping", "Sendmail", "Sentry", "WebHook", "signature"]

__getattr__ = lazy_names(__name__, {
    "Command": "gsched.notices.channels.program",
    "Mail": "gsched.notices.channels.mail",
    "Notifier": "gsched.notices.notifier",
    "NotifierStatus": "gsched.notices.status",
    "Ping": "gsched.notices.channels.ping",
    "Sendmail": "gsched.notices.channels.mail",
    "Sentry": "gsched.notices.channels.sentry",
    "WebHook": "gsched.notices.channels.webhook",
    "signature": "gsched.notices.channels.webhook",
})
