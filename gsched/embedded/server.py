"""Find the running mongod of a data directory, or start one, and make it the primary of its replica set."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.monkey import get_original

from gsched.embedded import guardian
from gsched.embedded.binary import REMEDY, find_mongod
from gsched.embedded.file_locks import EXCLUSIVE, POLL_SECONDS, Deadline, try_lock
from gsched.errors import EmbeddedMongoError
from gsched.event_loop.process import interpreter

if TYPE_CHECKING:
    from pymongo import MongoClient

REPLICA_SET = "gsched"
LOG_LINES = 6
_MIB = 1 << 20
_LEAST_ROOM = 32  # MiB
SOCKET = "./mongod.sock"  # relative: the address in the replica set's configuration stays true when the directory moves


def join_or_start(directory: Path, deadline: Deadline) -> str:
    """The URI of the directory's mongod, primary and writable. To be called with start.lock and a share of users.lock.

    Raises EmbeddedMongoError when mongod cannot be found, cannot run or is not ready by the deadline.
    """
    log_start: int | None = None
    while True:
        server_lock = try_lock(directory / "server.lock", EXCLUSIVE)
        if server_lock is not None and log_start is not None:
            os.close(server_lock)
            raise EmbeddedMongoError(_failure(directory, log_start))
        if server_lock is not None:
            log_start = _log_size(directory)
            _start(directory, server_lock)
        uri = _listening_uri(directory)
        if uri is not None and _become_primary(uri):
            return uri
        deadline.pause()


def _start(directory: Path, server_lock: int) -> None:
    try:
        command = _mongod_command()
        (directory / "db").mkdir(mode=0o700, exist_ok=True)
        (directory / "mongod.json").unlink(missing_ok=True)
        pid = _spawn_guardian(directory, server_lock, command)
    finally:
        os.close(server_lock)
    _reap(pid)


def _mongod_command() -> list[str]:
    return [
        str(find_mongod()),
        *("--dbpath", "db", "--replSet", REPLICA_SET, "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.25"),
        *("--bind_ip", SOCKET, "--nounixsocket"),  # this socket only: no TCP port, no socket in /tmp
        *("--setParameter", "diagnosticDataCollectionEnabled=false", "--quiet"),
        # Of the journal three files are made beforehand, of 100 MB each by default, and read when it starts.
        *("--wiredTigerEngineConfigString", "log=(file_max=8MB)"),
    ]


def _spawn_guardian(directory: Path, server_lock: int, command: list[str]) -> int:
    python = interpreter()
    log = directory / "mongod.log"
    # gevent's own posix_spawn and subprocess work in the main thread only.
    pid: int = get_original("os", "posix_spawn")(
        python,
        [python, "-I", "-S", guardian.__file__, str(directory), *command],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, server_lock, guardian.SERVER_LOCK),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGCHLD, signal.SIGPIPE],
    )
    return pid


def _reap(pid: int) -> None:
    """Wait for the guardian's first process, which forks and ends at once."""
    waitpid = get_original("os", "waitpid")
    try:
        while waitpid(pid, os.WNOHANG)[0] == 0:
            gevent.sleep(POLL_SECONDS)
    except ChildProcessError:
        pass  # reaped by someone who waits for any child


def _listening_uri(directory: Path) -> str | None:
    import socket

    try:
        state: dict[str, Any] = json.loads((directory / "mongod.json").read_text())
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(state["socket"])
    except (OSError, ValueError, KeyError):
        return None
    return str(state["uri"])


def _become_primary(uri: str) -> bool:
    """True when mongod is primary; it is made the only member of a new replica set if it belongs to none."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)
    try:
        return _wait_for_primary(client)
    except PyMongoError:
        return False
    finally:
        client.close()


def _wait_for_primary(client: MongoClient[dict[str, Any]]) -> bool:
    for _ in range(100):
        hello = client.admin.command("hello")
        if hello["isWritablePrimary"]:
            return True
        if hello.get("isreplicaset"):  # started with --replSet, not yet initiated
            members = [{"_id": 0, "host": SOCKET}]
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        gevent.sleep(POLL_SECONDS)
    return False


def _log_size(directory: Path) -> int:
    log = directory / "mongod.log"
    return log.stat().st_size if log.exists() else 0


def _failure(directory: Path, log_start: int) -> str:
    with open(directory / "mongod.log", "rb") as log:
        log.seek(log_start)
        lines = log.read().decode(errors="replace").splitlines()
    telling = [line for line in lines if not line.startswith("{") or '"s":"E"' in line or '"s":"F"' in line] or lines
    tail = "\n".join(f"  {line[:500]}" for line in telling[-LOG_LINES:]) or "  (none)"
    if room := _too_little_room(directory):
        return f"mongod ended before it was ready: {room}. Its last log lines:\n{tail}"
    return (
        f"mongod ended before it was ready: {find_mongod()} in {directory}. Its last log lines:\n{tail}\n"
        f"If it cannot run on this machine: {REMEDY}"
    )


def _too_little_room(directory: Path) -> str | None:
    """How much room there is on the disk, if that is too little for a server; mongod cannot even log it then."""
    free = shutil.disk_usage(directory).free // _MIB
    return f"the disk with {directory} is full ({free} MiB are free)" if free < _LEAST_ROOM else None
