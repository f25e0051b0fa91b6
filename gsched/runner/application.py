"""The application: a scheduler, a function that makes one, or a module that is only imported."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import gsched.errors
from gsched.errors import ConfigurationError, GschedError, StoreError
from gsched.event_loop.patch import patch_all
from gsched.files.rights import REMEDY, ROOT, open_to_others
from gsched.jobs.funcref import resolve
from gsched.schedulers.gevent import GeventScheduler
from gsched.wording import did_you_mean

imported: Final[set[str]] = set()
"""The users' code that this process has imported: applications, and functions that files declare."""

_OURS: Final = str(Path(gsched.errors.__file__).parent) + os.sep
_OTHERS: Final = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def load_application(name: str) -> GeventScheduler | None:
    """Patch the process, and import "package.module:name". Gives the scheduler that the name is or makes.

    For "package.module" alone, gives the only scheduler in that module; None if there is none.

    :raises ConfigurationError: if there is no such scheduler, or the import fails; the message names the user's line
    :raises StoreError: if the application adds jobs to a store that fails
    """
    patch_all()
    look_here(name)
    module_name, colon, attribute = name.partition(":")
    if not module_name or (colon and not attribute) or module_name.endswith(".py"):
        raise ConfigurationError(f"app {name!r}: expected package.module:name, where the name is a scheduler")
    module = _imported(name, module_name)
    found = _attribute(name, module, attribute) if attribute else _only_scheduler(name, module)
    if callable(found) and not isinstance(found, GeventScheduler):
        found = _checked(name, found)
    if found is not None and not isinstance(found, GeventScheduler):
        raise ConfigurationError(
            f"app {name!r}: expected a GeventScheduler or a function that makes one, got {found!r}"
        )
    if found is None and attribute:
        raise ConfigurationError(f"app {name!r}: the function made no scheduler, but returned None")
    if found is not None and found.running:
        raise ConfigurationError(f"app {name!r}: it starts its scheduler itself; leave that to the runner")
    return found


def look_here(name: str) -> None:
    """If the module of "package.module:name" is in the working directory, let it be imported from there.

    Without such a module, nothing is imported from the working directory: other users may be able to write there.

    :raises ConfigurationError: if this is root and others may write there, or if the directory was deleted
    """
    here = str(working_directory())
    package = name.partition(":")[0].partition(".")[0]
    if here in sys.path or "" in sys.path or PathFinder.find_spec(package, [here]) is None:
        return
    if os.geteuid() == ROOT and (reason := open_to_others(here)) is not None:
        raise ConfigurationError(f"{name!r} is in the working directory, but {reason}; {REMEDY}")
    sys.path.insert(0, here)


def working_directory() -> Path:
    """The working directory. Raises ConfigurationError if it was deleted, or may not be looked at."""
    try:
        return Path.cwd()
    except OSError as error:
        why = "it was deleted" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConfigurationError(f"the working directory: {why}; change to another one") from error


def import_function(ref: str) -> Callable[..., Any]:
    """The callable that a reference in a file names. Raises FuncRefError, or ConfigurationError as `look_here` does."""
    look_here(ref)
    imported.add(ref)
    return resolve(ref)


def _imported(name: str, module_name: str) -> ModuleType:
    imported.add(name)
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise ConfigurationError(
            f"app {name!r}: there is no module {error.name!r} in {Path.cwd()}, nor among what is installed"
        ) from error
    except (Exception, SystemExit) as error:  # an application may raise anything
        raise _failed(name, error) from error


def _attribute(name: str, module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for step in attribute.split("."):
        try:
            found = getattr(found, step)
        except AttributeError:
            hint = did_you_mean(step, dir(found))
            raise ConfigurationError(f"app {name!r}: there is no {step!r} in {found!r}{hint}") from None
    return found


def _only_scheduler(name: str, module: ModuleType) -> GeventScheduler | None:
    found = {id(each): (key, each) for key, each in vars(module).items() if isinstance(each, GeventScheduler)}
    if len(found) > 1:
        names = ", ".join(f"{name}:{key}" for key, _ in found.values())
        raise ConfigurationError(f"app {name!r}: it has more than one scheduler; name one: {names}")
    return next((scheduler for _, scheduler in found.values()), None)


def _checked(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _failed(name: str, error: BaseException) -> GschedError:
    """The error to raise instead. A store error stays a store error, because the store may answer the next time."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)  # str() of a SyntaxError has the position, too
    if not isinstance(error, GschedError):
        said = f"{type(error).__name__}: {said}"
    kind = type(error) if isinstance(error, StoreError) else ConfigurationError
    return kind(f"app {name!r}: {said}{_where(error)}")


def _where(error: BaseException) -> str:
    """The line of the user's code that raised: the last one outside gsched and libraries."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<")]
    foreign = [each for each in frames if not each.filename.startswith(_OURS)]
    own = [each for each in foreign if not each.filename.startswith(_OTHERS)] or foreign
    return f" ({own[-1].filename}:{own[-1].lineno}: {own[-1].line})" if own else ""
