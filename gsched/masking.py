"""Masks: which names are those of secrets, and what stands for the secrets that a text gives away."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "\u2022\u2022\u2022"

_NAMES: Final = (
    r"pass(?:word|wd|phrase)?|pwd|secrets?|tokens?|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|"
    r"auth(?:orization)?|credentials?|cookies?|set[_-]cookie|session[_-]?id|dsn|connection[_-]?string|bearer|signature"
)
# A name has one of these words at its end, or as a word of its own: db_password, passwordFile, X-Api-Key.
_SECRET_NAME: Final = re.compile(rf"(?:^|[^a-z])(?:{_NAMES})(?:$|[^a-z])", re.IGNORECASE)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# In a text: a URL's user and password; NAME=VALUE, NAME: VALUE and --NAME VALUE; the credentials of HTTP.
_QUOTED: Final = r"(?P<quote>[\"'])(?:[^\"'\\]|\\.)*(?P=quote)"
_BEFORE: Final = rf"(?P<before>(?<![a-z])(?:[a-z0-9]+[_-])*(?:{_NAMES})(?:[_-][a-z0-9]+)*\\?[\"']?(?:\s*[=:]\s*|%3d))"
_FLAG: Final = rf"(?P<before>--?(?:[a-z0-9]+-)*(?:{_NAMES})\s+)"
_IN_TEXT: Final = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"'?#]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"\b(bearer|basic|digest)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(_BEFORE + _QUOTED, re.IGNORECASE), rf"\g<before>\g<quote>{MASK}\g<quote>"),
    (re.compile(rf"{_BEFORE}(?!(?:bearer|basic|digest)\s)[^\s,;&}}\])\"']+", re.IGNORECASE), rf"\g<before>{MASK}"),
    (re.compile(_FLAG + _QUOTED, re.IGNORECASE), rf"\g<before>\g<quote>{MASK}\g<quote>"),
    (re.compile(rf"{_FLAG}[^\s\"'-]\S*", re.IGNORECASE), rf"\g<before>{MASK}"),
)
# A text without any of these words has nothing that the patterns above find. Most texts are such.
_HINT: Final = re.compile(rf"://|basic|digest|{_NAMES}", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """True for the name of a secret."""
    return _SECRET_NAME.search(_CAMEL.sub("_", name)) is not None


def without_secrets(text: str) -> str:
    """The text, with a mask in place of the secrets that it gives away."""
    if _HINT.search(text) is None:
        return text
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
