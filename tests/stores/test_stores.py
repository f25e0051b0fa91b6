"""The contract of job stores: what they keep, and what they tell the hub."""

from __future__ import annotations

from typing import Any

import pytest

from gsched import InvalidJobError, JobIdConflictError, JobNotFoundError
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.pause import PLAIN
from gsched.jobs.policy import Policy
from gsched.stores import BaseJobStore, JobQuery
from gsched.stores.messages import Admitted, Changed, Dropped, RunRequested
from gsched.testing import ManualClock
from gsched.triggers import DateTrigger, IntervalTrigger

pytest_plugins = ["mongodb"]

CLOCK = ManualClock("2026-03-02 12:00")


def poll(*args: Any, **kwargs: Any) -> None:
    pass


class RecordingHub:
    """Stands in for the hub, and keeps what it was told."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.events: list[Any] = []

    def post(self, message: Any) -> None:
        self.messages.append(message)

    def emit(self, event: Any) -> None:
        self.events.append(event)

    def unfinished(self) -> list[Any]:
        return []

    def next_due(self) -> None:
        return None

    def due(self, job_id: str) -> None:
        return None

    def unread(self) -> bool:
        return False

    def activity(self) -> dict[str, Any]:
        return {"outcomes": {}, "by_tag": {}, "lateness": [], "duration": []}

    def take(self, *kinds: type) -> list[Any]:
        taken, self.messages = [m for m in self.messages if isinstance(m, kinds)], []
        return taken


@pytest.fixture
def bound(any_store: BaseJobStore) -> BaseJobStore:
    any_store.bind("default", CLOCK, AllowedFunctions([__name__]))
    return any_store


def started(store: BaseJobStore) -> RecordingHub:
    hub = RecordingHub()
    store.start(hub, paused=False)
    return hub


@pytest.fixture
def hub(bound: BaseJobStore) -> RecordingHub:
    return started(bound)


def job(job_id: str = "a", seconds: float = 60, **fields: Any) -> Job:
    trigger, due = IntervalTrigger(seconds=seconds, timezone="UTC").begun(CLOCK.now_ms())
    return Job(job_id, poll, trigger, func_ref=f"{__name__}:poll", name="poll", next_run_ms=due).evolve(**fields)


def late(job_id: str) -> Job:
    trigger, due = DateTrigger("2020-01-01", "UTC").begun(CLOCK.now_ms())
    return Job(job_id, poll, trigger, func_ref=f"{__name__}:poll", name="late", next_run_ms=due)


def ids(store: BaseJobStore, **query: Any) -> list[str]:
    return [found.id for found in store.find(JobQuery(**query))]


def test_an_added_job_is_found(bound):
    added = job(args=(1,), kwargs={"x": 2}, tags=("t",), metadata={"m": 1}, misfire_grace_ms=5, timeout_seconds=2)
    (stored,) = bound.add([added], replace=False)
    assert stored.evolve(rev=added.rev) == added  # a store may count revisions from where it likes
    assert bound.get("a") == stored


def test_jobs_are_found_by_an_option_that_is_not_at_its_default(bound):
    retried, queued = Policy(retries=3).with_changes(), Policy(overlap="queue").with_changes()
    bound.add([job("a"), job("b", policy=retried), job("c", policy=queued), job("d", name='"retries"')], replace=False)
    assert ids(bound, option="retries") == ["b"]
    assert ids(bound, option="overlap", prefix="c") == ["c"]
    assert ids(bound, option="max_catchup") == []


def test_a_job_that_is_not_there_is_named(bound):
    for call in (bound.get, bound.remove, lambda job_id: bound.change(job_id, lambda found: found)):
        with pytest.raises(JobNotFoundError, match="'a'"):
            call("a")


def test_adding_is_all_or_nothing(bound):
    bound.add([job("a")], replace=False)
    with pytest.raises(JobIdConflictError, match="'a'"):
        bound.add([job("b"), job("a")], replace=False)
    with pytest.raises(JobIdConflictError, match="'c'"):
        bound.add([job("b"), job("c"), job("c")], replace=False)
    assert ids(bound) == ["a"]


def test_a_job_that_is_late_holds_its_id(bound):
    bound.add([late("a")], replace=False)
    with pytest.raises(JobIdConflictError):
        bound.add([late("a")], replace=False)


def test_replacing_with_the_same_trigger_keeps_schedule_and_pause_and_counts_the_revision(bound):
    bound.add([job().evolve(pause=PLAIN)], replace=False)
    first = bound.get("a")
    bound.add([job(name="new").evolve(next_run_ms=first.next_run_ms + 5000)], replace=True)
    found = bound.get("a")
    assert (found.name, found.paused, found.next_run_ms, found.rev) == ("new", True, first.next_run_ms, first.rev + 1)


def test_replacing_with_another_trigger_or_a_given_time_does_not(bound):
    bound.add([job().evolve(pause=PLAIN)], replace=False)
    bound.add([job(seconds=30)], replace=True)
    assert not bound.get("a").paused
    timed = job(seconds=30).evolve(next_run_ms=CLOCK.now_ms() + 5)
    bound.add([timed], replace=True, timed={"a"})
    assert bound.get("a").next_run_ms == CLOCK.now_ms() + 5


def test_a_change_gives_a_higher_revision_and_an_error_in_it_changes_nothing(bound):
    (stored,) = bound.add([job()], replace=False)
    assert bound.change("a", lambda found: found.evolve(name="x")).rev == stored.rev + 1

    def fail(found):
        raise InvalidJobError("no")

    with pytest.raises(InvalidJobError):
        bound.change("a", fail)
    assert (bound.get("a").name, bound.get("a").rev) == ("x", stored.rev + 1)


def test_removing_one_leaves_the_others_and_removing_all_leaves_none(bound):
    bound.add([job("a"), job("b"), job("c")], replace=False)
    assert bound.remove("b").id == "b"
    assert bound.remove_all() == 2
    assert (ids(bound), bound.remove_all()) == ([], 0)


def test_listing_is_in_order_of_time_and_in_pages(bound):
    bound.add([job("slow", seconds=90), job("b"), job("a"), job("p").evolve(pause=PLAIN)], replace=False)
    assert ids(bound) == ["a", "b", "slow", "p"]
    assert ids(bound, skip=1, limit=2) == ["b", "slow"]
    assert ids(bound, limit=0) == [] == ids(bound, skip=9)


def test_listing_finds_by_tag_state_and_text(bound):
    bound.add([job("a", tags=("x",), name="Cache"), job("b", tags=("x", "y")).evolve(pause=PLAIN)], replace=False)
    assert ids(bound, tag="x") == ["a", "b"]
    assert ids(bound, tag="y") == ids(bound, state="paused") == ["b"]
    assert ids(bound, state="scheduled") == ids(bound, text="CACHE") == ["a"]


# -- what the hub is told -------------------------------------------------------------------------------------------

# The memory store tells the hub at once. What a shared store tells when it has claimed, its simulation shows.
tells_at_once = pytest.mark.parametrize("any_store", ["memory"], indirect=True)


@tells_at_once
def test_jobs_stored_before_the_start_are_admitted_at_the_start(bound):
    bound.add([job("a"), job("b").evolve(pause=PLAIN)], replace=False)
    hub = started(bound)
    assert [message.job.id for message in hub.take(Admitted)] == ["a"]


@tells_at_once
def test_adding_and_resuming_admit_pausing_and_removing_drop(bound, hub):
    bound.add([job()], replace=False)
    assert [(m.job.id, m.due) for m in hub.take(Admitted)] == [("a", job().next_run_ms)]
    bound.change("a", lambda found: found.evolve(pause=PLAIN))
    assert [m.job_id for m in hub.take(Dropped)] == ["a"]
    bound.change("a", lambda found: found.evolve(pause=None, next_run_ms=found.next_run_ms + 1000))
    assert [m.due for m in hub.take(Admitted)] == [job().next_run_ms + 1000]
    bound.remove("a")
    assert [m.job_id for m in hub.take(Dropped)] == ["a"]


@tells_at_once
def test_a_change_of_what_a_job_does_is_no_change_of_when(bound, hub):
    bound.add([job()], replace=False)
    hub.take()
    bound.change("a", lambda found: found.evolve(name="x", max_instances=3))
    bound.add([job(name="y")], replace=True)
    assert [(type(m), m.job.name) for m in hub.messages] == [(Changed, "x"), (Changed, "y")]


@tells_at_once
def test_a_request_is_handed_on_with_its_name(bound, hub):
    bound.add([job()], replace=False)
    bound.request_run(bound.get("a"), "r1")
    (request,) = hub.take(RunRequested)
    assert (request.job.id, request.request, request.at) == ("a", "r1", CLOCK.now_ms())


@tells_at_once
def test_an_ended_job_goes_and_its_end_is_an_event(bound, hub):
    bound.add([job()], replace=False)
    bound.end(bound.get("a"))
    assert ids(bound) == []
    assert [(event.name, event.reason) for event in hub.events] == [("job.removed", "trigger_ended")]


@tells_at_once
def test_a_job_that_was_rescheduled_meanwhile_does_not_end(bound, hub):
    (old,) = bound.add([job()], replace=False)
    bound.change("a", lambda found: found.evolve(next_run_ms=found.next_run_ms + 1000))
    bound.end(old)
    assert ids(bound) == ["a"]


@tells_at_once
def test_a_job_that_was_modified_meanwhile_ends_all_the_same(bound, hub):
    (old,) = bound.add([job()], replace=False)
    bound.change("a", lambda found: found.evolve(name="new"))
    bound.end(old)
    assert ids(bound) == []


@tells_at_once
def test_once_its_last_instant_is_decided_a_jobs_id_is_free(bound, hub):
    bound.add([late("a")], replace=False)
    bound.exhaust(bound.get("a"))
    bound.add([late("a")], replace=False)
    with pytest.raises(JobIdConflictError):
        bound.add([late("a")], replace=False)


@tells_at_once
def test_parking_keeps_the_job_with_the_reason_and_a_change_tries_again(bound, hub):
    bound.add([job()], replace=False)
    bound.park(bound.get("a"), "no executor")
    assert (bound.get("a").parked, ids(bound, state="parked")) == ("no executor", ["a"])
    bound.park(bound.get("a"), None)
    assert bound.get("a").parked is None
    bound.park(bound.get("a"), "no executor")
    assert bound.change("a", lambda found: found.evolve(name="x")).parked is None


@tells_at_once
def test_nothing_is_told_before_start_and_after_close(bound, hub):
    bound.close()
    hub.take()
    bound.add([job()], replace=False)
    bound.remove("a")
    assert hub.messages == []
