"""Reads a long array in a JSON file item by item: 10^5 jobs need not be in memory at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, Final

_CHUNK: Final = 1 << 16
_SEPARATOR: Final = re.compile(r"\s*([,\]])\s*")
_END: Final = re.compile(r"\s*\}\s*$")


def items_of(file: IO[str], opening: re.Pattern[str]) -> Iterator[Any] | None:
    """The items of the array in an object, which begins as `opening` matches and ends with the array.

    None if it begins otherwise; the file's position has changed then. The items raise ValueError where there is no
    JSON.
    """
    text = file.read(_CHUNK)
    begin = opening.match(text)
    return None if begin is None else _items(file, text[begin.end() :])


def _items(file: IO[str], text: str) -> Iterator[Any]:
    decoder, separator = json.JSONDecoder(), "["
    text = text.lstrip()
    while separator != "]":
        try:
            if separator == "[" and text.startswith("]"):
                item, at = None, 0
            else:
                item, at = decoder.raw_decode(text)
            following = _SEPARATOR.match(text, at)
            if following is None or (following.end() == len(text) and following[1] == ","):
                raise ValueError("something is missing after an item")
        except ValueError:
            more = file.read(max(_CHUNK, len(text)))  # ever larger, for an item that is long
            if not more:
                raise
            text += more
            continue
        if at:
            yield item
        separator, text = following[1], text[following.end() :]
    if not _END.match(text + file.read()):
        raise ValueError("the array is not the last of the object")
