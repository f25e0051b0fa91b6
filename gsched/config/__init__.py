"""Configuration of the runner and the command line: flags over environment over gsched.toml."""

from __future__ import annotations

from gsched.config.reading import read_again, read_configuration, with_flags
from gsched.config.settings import Configuration, Setting, settings

__all__ = ["Configuration", "Setting", "read_again", "read_configuration", "settings", "with_flags"]
