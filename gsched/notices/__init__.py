"""Notifications: who is told of failures, and how. See docs/notifications.md."""

from gsched.notices.channels.mail import Mail as Mail, Sendmail as Sendmail
from gsched.notices.channels.ping import Ping as Ping
from gsched.notices.channels.program import Command as Command
from gsched.notices.channels.sentry import Sentry as Sentry
from gsched.notices.channels.webhook import WebHook as WebHook, signature as signature
from gsched.notices.notifier import Notifier as Notifier

__all__ = ["Command", "Mail", "Notifier", "Ping", "Sendmail", "Sentry", "WebHook", "signature"]
