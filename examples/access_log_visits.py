"""Count the visits of each five minutes in a web server's access log (combined format), every five minutes.

    python examples/access_log_generator.py /tmp/access.log
    python examples/access_log_visits.py /tmp/access.log --every 5 --seconds 20

A visit is one well-formed line of the log. The job reads only the lines that were appended since its last run. It keeps
its position in a file beside the log, so that a restart goes on there. The log may be rotated (renamed to NAME.1) or
truncated at any time. A line that is half written counts once, when it is whole.
"""

# ruff: noqa: E402 - gevent patches before anything else is imported
from gevent import monkey

monkey.patch_all()

import argparse
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from loopback import stop_on_sigterm

from gsched import GeventScheduler, ThreadPoolExecutor

PERIOD = 300  # seconds
PERIODS_KEPT = 7 * 86_400 // PERIOD
CHUNK = 1 << 20
HEAD = 128  # bytes at the beginning of a log; another log in the same place begins differently
QUOTED = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
COMBINED = re.compile(
    rb"\S+ \S+ [^\[]*\[(\d\d/\w{3}/\d{4}:\d\d:\d\d):\d\d ([+-]\d{4})\] "  # address, names, time
    rb"%b \d{3} (?:\d+|-) %b %b\r?" % (QUOTED, QUOTED, QUOTED)  # request, status, size, referer, agent
)


def main() -> None:
    options = parse_arguments()
    visits = Visits(options.log, options.state or options.log.with_name(options.log.name + ".visits.json"))
    with closing(visits):
        report(visits, options.rows)
        if not options.once:
            run(visits, options)


# -- the scheduling ---------------------------------------------------------------------------------------------------


def run(visits: "Visits", options: argparse.Namespace) -> None:
    # Reading a file blocks, so a thread does it.
    scheduler = GeventScheduler(executors={"default": ThreadPoolExecutor(1)})
    # The start date is long ago: the job is due at every full five minutes, not five minutes after the program's start.
    scheduler.add_job(
        report, "interval", seconds=options.every, start_date="2000-01-01T00:00:00Z", args=[visits, options.rows]
    )
    if options.seconds is not None:
        scheduler.add_job(scheduler.shutdown, "date", run_date=datetime.now(UTC) + timedelta(seconds=options.seconds))
    stop_on_sigterm(scheduler.shutdown)
    scheduler.run_forever()


def report(visits: "Visits", rows: int) -> None:
    """The job: read what is new, print how many visits there were in the last periods."""
    before = visits.state.lines
    visits.update()
    print_table(visits.state, visits.state.lines - before, rows)


# -- counting ---------------------------------------------------------------------------------------------------------


@dataclass
class State:
    """What the job remembers between two readings and across restarts."""

    inode: int = 0
    offset: int = 0
    head: str = ""  # the beginning of the log, at most as far as it was read
    lines: int = 0
    garbage: int = 0
    visits: dict[str, int] = field(default_factory=dict)  # by the beginning of the period, seconds since the epoch

    @classmethod
    def load(cls, path: Path) -> "State":
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        written = path.with_name(path.name + ".new")
        written.write_text(json.dumps(asdict(self)))
        written.replace(path)  # in one step: the file is never half written


class Visits:
    """Follows a log and counts its lines by period."""

    def __init__(self, log: Path, state_path: Path) -> None:
        self.state = State.load(state_path)
        self._log = log
        self._state_path = state_path
        self._file: BinaryIO | None = None  # stays open: a rotated log is still to be read to its end

    def update(self) -> None:
        """Read what is new."""
        for file in self._files():
            self._read_on(file)
        self.state.save(self._state_path)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _files(self) -> Iterator[BinaryIO]:
        """The files to read: the log that was read last, then the one that took its place, if there is one."""
        self._file = self._file or self._reopen()
        if self._file is not None:
            self._restart_if_rewritten(self._file)
            yield self._file
        if self._is_replaced():
            self.close()
            self._file = self._log.open("rb")
            self.state.inode, self.state.offset, self.state.head = os.fstat(self._file.fileno()).st_ino, 0, ""
            yield self._file

    def _reopen(self) -> BinaryIO | None:
        """After a restart: the log that was read last, under its own name or the name of a rotated log."""
        for path in (self._log, self._log.with_name(self._log.name + ".1")):
            if path.exists() and path.stat().st_ino == self.state.inode:
                return path.open("rb")
        return None

    def _is_replaced(self) -> bool:
        """Whether there is another log. As long as that is empty, the server still writes to the one before."""
        try:
            found = self._log.stat()
        except FileNotFoundError:
            return False
        return self._file is None or (found.st_ino != self.state.inode and found.st_size > 0)

    def _restart_if_rewritten(self, file: BinaryIO) -> None:
        """A truncated log is read from its beginning, also when it has grown beyond the old position already."""
        file.seek(0)
        known = self.state.head.encode("latin-1")
        if os.fstat(file.fileno()).st_size < self.state.offset or file.read(len(known)) != known:
            self.state.offset, self.state.head = 0, ""

    def _read_on(self, file: BinaryIO) -> None:
        """Count the whole lines from the position to the end."""
        file.seek(self.state.offset)
        rest = b""
        while chunk := file.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            self._count(lines)
        self.state.offset = file.tell() - len(rest)
        file.seek(0)
        self.state.head = file.read(min(HEAD, self.state.offset)).decode("latin-1")

    def _count(self, lines: list[bytes]) -> None:
        periods = Counter(map(period_of, lines))
        self.state.lines += len(lines)
        self.state.garbage += periods.pop(None, 0)
        visits = Counter(self.state.visits)
        visits.update({str(period): count for period, count in periods.items()})
        self.state.visits = {period: visits[period] for period in sorted(visits, key=int)[-PERIODS_KEPT:]}


def period_of(line: bytes) -> int | None:
    """The beginning of the period that a line belongs to; None for one that is not in combined format."""
    match = COMBINED.fullmatch(line)
    return period_of_minute(*match.groups()) if match else None


@lru_cache(1024)
def period_of_minute(minute: bytes, zone: bytes) -> int | None:
    try:
        seconds = datetime.strptime(f"{minute.decode()} {zone.decode()}", "%d/%b/%Y:%H:%M %z").timestamp()
    except ValueError:  # the 31st of June
        return None
    return int(seconds // PERIOD * PERIOD)


# -- showing ----------------------------------------------------------------------------------------------------------


def print_table(state: State, new: int, rows: int) -> None:
    """A line and a bar for each of the last periods; all of them if `rows` is 0."""
    shown = {int(period): count for period, count in list(state.visits.items())[-rows:]}
    scale = 50 / max(shown.values(), default=1)
    for period, count in shown.items():
        print(f"{datetime.fromtimestamp(period).astimezone():%Y-%m-%d %H:%M}  {count:7}  {'#' * round(count * scale)}")
    print(
        f"{datetime.now():%H:%M:%S}  {new} new lines; so far {state.lines} lines, {state.garbage} garbage, "
        f"{sum(state.visits.values())} visits in {len(state.visits)} periods",
        flush=True,
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="?", default=Path("access.log"), help="default: access.log")
    parser.add_argument("--every", type=float, default=PERIOD, help="seconds between two readings (default: 300)")
    parser.add_argument("--seconds", type=float, help="end after so long (default: at Ctrl-C)")
    parser.add_argument("--once", action="store_true", help="read once and end")
    parser.add_argument("--rows", type=int, default=24, help="periods to show (default: 24; 0: all)")
    parser.add_argument("--state", type=Path, help="where the position is kept (default: LOG.visits.json)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
