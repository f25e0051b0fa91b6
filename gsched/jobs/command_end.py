"""How a command has ended, and what it has used."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from gsched.checks import written_bytes
from gsched.errors import signal_name

_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # bytes


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command has ended, and what its processes have used, as far as the command has waited for their ends.

    :ivar exit_status: None if a signal ended it
    :ivar exit_signal: the name of that signal, such as "SIGKILL"
    :ivar limit: the limit of the job that made it fail, such as "cpu_time_max = 10s"
    :ivar user_seconds: time of the CPU in programs; None in the rare case that the kernel's figures were missed
    :ivar system_seconds: the same in the kernel
    :ivar peak_memory: bytes that the largest of the processes had at once
    """

    exit_status: int | None
    exit_signal: str | None
    limit: str | None = None
    user_seconds: float | None = None
    system_seconds: float | None = None
    peak_memory: int | None = None

    @classmethod
    def of(cls, status: int, usage: Any, limit: str | None) -> CommandEnd:
        """The end with an exit status, or minus the number of a signal.

        :param usage: what the kernel says, as `os.wait4` gives it; None if that is not known
        """
        ended = cls(None, signal_name(-status), limit) if status < 0 else cls(status, None, limit)
        if usage is None:
            return ended
        user, system = round(usage.ru_utime, 3), round(usage.ru_stime, 3)
        return replace(ended, user_seconds=user, system_seconds=system, peak_memory=usage.ru_maxrss * _MAXRSS_UNIT)

    def as_document(self) -> dict[str, Any]:
        """The values by their names."""
        return asdict(self)

    @classmethod
    def read(cls, document: Any) -> CommandEnd | None:
        """What `as_document` has written; None for anything else."""
        try:
            return cls(**document) if isinstance(document, Mapping) else None
        except TypeError:
            return None

    def __str__(self) -> str:
        ended = f"exit status {self.exit_status}" if self.exit_signal is None else f"ended by {self.exit_signal}"
        words = [ended] if self.limit is None else [ended, f"reached {self.limit}"]
        if self.user_seconds is not None and self.system_seconds is not None:
            words.append(f"user {self.user_seconds:g} s, system {self.system_seconds:g} s")
        if self.peak_memory is not None:
            words.append(f"peak memory {written_bytes(self.peak_memory // 1024 * 1024)}")
        return ", ".join(words)
