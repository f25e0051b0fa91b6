"""The URL of a MongoDB: checks it, and gives the part that may be shown, without passwords and values of options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from gsched.errors import ConfigurationError

PASSWORD_REMEDY: Final = "name the URL in GSCHED_STORE or in a configuration file that only this user can read"
_SCHEMES: Final = ("mongodb://", "mongodb+srv://")
_HOST: Final = r"(?:[\w.%~-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?"
_URL: Final = re.compile(
    rf"(?P<scheme>mongodb(?:\+srv)?://)(?:(?P<user>[^@/?#]*)@)?(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?P<database>/[^/?#@]*)?(?:\?(?P<options>.*))?",
    re.DOTALL,
)
_SECRET_OPTIONS: Final = ("tlscertificatekeyfilepassword", "authmechanismproperties")
_NOT_UNDERSTOOD: Final = "(a URL that is not understood)"


def shown_url(url: str) -> str:
    """The URL's scheme, hosts and database, and its options' names."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return _NOT_UNDERSTOOD
    names = "&".join(name for name, _ in _options(parts["options"]))
    return f"{parts['scheme']}{parts['hosts']}{parts['database'] or ''}{f'?{names}' if names else ''}"


def has_password(url: str) -> bool:
    """True if the URL seems to have a secret in it."""
    parts = _URL.fullmatch(url)
    if parts is None:
        return "@" in url
    named = {name.lower() for name, _ in _options(parts["options"])}
    return ":" in (parts["user"] or "") or not named.isdisjoint(_SECRET_OPTIONS)


def check_url(url: str, where: str) -> None:
    """Refuse a URL with a mistake that PyMongo would read as a host's name, and options that PyMongo does not know.

    :param where: names the place of the URL in the error
    :raises ConfigurationError: for such a URL; the error shows no part that may be secret
    """
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import split_options

    if not url.startswith(_SCHEMES):
        raise ConfigurationError(f"{where}: expected mongodb://..., mongodb+srv://... or sqlite:///FILE")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ConfigurationError(
            f"{where}: the URL is not mongodb://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE&...; in user and password, "
            "write / : ? # [ ] @ % as %2F %3A %3F %23 %5B %5D %40 %25"
        )
    for name, value in _options(parts["options"]):
        try:
            split_options(f"{name}={value}")
        except (PyMongoError, ValueError, OSError) as error:  # OSError: of files for TLS
            said = str(error).replace(" or maybe a camelCase version of one? Refer to docstring.", "?")
            raise ConfigurationError(f"{where}: the URL's option {name!r}: {_without(value, said)}") from None


def _options(text: str | None) -> Iterator[tuple[str, str]]:
    for option in filter(None, re.split("[&;]", text or "")):
        name, equals, value = option.partition("=")
        yield (name if equals and name.isidentifier() else "?"), value


def _without(value: str, said: str) -> str:
    for form in (value, unquote(value), value.lower()):
        said = said.replace(form, "***") if form else said
    return said
