"""The limits of a command. A shell sets them before the command begins, once it runs as the command's user."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from signal import SIGKILL, SIGXCPU
from typing import Final, NamedTuple

from gsched.checks import written_bytes
from gsched.errors import ConfigurationError

_MORE_SECONDS: Final = 5  # from SIGXCPU to KILL
_SIGNALLED: Final = 128  # plus a signal's number: a shell's exit status if the signal ended its program
# What programs print when they get no memory.
_NO_MEMORY: Final = re.compile(
    r"cannot allocate memory|out of memory|memoryerror|bad_alloc|memory exhausted|failed to allocate|ENOMEM",
    re.IGNORECASE,
)


class CommandLimits(NamedTuple):
    """What a command may use. None means the runner's own limit.

    :ivar nice: what is added to the runner's niceness
    :ivar memory_max: bytes of address space of each process
    :ivar cpu_time_max: seconds of CPU time of each process
    :ivar umask: three octal digits
    """

    nice: int | None = None
    memory_max: int | None = None
    cpu_time_max: int | None = None
    umask: str | None = None

    def script(self) -> str:
        """The lines with which a shell sets the limits. The shell ends if one of them cannot be set."""
        return "".join(
            f"{call} || {{ echo 'gsched: {name} cannot be set' >&2; exit 126; }}\n" for name, call in self._calls()
        )

    def _calls(self) -> Iterator[tuple[str, str]]:
        if self.umask is not None:
            yield "umask", f"umask {self.umask}"
        if self.cpu_time_max is not None:
            soft, hard = self.cpu_time_max, self.cpu_time_max + _MORE_SECONDS
            yield "cpu_time_max", f"ulimit -S -t {soft} && ulimit -H -t {hard}"
        if self.memory_max is not None:
            yield "memory_max", f"ulimit -v {self.memory_max // 1024}"

    def prefix(self) -> Sequence[str]:
        """The program that gives the command its niceness, with its arguments; empty if there is no niceness."""
        if not self.nice:
            return ()
        found = shutil.which("nice")
        if found is None:
            raise ConfigurationError("nice: the program nice is not installed on this machine")
        return found, "-n", str(self.nice)

    def reached(self, status: int, seconds: float | None, last_lines: Sequence[str]) -> str | None:
        """The limit that made a command fail, such as "cpu_time_max = 10s"; None if no limit is known to.

        The kernel does not report that a program got no memory. Such a program usually prints it in its last lines.

        :param status: how the command ended: an exit status, or minus the number of a signal
        :param seconds: the CPU time of all its processes; None if it is not known
        """
        signal = -status if status < 0 else status - _SIGNALLED
        if (most := self.cpu_time_max) is not None:
            is_over = signal == SIGXCPU or (signal == SIGKILL and seconds is not None and seconds >= most)
            if is_over:
                return f"cpu_time_max = {most}s"
        if self.memory_max is not None and status != 0 and _NO_MEMORY.search("\n".join(last_lines)):
            return f"memory_max = {written_bytes(self.memory_max)}"
        return None
