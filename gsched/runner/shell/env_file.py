"""Reads files with variables for commands, in the syntax of systemd's EnvironmentFile."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from gsched.errors import ConfigurationError
from gsched.files.rights import REMEDY, open_to_others
from gsched.files.text import read_text

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT: Final = re.compile(r"[#;][^\n]*")
_ASSIGNMENT: Final = re.compile(r"([^=\n]*)=")
_SINGLE: Final = re.compile(r"'([^']*)'")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN: Final = re.compile(r"(?:[^\n\\]|\\.)*", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED_IN_QUOTES: Final = re.compile(r'\\([\n"\\`$])')


def read_env_file(path: str) -> dict[str, str]:
    """The variables in a file, which is read with the rights of this process.

    :raises ConfigurationError: if other users may change the file, or it cannot be read, or a line is no assignment;
        the message names the file and the line, and shows no content
    """
    if not os.path.isabs(path):
        raise ConfigurationError(f"env_file: expected an absolute path, got {path!r}")
    if (reason := open_to_others(path)) is not None:
        raise ConfigurationError(f"env_file: {reason}: {REMEDY}")
    try:
        return dict(_variables(read_text(path), path))
    except ConfigurationError as error:
        raise ConfigurationError(f"env_file: {error}") from None


def _variables(text: str, path: str) -> Iterator[tuple[str, str]]:
    at = 0
    while (at := _after_blanks(text, at)) < len(text):
        if (comment := _COMMENT.match(text, at)) is not None:
            at = comment.end()
            continue
        found = _ASSIGNMENT.match(text, at)
        if found is None or not _NAME.fullmatch(name := found[1].rstrip()) or "\0" in text:
            raise _wrong(text, at, path, "expected NAME=VALUE, with a name of letters, digits and _")
        value, at = _value(text, found.end(), path)
        yield name, value


def _wrong(text: str, at: int, path: str, why: str) -> ConfigurationError:
    """The error about this place in the text. It shows no content, because the file may hold secrets."""
    number = text.count("\n", 0, at) + 1
    return ConfigurationError(f"{path}: line {number}: {why}")


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _value(text: str, at: int, path: str) -> tuple[str, int]:
    """The value that begins at `at`, and where it ends. Quoted parts may follow each other."""
    value = ""
    while True:
        while at < len(text) and text[at] in " \t\r":
            at += 1
        if (quoted := _SINGLE.match(text, at)) is not None:
            value += quoted[1]
        elif (quoted := _DOUBLE.match(text, at)) is not None:
            value += _ESCAPED_IN_QUOTES.sub(lambda found: found[1].replace("\n", ""), quoted[1])
        elif text.startswith(("'", '"'), at):
            raise _wrong(text, at, path, "the quotation mark is not closed")
        else:
            rest = _PLAIN.match(text, at)
            assert rest is not None, "it matches the empty text, too"
            return value + _unescaped(rest[0]), rest.end()
        at = quoted.end()


def _unescaped(text: str) -> str:
    """An unquoted value without its escapes.

    White space at the end is dropped unless it is escaped. A backslash at the end of a line joins the next line.
    """
    kept = re.fullmatch(r"((?:\\.|[^\\])*?)[ \t\r]*", text, re.DOTALL)
    return _ESCAPED.sub(lambda found: found[1].replace("\n", ""), text if kept is None else kept[1])
