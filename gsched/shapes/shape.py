"""A shape: the keys of a JSON object, and how each value is read from an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

Shape = Mapping[str, Callable[[Any], Any]]


def fields(*names: str) -> dict[str, Callable[[Any], Any]]:
    """A shape whose values are the item's attributes with these names."""
    return {name: attrgetter(name) for name in names}


def as_object(shape: Shape, item: Any) -> dict[str, Any]:
    """The item as a JSON object."""
    return {name: as_json(read(item)) for name, read in shape.items()}


def as_json(value: Any) -> Any:
    """A value in JSON's types: times as ISO 8601, durations as seconds, and values without a form in JSON as a repr."""
    if value is None or isinstance(value, (str, int, float)):  # most are, and lists have thousands
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [as_json(each) for each in value]
    return repr(value)
