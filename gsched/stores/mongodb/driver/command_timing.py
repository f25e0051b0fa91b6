"""Counts the commands sent to MongoDB, their durations and their errors."""

from __future__ import annotations

from typing import Final

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from gsched.monitoring.histogram import Histogram

_BOUNDS: Final = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)  # milliseconds


class CommandTimes(CommandListener):
    """Listens to PyMongo's commands. A `getMore` of a change stream, which waits for changes, counts only if it fails.

    It adds about ten microseconds to a command, and there are a few dozen commands a second.

    :ivar durations: histograms of the commands that succeeded, by their names
    :ivar errors: how often commands failed, by the names of the command and of the error
    """

    def __init__(self) -> None:
        self.durations: dict[str, Histogram] = {}
        self.errors: dict[tuple[str, str], int] = {}
        self._waits: set[int] = set()  # requests that wait for changes

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "getMore" and "maxTimeMS" in event.command:
            self._waits.add(event.request_id)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.request_id in self._waits:
            self._waits.discard(event.request_id)
            return
        durations = self.durations.get(event.command_name)
        if durations is None:
            durations = self.durations[event.command_name] = Histogram(_BOUNDS)
        durations.count(event.duration_micros / 1000)

    def failed(self, event: CommandFailedEvent) -> None:
        self._waits.discard(event.request_id)
        failure = event.failure
        name = failure.get("codeName") or failure.get("errtype") or str(failure.get("code", "unknown"))
        self.errors[event.command_name, name] = self.errors.get((event.command_name, name), 0) + 1
