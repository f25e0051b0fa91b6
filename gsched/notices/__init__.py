"""Notifications: who is told of failures, and how. See docs/notifications.md."""

from gsched.notices.channels.webhook import WebHook as WebHook, signature as signature
from gsched.notices.notifier import Notifier as Notifier

__all__ = ["Notifier", "WebHook", "signature"]
