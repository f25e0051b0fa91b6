"""Names of databases and collections: what the server would refuse is refused before it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gsched.errors import ConfigurationError

_THE_SERVERS_OWN: Final = ("admin", "config", "local")  # without change streams, and partly without replication
_LONGEST_DATABASE: Final = 63  # bytes
_LONGEST_TOGETHER: Final = 255
_LONGEST_SUFFIX: Final = ".activity"  # of the collections beside that of the jobs


def check_names(database: Any, collection: Any) -> None:
    """Raise ConfigurationError for names that cannot be used."""
    for what, name in (("database", database), ("collection", collection)):
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"mongodb: {what}: expected a name, got {name!r}")
    for reason in _wrong_with_database(database):
        raise ConfigurationError(f"mongodb: database: {reason}, got {database!r}")
    for reason in _wrong_with_collection(database, collection):
        raise ConfigurationError(f"mongodb: collection: {reason}, got {collection!r}")


def _wrong_with_database(name: str) -> Iterator[str]:
    if set(' ./\\"$\0') & set(name):
        yield r"expected a name without spaces and any of ./\"$"
    if name in _THE_SERVERS_OWN:
        yield "expected one of yours: it is the server's own; name another as database="
    if len(name.encode(errors="replace")) > _LONGEST_DATABASE:
        yield f"expected at most {_LONGEST_DATABASE} bytes"


def _wrong_with_collection(database: str, name: str) -> Iterator[str]:
    if set("$\0") & set(name):
        yield "expected a name without $"
    if "" in name.split("."):
        yield "expected text before, between and after dots"
    if name.startswith("system."):
        yield "expected one of yours: system. begins the server's own"
    longest = _LONGEST_TOGETHER - len(f"{database}.{_LONGEST_SUFFIX}".encode(errors="replace"))
    if len(name.encode(errors="replace")) > longest:
        yield f"expected at most {longest} bytes"
