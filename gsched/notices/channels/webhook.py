"""Web hooks: posts messages as JSON to the URL of a program, or of Slack, Teams or Discord."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from gsched.errors import ConfigurationError
from gsched.notices.channels.channel import Channel, checked_text
from gsched.notices.channels.http import post, target_of
from gsched.notices.message import Message
from gsched.times.clock import Clock, SystemClock
from gsched.wording import did_you_mean

TIMESTAMP: Final = "X-Gsched-Timestamp"
SIGNATURE: Final = "X-Gsched-Signature"


class WebHook(Channel):
    """Posts each message as JSON to a URL.

    With a `secret`, requests are signed: the receiver compares the header X-Gsched-Signature with what `signature`
    makes of the secret, the header X-Gsched-Timestamp and the body.

    :param url: the URL; logs and errors show only its host
    :param secret: the key of the signature; None: requests are not signed
    :param template: who reads the messages: "json" (a program, see docs/notifications.md), "slack", "teams" or
        "discord"
    :param ca_file: a file with the certificates to trust, in place of the system's
    :param clock: gives the timestamps; None: the system's clock
    :raises ConfigurationError: if an argument is wrong; the error names the argument
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | None = None,
        template: str = "json",
        ca_file: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if template not in _TEMPLATES:
            hint = did_you_mean(template, _TEMPLATES) or f"; there are {', '.join(_TEMPLATES)}"
            raise ConfigurationError(f"template: {template!r} is unknown{hint}")
        self._target = target_of("url", url)
        self._secret = None if secret is None else checked_text("secret", secret)
        self._write = _TEMPLATES[template]
        self._ca_file = ca_file
        self._clock = clock or SystemClock()
        self.secrets = (*self._target.secrets, self._secret or "")

    def send(self, message: Message) -> None:
        body = json.dumps(self._write(message)).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            timestamp = str(self._clock.now_ms() // 1000)
            headers |= {TIMESTAMP: timestamp, SIGNATURE: signature(self._secret, timestamp, body)}
        post(self._target, body, headers, self._ca_file)

    def where(self) -> str:
        return self._target.host


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The header X-Gsched-Signature that a request of a `WebHook` must have. Compare both by `hmac.compare_digest`.

    It is "sha256=" and, in hexadecimal digits, the HMAC-SHA256 of the timestamp, a "." and the body.

    :param secret: the secret of the `WebHook`
    :param timestamp: the request's header X-Gsched-Timestamp, in seconds since the epoch
    :param body: the request's body, as it was received
    """
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _json(message: Message) -> Mapping[str, Any]:
    return {
        "version": 1,
        "scheduler": message.scheduler,
        "notifier": message.notifier,
        "event": message.event,
        "subject": message.subject,
        "text": message.text,
        "url": message.url,
        "notices": list(message.notices),
    }


def _slack(message: Message) -> Mapping[str, Any]:
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # else <!channel> calls all
    return {"text": text[:3900], "unfurl_links": False, "mrkdwn": False}


def _teams(message: Message) -> Mapping[str, Any]:
    paragraphs = [part for part in message.text.split("\n") if part][:30]
    lines = [{"type": "TextBlock", "text": _plain(part), "wrap": True} for part in paragraphs]
    lines[0] |= {"weight": "bolder"}
    card = {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4"}
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {**card, "body": lines}}
    return {"type": "message", "attachments": [content]}


def _plain(text: str) -> str:
    """The text with each character of Markdown escaped."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>#" else character for character in text)


def _discord(message: Message) -> Mapping[str, Any]:
    return {"content": message.text[:1900], "allowed_mentions": {"parse": []}}  # else @everyone calls all


_TEMPLATES: Final[Mapping[str, Callable[[Message], Mapping[str, Any]]]] = {
    "json": _json,
    "slack": _slack,
    "teams": _teams,
    "discord": _discord,
}
