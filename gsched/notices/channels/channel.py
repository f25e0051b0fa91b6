"""What every channel offers, and the error that it raises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from gsched.errors import ConfigurationError, GschedError, message_of
from gsched.notices.message import Message

SECONDS: Final = 10.0  # a message that takes longer has failed
HIDDEN: Final = "***"


class ChannelError(GschedError):
    """A message could not be sent."""


class Channel(ABC):
    """Sends messages.

    :ivar secrets: texts that no error may show; they are masked
    """

    secrets: tuple[str, ...] = ()

    @abstractmethod
    def send(self, message: Message) -> None:
        """Send the message, within about ten seconds. The call may block its thread.

        :raises Exception: if the message could not be sent; the caller masks the secrets in the error's text
        """

    @abstractmethod
    def where(self) -> str:
        """Where messages go, without secrets."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where()}>"


class PerRunChannel(ABC):
    """Reports each run as it begins and ends, to a service that alerts when a report is missing."""

    secrets: tuple[str, ...] = ()

    @abstractmethod
    def report(self, state: str, run_id: str, text: str) -> None:
        """Report the state of a run. Raises as `Channel.send` does.

        :param state: "started", "succeeded", "failed", or "tested" for a test message
        :param text: why the run failed
        """

    @abstractmethod
    def where(self) -> str:
        """Where reports go, without secrets."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where()}>"


def error_words(error: BaseException, secrets: Iterable[str]) -> str:
    """The error's type and message, with a mask in place of these secrets."""
    words = message_of(error) if isinstance(error, ChannelError) else f"{type(error).__name__}: {message_of(error)}"
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for spelt in _spellings(secret):
            words = words.replace(spelt, HIDDEN)
    return words


def _spellings(secret: str) -> Iterable[str]:
    """The spellings of the secret that an error's text may have."""
    from base64 import b64encode
    from urllib.parse import quote

    encoded = secret.encode()
    return dict.fromkeys((secret, repr(secret)[1:-1], quote(secret, safe=""), b64encode(encoded).decode()))


def checked_text(what: str, value: object) -> str:
    """The value, a text of one line that is not empty. Raises ConfigurationError without the value, maybe a secret."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigurationError(f"{what}: expected a text of one line that is not empty")
    return value
