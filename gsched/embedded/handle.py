"""The handle that users of an embedded MongoDB hold."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import final

from gsched.embedded.flocks import EXCLUSIVE, SHARED, Deadline, is_held, locked, take_lock
from gsched.embedded.server import join_or_start
from gsched.errors import EmbeddedMongoError, EmbeddedMongoUnusableError
from gsched.file_rights import REMEDY, ROOT, open_to_others

STOP_SECONDS = 70.0
_UNUSABLE = (PermissionError, FileExistsError, NotADirectoryError)  # the file system does not change by itself


@final
class EmbeddedMongo:
    """A share in the MongoDB of a data directory; a context manager.

    `path` is a directory on a local file system; it is created if missing, for this user only. `timeout_seconds`
    limits the wait until MongoDB is ready: one or two seconds as a rule, longer after a crash with much data.

    - `uri` is a connection string for any MongoDB client on this machine that runs as the same user. The server listens
      on a Unix socket inside the directory and nowhere else.
    - The server stops when its last user closes or ends, in whatever way. Without `close()` it is used until the
      process ends.
    - Children made by `os.fork` share the parent's share: the server runs until all of them have closed or ended.
    - Programs stopped by systemd need `KillMode=mixed`: otherwise the server gets the signal when its users do.

    Raises EmbeddedMongoError when mongod is missing, cannot run or is not ready in time, and when this is root and
    others may write to the directory.
    """

    uri: str

    def __init__(self, path: str | os.PathLike[str], *, timeout_seconds: float = 60.0) -> None:
        if not os.fspath(path):  # an unset variable, perhaps: Path takes it for the current directory
            raise EmbeddedMongoError("the data directory has no name; write '.' for the current directory")
        self.path = _absolute(path)
        self._timeout = timeout_seconds
        self._share: int | None = None
        self.open()

    def open(self) -> None:
        """Take a share again after `close`; nothing happens while there is one. Raises EmbeddedMongoError."""
        if self._share is not None:
            return
        with _naming(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(self.path)
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
                os.close(share)
                raise
            self._share = share

    def close(self) -> None:
        """Give the share back; the last user waits until the server has shut down. Closing twice does nothing.

        Raises EmbeddedMongoError when the server has not stopped after about a minute.
        """
        share, self._share = self._share, None
        if share is None:
            return
        os.close(share)
        deadline = Deadline(STOP_SECONDS, f"mongod in {self.path} did not stop (see mongod.log there)")
        with locked(self.path / "start.lock", deadline):  # nobody joins while we look who is left
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
def _naming(path: Path) -> Iterator[None]:
    """Say of errors of the file system that they concern the data directory."""
    try:
        yield
    except OSError as error:
        is_lasting = isinstance(error, _UNUSABLE) or error.errno == errno.EROFS
        kind = EmbeddedMongoUnusableError if is_lasting else EmbeddedMongoError
        raise kind(f"the data directory {path} cannot be used: {error}") from error


def _refuse_foreign(directory: Path) -> None:
    """What is in there decides which server root talks to, and which commands root runs."""
    if os.geteuid() == ROOT:
        for path in (directory, directory / "db"):
            if (reason := open_to_others(path)) is not None:
                refused = f"root does not use a data directory that others may write: {reason}"
                raise EmbeddedMongoUnusableError(f"{refused}; run this as the directory's owner, or {REMEDY}")


def has_data(path: str | os.PathLike[str]) -> bool:
    """Whether there has ever been a MongoDB in the data directory `path`. Raises EmbeddedMongoError."""
    return (_absolute(path) / "db").is_dir()


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError:  # "~", and the user has none
        raise EmbeddedMongoError(f"the data directory {path}: the user has no home directory; write it out") from None
    except OSError as error:  # relative, and the working directory was deleted
        raise EmbeddedMongoError(f"the data directory {path} cannot be used: {error}") from error


def open_embedded(path: str | os.PathLike[str], *, timeout_seconds: float = 60.0) -> EmbeddedMongo:
    """Open the MongoDB in the data directory `path`, starting it if nobody has; see EmbeddedMongo."""
    return EmbeddedMongo(path, timeout_seconds=timeout_seconds)
