"""Writes the output of a command into the log, line by line and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from gsched.event_loop.slices import Slice
from gsched.jobs.output import RunOutput

LONGEST_LINE: Final = 4096  # bytes
LAST_LINES: Final = 5  # lines that the error of a failed command shows


class OutputLine(NamedTuple):
    """A line of output: the bytes that are kept, and the number of bytes that were cut off."""

    kept: bytes
    cut: int

    @property
    def text(self) -> str:
        return self.kept.decode(errors="backslashreplace").rstrip("\r")


def lines_of(chunks: Iterable[bytes], longest: int = LONGEST_LINE) -> Iterator[OutputLine]:
    """The lines in chunks of bytes, each cut after `longest` bytes. The last line need not have an end."""
    kept, length = bytearray(), 0
    for chunk in chunks:
        *endings, rest = chunk.split(b"\n")
        for part in endings:
            kept += part[: longest - len(kept)]
            yield OutputLine(bytes(kept), length + len(part) - len(kept))
            kept, length = bytearray(), 0
        kept += rest[: longest - len(kept)]
        length += len(rest)
    if length:
        yield OutputLine(bytes(kept), length - len(kept))


class OutputLog:
    """Writes a command's lines into a run's log. Lines beyond `max_lines` are counted, and `close` logs the count.

    :param max_lines: how many lines are logged at most; None: nothing is logged, not even the count
    :param kept: where the output is kept for the history; None: it is not kept
    :ivar last_lines: the last lines of both streams
    """

    def __init__(self, log: Any, max_lines: int | None, kept: RunOutput | None) -> None:
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._log = log
        self._kept = kept
        self._is_logged = max_lines is not None
        self._left = max_lines or 0
        self._lines_cut = 0
        self._bytes_cut = 0

    def follow(self, read: Callable[[], bytes], stream: str) -> None:
        """Log and keep what `read` gives, until it gives nothing more. Lines of the stream "stderr" are warnings."""
        write, pace = self._log.warning if stream == "stderr" else self._log.info, Slice()
        for line in lines_of(self._keep(iter(read, b""))):
            self.last_lines.append(line.text)
            if self._left > 0:
                self._left -= 1
                write("command.output", line=line.text, stream=stream, **({"cut": line.cut} if line.cut else {}))
            elif self._is_logged:
                self._lines_cut += 1
                self._bytes_cut += len(line.kept) + line.cut
            pace.breathe()

    def _keep(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._kept is not None:
                self._kept.add(chunk)
            yield chunk

    def close(self) -> None:
        """Log how many lines and bytes were left out."""
        if self._lines_cut:
            self._log.warning("command.output_cut", lines=self._lines_cut, bytes=self._bytes_cut)
