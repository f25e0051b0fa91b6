"""The main module of a program in its worker processes: it is imported up to where its scheduler begins to work."""

from __future__ import annotations

import sys
from traceback import walk_tb
from types import ModuleType
from typing import Any, Final

_NAME = "__mp_main__"  # what multiprocessing calls it in a worker
_HINT: Final = (
    "; a worker process imports the main module up to where its scheduler starts or looks into a database: define the"
    " function above, or put what starts the scheduler under if __name__ == '__main__':"
)
_importing = False
_has_ended_early = False


class SchedulerBegins(BaseException):
    """Ends the import of the main module in a worker. No Exception, so that the module does not catch it."""


def end_import() -> None:
    """Called when a scheduler is about to start, or to look into a database. In a worker it does neither."""
    if _importing:
        raise SchedulerBegins


def import_main_module(preparation: dict[str, Any]) -> None:
    """Take over the parent's arguments, directory and main module, whose functions jobs may name.

    Functions that are defined below the place where the scheduler begins are not there.
    """
    global _importing
    from multiprocessing import spawn

    _importing = True
    try:
        spawn.prepare(preparation)
    except SchedulerBegins as end:
        _keep_what_is_there(end)
    finally:
        _importing = False


def hint(error: Exception) -> str:
    """The end of a message about a function that cannot be found: why the main module may lack it."""
    return _HINT if _has_ended_early and "__main__" in str(error) else ""


def _keep_what_is_there(end: SchedulerBegins) -> None:
    """Finish what `spawn.prepare` was about to do."""
    global _has_ended_early
    _has_ended_early = True
    for frame, _ in walk_tb(end.__traceback__):
        if frame.f_globals.get("__name__") == _NAME:
            main = ModuleType(_NAME)
            main.__dict__.update(frame.f_globals)
            sys.modules["__main__"] = sys.modules[_NAME] = main
            return
