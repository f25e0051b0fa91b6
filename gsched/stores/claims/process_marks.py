"""Which process a node is, and whether this machine can prove that the process has ended.

A mark names a process for as long as the machine runs: its number and its start time, in the name spaces in which
these mean something. Two containers on one machine have the same boot id, may have the same host name, and both have a
process 1: only the name space of process numbers tells them apart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gsched.checks import is_whole

PROC: Final = Path("/proc")
_START_TIME: Final = 19  # of the fields of /proc/PID/stat that follow the name


class Place(NamedTuple):
    """Where a process's number and start time mean something.

    :ivar boot: the machine's boot id
    :ivar pids: the inode of the name space of process numbers
    :ivar times: the inode of the name space of clocks, 0 if the kernel has none
    """

    boot: str
    pids: int
    times: int


class ProcessMark(NamedTuple):
    """A process.

    :ivar started: its start time, in ticks since the boot
    """

    place: Place
    pid: int
    started: int


def own_mark(proc: Path = PROC) -> ProcessMark | None:
    """The mark of this process; None if /proc does not show it."""
    try:
        if os.readlink(proc / "self") != str(os.getpid()):  # /proc belongs to another name space
            return None
        place = Place(
            (proc / "sys/kernel/random/boot_id").read_text().strip(),
            (proc / "self/ns/pid").stat().st_ino,
            _inode(proc / "self/ns/time"),
        )
        return ProcessMark(place, os.getpid(), _start_time(proc, os.getpid()))
    except (OSError, ValueError, IndexError):
        return None


def has_ended(mark: ProcessMark, here: Place, proc: Path = PROC) -> bool:
    """True if it is certain that the process has ended.

    It is if the process was at this place, and now there is none with its number, or one that started at another time.
    A process of another user, or one that /proc hides, proves nothing.

    :param here: the place of this process
    """
    if mark.place != here:
        return False
    try:
        os.kill(mark.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # EPERM: there is one
        pass
    try:
        return _start_time(proc, mark.pid) != mark.started
    except (OSError, ValueError, IndexError):
        return False


def mark_document(mark: ProcessMark | None) -> dict[str, Any] | None:
    """The mark as it is stored."""
    return None if mark is None else {**mark.place._asdict(), "pid": mark.pid, "started": mark.started}


def read_mark(document: Any) -> ProcessMark | None:
    """The mark that is stored; None if there is none, or a field is missing or strange."""
    if not isinstance(document, Mapping):
        return None
    boot: Any = document.get("boot")
    numbers: list[Any] = [document.get(name) for name in ("pids", "times", "pid", "started")]
    if not isinstance(boot, str) or not boot or not all(is_whole(number, 0) for number in numbers):
        return None
    pids, times, pid, started = map(int, numbers)  # the driver has a class of its own for large ones
    return ProcessMark(Place(boot, pids, times), pid, started) if pids and pid else None


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _start_time(proc: Path, pid: int) -> int:
    """When the process started, in ticks since the boot. Its name may hold anything, parentheses too."""
    fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[_START_TIME])
