"""The handle of an embedded MongoDB."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import final

from gsched.embedded.file_locks import EXCLUSIVE, SHARED, Deadline, is_held, locked, take_lock
from gsched.embedded.guardian import CLOSED
from gsched.embedded.server import join_or_start
from gsched.errors import ConfigurationError, EmbeddedMongoError, EmbeddedMongoUnusableError
from gsched.files.data_directory import absolute, make_data_directory

STOP_SECONDS = 70.0
_UNUSABLE = (PermissionError, FileExistsError, NotADirectoryError)  # they last until the file system is changed


@final
class EmbeddedMongo:
    """A share in the MongoDB of a data directory; a context manager.

    `path` is a directory on a local file system; it is created if missing, for this user only. `timeout_seconds`
    limits the wait until MongoDB is ready: one or two seconds as a rule, longer after a crash with much data.

    - `uri` is a connection string for any MongoDB client on this machine that runs as the same user. The server listens
      on a Unix socket inside the directory and nowhere else.
    - The server stops when its last user closes, and a few seconds after that one has ended without `close()`, in
      whatever way: a program that was killed and is started again finds the server running.
    - Children made by `os.fork` share the parent's share: the server runs until all of them have closed or ended.
    - Programs stopped by systemd need `KillMode=mixed`: otherwise the server gets the signal when its users do.

    Raises EmbeddedMongoError when mongod is missing, cannot run or is not ready in time, and when others may write to
    the directory.
    """

    uri: str

    def __init__(self, path: str | os.PathLike[str], *, timeout_seconds: float = 60.0) -> None:
        with _naming(path):
            self.path = absolute(path).resolve()
        self._timeout = timeout_seconds
        self._share: int | None = None
        self.open()

    def open(self) -> None:
        """Take a share again after `close`; nothing happens while there is one. Raises EmbeddedMongoError."""
        if self._share is not None:
            return
        with _naming(self.path):
            make_data_directory(self.path)
            self._open(self._deadline())

    def start_again(self) -> None:
        """Start the server if it has ended, as it does on a full disk. Raises EmbeddedMongoError."""
        if self._share is None or is_held(self.path / "server.lock", EXCLUSIVE):
            return
        deadline = self._deadline()
        with _naming(self.path), locked(self.path / "start.lock", deadline):
            self.uri = join_or_start(self.path, deadline)

    def _deadline(self) -> Deadline:
        return Deadline(self._timeout, f"mongod in {self.path} was not ready (see mongod.log there)")

    def _open(self, deadline: Deadline) -> None:
        with locked(self.path / "start.lock", deadline):
            share = take_lock(self.path / "users.lock", SHARED, deadline)
            try:
                self.uri = join_or_start(self.path, deadline)
            except BaseException:
                self._give_back(share)
                raise
            self._share = share

    def _give_back(self, share: int) -> None:
        """Give the share back, and leave a note for the guardian: this user was not killed."""
        os.close(share)
        with suppress(OSError):  # on a full disk the server stops a little later
            os.close(os.open(self.path / CLOSED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def close(self) -> None:
        """Give the share back; the last user waits until the server has shut down. Closing twice does nothing.

        Raises EmbeddedMongoError when the server has not stopped after about a minute.
        """
        share, self._share = self._share, None
        if share is None:
            return
        self._give_back(share)
        deadline = Deadline(STOP_SECONDS, f"mongod in {self.path} did not stop (see mongod.log there)")
        with locked(self.path / "start.lock", deadline):  # no process joins while we look for the others
            while is_held(self.path / "server.lock", EXCLUSIVE) and not self._others_left():
                deadline.pause()

    def _others_left(self) -> bool:
        """Shared by users, users.lock keeps out an exclusive lock only; held by the guardian, any lock."""
        users = self.path / "users.lock"
        return is_held(users, EXCLUSIVE) and not is_held(users, SHARED)

    def __enter__(self) -> EmbeddedMongo:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn errors of the file system into EmbeddedMongoError, naming the data directory."""
    try:
        yield
    except ConfigurationError as error:
        raise EmbeddedMongoUnusableError(str(error)) from error
    except OSError as error:
        is_lasting = isinstance(error, _UNUSABLE) or error.errno == errno.EROFS
        kind = EmbeddedMongoUnusableError if is_lasting else EmbeddedMongoError
        raise kind(f"the data directory {path} cannot be used: {error}") from error


def open_embedded(path: str | os.PathLike[str], *, timeout_seconds: float = 60.0) -> EmbeddedMongo:
    """Open the MongoDB in the data directory `path`, and start it if it does not run; see EmbeddedMongo."""
    return EmbeddedMongo(path, timeout_seconds=timeout_seconds)
