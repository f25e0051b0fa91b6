"""The file of a SQLite database: where it is, whose it is, and whether it is still the one that was opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from gsched.errors import ConfigurationError, StoreAccessError, StoreError, StoreUnreachableError
from gsched.files.rights import REMEDY, open_to_others

# File systems on which locks, or memory that processes share, are not to be relied on.
_NETWORK: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "ncpfs")
)


class SQLiteFile:
    """The file that a URL names.

    :ivar path: absolute
    :raises ConfigurationError: if it names none
    """

    def __init__(self, url: URL) -> None:
        if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
            raise ConfigurationError(
                "sql: url: SQLite needs the name of a file: sqlite:///jobs.sqlite; for jobs that may end with the"
                " process use MemoryJobStore"
            )
        self.path = os.path.abspath(str(url.database))
        self._opened: tuple[int, int] | None = None  # device and inode

    def prepare(self) -> None:
        """Make the file for this user alone, unless it is there. Raises StoreError if it must not or cannot be used.

        An existing file is never opened here: to close it again would drop the locks that SQLite holds in this process.
        """
        self._refuse_network()
        if not os.path.isdir(directory := os.path.dirname(self.path)):
            raise StoreUnreachableError(f"{self.path}: there is no directory {directory}; make it first")
        # The directory, too: SQLite takes what is in the files beside the database, such as jobs.sqlite-wal.
        if (reason := open_to_others(directory) or open_to_others(self.path)) is not None:
            raise StoreAccessError(f"{self.path}: who can write it can run commands as this user: {reason}; {REMEDY}")
        if not os.access(directory, os.W_OK):
            raise StoreAccessError(
                f"{self.path}: this user cannot write the directory {directory}, in which SQLite keeps files beside it;"
                " give this user the right, or name a file elsewhere"
            )
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreAccessError(f"{self.path}: {error.strerror}") from error
        found = self._identity()
        if self._opened is None:
            self._opened = found
        self.check_in_place()

    def closed(self) -> None:
        """No connection is open any more: another file may be opened under this name."""
        self._opened = None

    def check_in_place(self) -> None:
        """Raise StoreError if the opened file is not at its path any more: no other process would see a write."""
        if self._opened is not None and self._identity() != self._opened:
            raise StoreError(f"{self.path}: the file was deleted or replaced while in use; restart its processes")

    def all_paths(self) -> list[str]:
        """The database, and the files that SQLite keeps beside it, as far as they exist."""
        return [path for end in ("", "-wal", "-shm") if os.path.exists(path := self.path + end)]

    def wal_size(self) -> int:
        """Bytes of what was written and is not yet in the database itself."""
        try:
            return os.path.getsize(f"{self.path}-wal")
        except OSError:
            return 0

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _refuse_network(self) -> None:
        kind = file_system_of(self.path)
        if kind in _NETWORK:
            raise ConfigurationError(
                f"sql: url: {self.path} is on a network file system ({kind}), where SQLite's locks do not hold; use a"
                " local disk, or MongoDBJobStore for jobs that several machines share"
            )


def file_system_of(path: str) -> str | None:
    """The kind of file system that a path is on, as Linux names it; None if that is not known."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    mounts = [_mount(line) for line in lines]
    real = os.path.realpath(path)
    inside = [mount for mount in mounts if _is_inside(real, mount[0])]
    return max(inside, key=lambda mount: len(mount[0]), default=("", None))[1]


def _mount(line: str) -> tuple[str, str]:
    """Where a file system is mounted, and its kind: see proc_pid_mountinfo(5)."""
    before, _, after = line.partition(" - ")
    return before.split(" ")[4].replace("\\040", " "), after.split(" ")[0]


def _is_inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
