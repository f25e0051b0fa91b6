"""Configuration of the runner and the command line. Flags win over the environment, and that over gsched.toml."""

from __future__ import annotations

from gsched.config.reading import (
    comes_from_file,
    origin,
    read_again,
    read_configuration,
    read_what_is_right,
    taken_over,
    with_flags,
)
from gsched.config.settings import Configuration, Setting, settings

__all__ = [
    "Configuration", "Setting", "comes_from_file", "origin", "read_again", "read_configuration", "read_what_is_right",
    "settings", "taken_over", "with_flags",
]  # fmt: skip
