"""Users of the web: who asks, and what they may do."""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gsched.errors import ConfigurationError
from gsched.jobs.pause_document import LONGEST_NAME
from gsched.web.address import is_loopback

PERMISSIONS: Final = ("view", "run", "pause", "edit", "remove", "cancel", "drain")
ANONYMOUS: Final = "anonymous"  # the name of users whom nobody has asked for theirs

Environ = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Who makes a request. The audit and pauses show the name.

    :ivar may: what they may do, of PERMISSIONS; default: everything
    :raises ConfigurationError: for a permission that does not exist
    """

    name: str
    may: frozenset[str] = field(default=frozenset(PERMISSIONS))

    def __post_init__(self) -> None:
        object.__setattr__(self, "may", frozenset(self.may))
        object.__setattr__(self, "name", self.name.strip()[:LONGEST_NAME] or ANONYMOUS)
        if unknown := self.may - set(PERMISSIONS):
            raise ConfigurationError(f"may: {', '.join(sorted(unknown))}: the permissions are {', '.join(PERMISSIONS)}")


Authorize = Callable[[Environ], User | None]
"""Gives the user who makes a WSGI request; None: nobody who is known."""


def on_this_machine(environ: Environ) -> User | None:
    """Accepts everybody on this machine whose request came through no proxy, and nobody else."""
    if is_loopback(environ.get("REMOTE_ADDR", "")) and not is_forwarded(environ):
        return User(ANONYMOUS)
    return None


def is_forwarded(environ: Environ) -> bool:
    """True if a header shows that a proxy has forwarded the request."""
    return any(name in environ for name in ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP"))


def known_by_token(token: str) -> Authorize:
    """Users who send the token: as the password of HTTP Basic, with their name, or as a Bearer."""
    wanted = token.encode()

    def authorize(environ: Environ) -> User | None:
        kind, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() == "bearer":
            name, password = "token", given.strip().encode("latin-1", "replace")
        elif kind.lower() == "basic":
            name, password = _basic(given)
        else:
            return None
        return User(name) if hmac.compare_digest(password, wanted) else None

    return authorize


def _basic(given: str) -> tuple[str, bytes]:
    """Name and password of HTTP Basic; no password if they cannot be read."""
    try:
        name, _, password = b64decode(given, validate=True).partition(b":")
    except ValueError:
        return "", b""
    return name.decode(errors="replace"), password


def known_by_header(header: str) -> Authorize:
    """Users whose name a proxy on this machine sends in this header."""
    key = f"HTTP_{header.upper().replace('-', '_')}"

    def authorize(environ: Environ) -> User | None:
        name = environ.get(key, "").strip()
        return User(name) if name and is_loopback(environ.get("REMOTE_ADDR", "")) else None

    return authorize


def first_known(*ways: Authorize) -> Authorize:
    """Users who are known in one of these ways."""
    return lambda environ: next(filter(None, (way(environ) for way in ways)), None)
