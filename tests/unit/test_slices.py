"""Long loops give other greenlets their turns."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import given, strategies as st

from gsched import GeventScheduler, MemoryJobStore
from gsched.event_loop import slices
from gsched.event_loop.slices import sorted_in_slices
from gsched.jobs.query import JobQuery


@given(st.lists(st.integers()), st.integers(1, 5))
def test_sorting_in_slices_gives_what_sorting_gives(items, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "_SORTED_AT_ONCE", at_once)
        assert list(sorted_in_slices(items)) == sorted(items)


@pytest.fixture
def turns(monkeypatch):
    """The turns that another greenlet has had. A slice ends at once."""
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    had: list[None] = []

    def turn() -> None:
        while True:
            had.append(None)
            gevent.sleep(0)

    other = gevent.spawn(turn)
    yield had
    other.kill()


@pytest.mark.parametrize(
    "ask",
    [
        lambda scheduler: list(scheduler.stores["default"].find(JobQuery(limit=10))),
        lambda scheduler: scheduler.stores["default"].statistics(),
        lambda scheduler: scheduler.admin.rows(f"job-{number}" for number in range(100)),
        lambda scheduler: scheduler.admin.rates(since="2h"),
        lambda scheduler: scheduler.admin.load(),
        lambda scheduler: scheduler.admin.count(JobQuery(failing=True)),
    ],
    ids=["find", "statistics", "rows", "rates", "load", "count"],
)
def test_other_greenlets_have_turns_while_a_question_is_answered(ask, turns):
    scheduler = GeventScheduler(jobstores={"default": MemoryJobStore()}, timezone="UTC")
    scheduler.add_jobs({"func": print, "trigger": "interval", "hours": 1, "id": f"job-{n}"} for n in range(100))
    before = len(turns)
    ask(scheduler)
    assert len(turns) - before >= 50
