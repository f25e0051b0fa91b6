"""Text files that people write, with any editor on any system."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Final

from gsched.errors import ConfigurationError

_OTHER_MARKS: Final = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_text(file: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file, without the byte order mark that some editors put first.

    :raises ConfigurationError: naming the file, if it cannot be read; and the line, if that is not UTF-8
    """
    return _strict(read_text_with_bytes(file), file)


def read_text_with_bytes(file: str | os.PathLike[str]) -> str:
    """As `read_text`, but bytes that are not UTF-8 stay in the text, as Python's surrogateescape has them."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from error
    return text_with_bytes(content, file)


def text_with_bytes(content: bytes, file: object) -> str:
    """The text in these bytes: see `read_text_with_bytes`. Raises ConfigurationError for UTF-16."""
    for mark, name in _OTHER_MARKS.items():
        if content.startswith(mark):
            raise ConfigurationError(f"{file}: {name} text; save the file as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")


def check_encoding(line: str) -> None:
    """Raises ConfigurationError, naming the first byte that is not UTF-8, if there is one in the line."""
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte, column = ord(line[error.start]) - 0xDC00, error.start + 1
        raise ConfigurationError(f"byte 0x{byte:02x} in column {column} is not UTF-8; save the file as UTF-8") from None


def shown(line: str) -> str:
    """The line, fit to be shown: U+FFFD stands for each of these bytes."""
    return line.encode(errors="surrogateescape").decode(errors="replace")


def _strict(text: str, file: object) -> str:
    for number, line in enumerate(text.split("\n"), 1):
        try:
            check_encoding(line)
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: line {number}: {error}") from None
    return text
