"""How a command has ended, and what it has used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gsched.checks import written_bytes


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command has ended, and what its processes have used, as far as the command has waited for their ends.

    :ivar exit_status: None if a signal ended it
    :ivar exit_signal: the name of that signal, such as "SIGKILL"
    :ivar limit: the limit of the job that made it fail, such as "cpu_time_max = 10s"
    :ivar user_seconds: time of the CPU in programs; None in the rare case that the kernel's figures were missed
    :ivar system_seconds: the same in the kernel
    :ivar peak_memory: bytes that the largest of the processes had at once; None if that was less than the runner itself
        has had
    """

    exit_status: int | None
    exit_signal: str | None
    limit: str | None = None
    user_seconds: float | None = None
    system_seconds: float | None = None
    peak_memory: int | None = None

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
