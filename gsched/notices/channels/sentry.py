"""Sentry: reports messages as its events, and nothing else of the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from gsched.errors import ConfigurationError
from gsched.notices.channels.channel import Channel, checked_text
from gsched.notices.channels.http import Target, post, target_of
from gsched.notices.message import Message
from gsched.notices.notice import OUTPUT, RECOVERED

_MISSING = "sentry-sdk is not installed: pip install 'gsched[sentry]'"


class Sentry(Channel):
    """Reports messages to Sentry as events. It does not call `sentry_sdk.init`, and reports no other errors.

    :param dsn: the DSN of the project at Sentry; logs and errors show only its host
    :param environment: what Sentry shows as the environment, such as "production"
    :param ca_file: a file with the certificates to trust, in place of the system's
    :raises ConfigurationError: if an argument is wrong, or sentry-sdk is not installed
    """

    def __init__(self, dsn: str, *, environment: str | None = None, ca_file: str | None = None) -> None:
        checked_text("dsn", dsn)
        try:
            from sentry_sdk.utils import BadDsn, Dsn  # few programs need it
        except ImportError:
            raise ConfigurationError(_MISSING) from None
        try:
            place = Dsn(dsn)
        except BadDsn:
            raise ConfigurationError("dsn: expected a DSN of Sentry, such as https://KEY@HOST/PROJECT") from None
        auth = place.to_auth("gsched")
        self._target: Target = target_of("dsn", auth.get_api_url())
        self._headers = {"X-Sentry-Auth": auth.to_header(), "Content-Type": "application/x-sentry-envelope"}
        self._environment = None if environment is None else checked_text("environment", environment)
        self._ca_file = ca_file
        self.secrets = (dsn, place.public_key, place.secret_key or "")

    def send(self, message: Message) -> None:
        from sentry_sdk.envelope import Envelope

        event_id = uuid4().hex
        envelope = Envelope(headers={"event_id": event_id})
        envelope.add_event({"event_id": event_id, **_event(message, self._environment)})  # type: ignore[typeddict-item]
        post(self._target, envelope.serialize(), self._headers, self._ca_file)

    def where(self) -> str:
        return self._target.host


def _event(message: Message, environment: str | None) -> dict[str, Any]:
    """The message as an event of Sentry. Events with the same job and type of error become one issue there."""
    notice: Mapping[str, Any] = message.notices[0] if len(message.notices) == 1 else {}
    tags = {"scheduler": message.scheduler, "event": message.event, "job_id": notice.get("job_id")}
    event: dict[str, Any] = {
        "platform": "python",
        "logger": "gsched",
        "level": "info" if message.event in (RECOVERED, OUTPUT, "test") else "error",
        "message": {"formatted": message.text},
        "tags": {name: value for name, value in tags.items() if value},
        "fingerprint": ["gsched", message.event, str(notice.get("job_id")), str(notice.get("error_type"))],
        "extra": {"notices": list(message.notices[:20]), "url": message.url},
    }
    if environment is not None:
        event["environment"] = environment
    if notice.get("error_type"):
        event["exception"] = {"values": [{"type": notice["error_type"], "value": notice.get("text") or ""}]}
    return event
