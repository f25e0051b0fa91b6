"""The guardian: the parent of mongod, which stops it when no process uses it any more. Standard library only.

Run as a script, `guardian.py DIRECTORY MONGOD ARGUMENT...`, with the lock on server.lock as descriptor 3.

- Each user of the directory holds a shared lock on users.lock. The guardian tries for an exclusive one: it succeeds
  only when no user is left, whether they closed or were killed.
- A user that closes gives its share back, and then leaves a note. If the last user leaves one, the guardian stops
  mongod at once. If the last user was killed, mongod runs on for some seconds: a program that starts again finds it.
- While the guardian stops mongod, it keeps the exclusive lock: a newcomer waits and then starts afresh.
- The guardian and mongod hold server.lock together: while it is taken, one of them lives.
- Only the guardian signals mongod, and mongod is its own child, so that a reused process id is never hit.
- If the guardian itself is killed, the kernel asks mongod to shut down (Linux).
- If mongod crashes under its users after a while of service, it is started again, on the same address and data.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from urllib.parse import quote

SERVER_LOCK = 3
POLL_SECONDS = 0.2
STOP_SECONDS = 60.0
LINGER_SECONDS = 10.0  # after the last user was killed
CLOSED = "closed"  # the note of a user that closes
RESTART_AFTER_SECONDS = 10.0  # a mongod that crashes sooner than this is not started again
MAX_LOG_BYTES = 4 * 2**20
MAX_SOCKET_PATH = 100  # the kernel's limit is 108 bytes on Linux, 104 elsewhere
PR_SET_PDEATHSIG = 1
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the guardian's life is bounded by its users'


def main(directory: str, command: list[str]) -> None:
    if os.fork():
        os._exit(0)  # init reaps an orphan
    os.closerange(SERVER_LOCK + 1, os.sysconf("SC_OPEN_MAX"))
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(directory)
    users = os.open("users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    while serve(command, users):
        print("mongod crashed: starting it again", file=sys.stderr, flush=True)


def serve(command: list[str], users: int) -> bool:
    """Run mongod until it ends or its users do. True when it crashed and should be started again."""
    started = time.monotonic()
    try:
        mongod = start(command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr, flush=True)
        return False
    write_state(mongod.pid)
    used = started
    while mongod.poll() is None:
        was_closed = take_note()  # before the look at the users: the note of one that closed is of no use to others
        if not no_user_left(users):
            used = time.monotonic()
        elif not was_closed and time.monotonic() - used < LINGER_SECONDS:
            fcntl.flock(users, fcntl.LOCK_UN)  # a new user may come
        else:
            stop(mongod)
            with suppress(FileNotFoundError):
                os.unlink("mongod.json")
            return False
        bound_log()
        time.sleep(POLL_SECONDS)
    return mongod.returncode < 0 and time.monotonic() - started > RESTART_AFTER_SECONDS


def start(command: list[str]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(command, pass_fds=[SERVER_LOCK], preexec_fn=prepare)


def no_user_left(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_note() -> bool:
    """True if a user has closed since the last call."""
    try:
        os.unlink(CLOSED)
    except FileNotFoundError:
        return False
    return True


def stop(mongod: subprocess.Popen[bytes]) -> None:
    mongod.terminate()
    try:
        mongod.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        mongod.kill()  # its journal keeps what was acknowledged
        mongod.wait()


def write_state(mongod_pid: int) -> None:
    path = socket_path()
    state = {
        "uri": f"mongodb://{quote(path, safe='')}/?directConnection=true",
        "socket": path,
        "mongod_pid": mongod_pid,
        "guardian_pid": os.getpid(),
    }
    with open("mongod.json.new", "w", opener=own_file) as file:
        json.dump(state, file)
    os.replace("mongod.json.new", "mongod.json")


def own_file(name: str, flags: int) -> int:
    """Open a file in the data directory, not what a link there leads to, for this user alone."""
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)


def socket_path() -> str:
    """mongod's socket in the data directory; a long path is cut short by way of this process's working directory."""
    path = os.path.join(os.getcwd(), "mongod.sock")
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH or not os.path.exists("/proc/self/cwd"):
        return path
    return f"/proc/{os.getpid()}/cwd/mongod.sock"


def bound_log() -> None:
    """Move a long log to mongod.log.1. mongod appends to the same file; lines written meanwhile may be lost."""
    if os.path.getsize("mongod.log") < MAX_LOG_BYTES:
        return
    with open("mongod.log", "rb") as log, open("mongod.log.1", "wb", opener=own_file) as old:
        old.write(log.read())
    os.truncate("mongod.log", 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
