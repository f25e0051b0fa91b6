"""What every channel offers, and the errors that it raises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from gsched.errors import ConfigurationError, GschedError, message_of
from gsched.notices.message import Message

SECONDS: Final = 10.0  # a message that is not sent by then has failed
HIDDEN: Final = "***"


class ChannelError(GschedError):
    """A message could not be sent."""


class Channel(ABC):
    """Sends messages.

    :ivar secrets: texts that no output may have: they are replaced in errors
    """

    secrets: tuple[str, ...] = ()

    @abstractmethod
    def send(self, message: Message) -> None:
        """Send it, in at most some ten seconds. It may block its thread.

        :raises Exception: if it could not be sent; whoever calls it puts the secrets out of the error's text
        """

    @abstractmethod
    def where(self) -> str:
        """Where messages go, as everybody may see it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where()}>"


class PerRunChannel(ABC):
    """Reports each run as it begins and ends, to a service that misses runs which do not begin or end."""

    secrets: tuple[str, ...] = ()

    @abstractmethod
    def report(self, state: str, run_id: str, text: str) -> None:
        """Report "started", "succeeded" or "failed"; raises as `Channel.send` does.

        :param text: why it failed
        """

    @abstractmethod
    def where(self) -> str:
        """Where reports go, as everybody may see it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where()}>"


def error_words(error: BaseException, secrets: Iterable[str]) -> str:
    """An error in words, without these secrets."""
    words = message_of(error) if isinstance(error, ChannelError) else f"{type(error).__name__}: {message_of(error)}"
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for spelt in _spellings(secret):
            words = words.replace(spelt, HIDDEN)
    return words


def _spellings(secret: str) -> Iterable[str]:
    """The secret as texts may have it."""
    from base64 import b64encode
    from urllib.parse import quote

    encoded = secret.encode()
    return dict.fromkeys((secret, repr(secret)[1:-1], quote(secret, safe=""), b64encode(encoded).decode()))


def checked_text(what: str, value: object) -> str:
    """A text that is not empty, in one line. Raises ConfigurationError, without the value: it may be a secret."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigurationError(f"{what}: expected a text in one line")
    return value
