"""The database server's time, as a node reckons it."""

from __future__ import annotations

from typing import Any

from simulation.cluster import Database
from simulation.steps import StepHub, watched

from gsched.stores.claims.server_time import ServerTime
from gsched.testing import ManualClock


class Server:
    """A server whose clock agrees with this machine's, and whose answers take as long as given.

    :param took: for each question, seconds that it takes to get there, and its answer to get here
    """

    def __init__(self, *took: tuple[float, float]) -> None:
        self.clock, self._took = ManualClock("2027-01-01"), list(took)
        self.hub, database = StepHub(), watched(Database(1, self.clock.now_ms()), self.clock.now_ms())
        database.time.side_effect = self._time
        self.reckoned = ServerTime(database, self.clock, self.hub)

    def _time(self) -> int:
        before, after = self._took.pop(0)
        self.clock.skip(round(before * 1000))
        now = self.clock.now_ms()
        self.clock.skip(round(after * 1000))
        return now

    @property
    def error(self) -> int:
        """By how many ms the reckoned time is wrong."""
        return self.reckoned.now() - self.clock.now_ms()

    def said(self) -> list[Any]:
        return self.hub.events


def test_a_first_answer_that_had_to_wait_for_the_database_does_not_count() -> None:
    server = Server((0.0, 2.0), (0.001, 0.001), (0.5, 0.0))
    server.reckoned.measure()
    assert abs(server.error) <= 1
    assert server.said() == []


def test_no_clock_is_called_wrong_because_answers_are_slow() -> None:
    server = Server(*[(0.0, 1.6)] * 3)
    server.reckoned.measure()
    assert 799 <= abs(server.error) <= 801
    assert server.said() == []


def test_slow_answers_change_nothing_once_the_time_is_known() -> None:
    server = Server((0.001, 0.001), (0.0, 2.0))
    server.reckoned.measure()
    server.reckoned.measure()
    assert abs(server.error) <= 1
