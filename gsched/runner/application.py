"""The application: a scheduler, a function that makes one, or a module whose import is all that is wanted."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from gsched.errors import ConfigurationError
from gsched.runner.patching import patch
from gsched.scheduler import GeventScheduler


def load_application(name: str) -> GeventScheduler | None:
    """Import "package.module:name" and give the scheduler that it is or makes; None for a module without one.

    The working directory is looked in, as by `python -m`. The process is patched first.

    Raises ConfigurationError, which says what went wrong where, without a traceback of ours.
    """
    patch()
    if (here := str(Path.cwd())) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module_name)
        for step in attribute.split(".") if attribute else ():
            found = getattr(found, step)
        if callable(found) and not isinstance(found, GeventScheduler):
            found = found()
    except Exception as error:  # an application may raise anything
        raise ConfigurationError(f"app {name!r}: {type(error).__name__}: {error}") from error
    if isinstance(found, GeventScheduler):
        return found
    if not attribute:
        return None
    raise ConfigurationError(f"app {name!r}: expected a GeventScheduler or a function that makes one, got {found!r}")
