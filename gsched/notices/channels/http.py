"""Posts one HTTP request: certificates are checked, and redirects are not followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from gsched.errors import ConfigurationError
from gsched.notices.channels.channel import SECONDS, ChannelError, checked_text

if TYPE_CHECKING:
    from http.client import HTTPConnection

_MOST_READ: Final = 65_536  # bytes of an answer
_MOST_SHOWN: Final = 200  # characters of an answer in an error
_LEAST_SECRET: Final = 8  # characters; a shorter path is no secret


class Target(NamedTuple):
    """Where requests go.

    :ivar secret: the whole URL. A person who knows the URL of a web hook can post to it
    """

    is_tls: bool
    host: str
    port: int | None
    path: str
    secret: str

    def with_path(self, suffix: str, query: str = "") -> Target:
        """This target with a suffix at the end of its path."""
        path, _, own = self.path.partition("?")
        both = "&".join(filter(None, (own, query)))
        return self._replace(path=f"{path.rstrip('/')}{suffix}{'?' if both else ''}{both}")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that no error may show."""
        return (self.secret, *([self.path] if len(self.path) >= _LEAST_SECRET else []))


def target_of(what: str, url: object) -> Target:
    """The target that a URL names. Raises ConfigurationError, without the URL, unless it is an HTTP URL."""
    checked_text(what, url)
    try:
        parts = urlsplit(str(url))
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{what}: expected a URL, such as https://example.com/hook") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{what}: expected a URL that begins with https:// or http://")
    if parts.username is not None or parts.fragment or not str(url).isascii() or " " in str(url):
        raise ConfigurationError(f"{what}: expected a URL in ASCII, without a user, a fragment or a space")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", parts.hostname, port, path, str(url))


def post(target: Target, body: bytes, headers: Mapping[str, str], ca_file: str | None = None) -> None:
    """Post the body. Raises ChannelError unless the answer's status is 2xx.

    :param ca_file: certificates to trust in place of the system's
    """
    from gsched import __version__

    connection = _connection(target, ca_file)
    try:
        connection.request("POST", target.path, body, {"User-Agent": f"gsched/{__version__}", **headers})
        answer = connection.getresponse()
        said = answer.read(_MOST_READ)
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        shown = " ".join(said.decode(errors="replace").split())[:_MOST_SHOWN]
        moved = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        raise ChannelError(f"{target.host} answered {answer.status}{moved}{f': {shown}' if shown else ''}")


def _connection(target: Target, ca_file: str | None) -> HTTPConnection:
    from http.client import HTTPConnection, HTTPSConnection  # few programs need it

    if not target.is_tls:
        return HTTPConnection(target.host, target.port, timeout=SECONDS)
    return HTTPSConnection(target.host, target.port, timeout=SECONDS, context=tls_context(ca_file))


def tls_context(ca_file: str | None) -> Any:
    """A TLS context that checks a server's certificate and name."""
    import ssl  # few programs need it

    return ssl.create_default_context(cafile=ca_file)
