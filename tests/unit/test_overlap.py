"""Overlap: an instant is due while max_instances runs of its job are in progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bench import Bench
from gevent.event import Event

from gsched import GreenletPoolExecutor, InvalidJobError
from gsched.jobs.outcomes import Outcome
from gsched.policies.planning import Hold


class Lasting:
    """A job's function: each run lasts as long as the next of the durations says, and 1 s after the last of them."""

    def __init__(self, bench: Bench, *seconds: float) -> None:
        self._bench = bench
        self._seconds = list(seconds)

    def __call__(self) -> None:
        self._bench.note()
        ended = Event()
        self._bench.clock.call_later(self._seconds.pop(0) if self._seconds else 1, ended.set)
        ended.wait()


def ends_of(bench: Bench) -> list[tuple[str, str | None, float, float | None]]:
    """How the instants of the job have ended: outcome, reason, which instant, and when its run began (s)."""
    ended = []
    for event in bench.driver.events:
        if event.name.startswith("run.") and event.name.removeprefix("run.") in set(Outcome):
            run = getattr(event, "run", None)
            began = None if run is None or run.started_ms is None else (run.started_ms - bench.start_ms) / 1000
            scheduled = run.scheduled_ms if run is not None else event.span.first
            ended.append((event.name.removeprefix("run."), event.reason, (scheduled - bench.start_ms) / 1000, began))
    return sorted(ended, key=lambda end: end[2])


EACH = {"coalesce": False}

# The job is due every 10 s. What, its options, how long runs last -> when runs begin, and how the first instants end.
TABLE: list[tuple[str, dict[str, Any], list[float], list[float], list[tuple[str, str | None, float, float | None]]]] = [
    ("skip", {}, [25], [10, 40, 50],
     [("succeeded", None, 10, 10), ("skipped", "max_instances", 20, None), ("skipped", "max_instances", 30, None),
      ("succeeded", None, 40, 40)]),
    ("queue", {"overlap": "queue"}, [25], [10, 35, 40, 50],
     [("succeeded", None, 10, 10), ("coalesced", None, 20, None), ("succeeded", None, 30, 35),
      ("succeeded", None, 40, 40)]),
    ("queue, each", {"overlap": "queue", **EACH}, [25], [10, 35, 36, 40, 50],
     [("succeeded", None, 10, 10), ("succeeded", None, 20, 35), ("succeeded", None, 30, 36),
      ("succeeded", None, 40, 40)]),
    ("queue, each, with a limit", {"overlap": "queue", **EACH, "misfire_grace_time": 12}, [25], [10, 35, 40, 50],
     [("succeeded", None, 10, 10), ("missed", "waited", 20, None), ("succeeded", None, 30, 35),
      ("succeeded", None, 40, 40)]),
    ("queue, coalesced, with a limit", {"overlap": "queue", "misfire_grace_time": 12}, [25], [10, 35, 40, 50],
     [("succeeded", None, 10, 10), ("missed", "waited", 20, None), ("succeeded", None, 30, 35),
      ("succeeded", None, 40, 40)]),
    ("queue, two instances", {"overlap": "queue", "max_instances": 2}, [35, 35], [10, 20, 45, 50],
     [("succeeded", None, 10, 10), ("succeeded", None, 20, 20), ("coalesced", None, 30, None),
      ("succeeded", None, 40, 45), ("succeeded", None, 50, 50)]),
    ("queue, each, at most one", {"overlap": "queue", **EACH, "max_catchup": 1}, [25], [10, 35, 40, 50],
     [("succeeded", None, 10, 10), ("missed", "max_catchup", 20, None), ("succeeded", None, 30, 35),
      ("succeeded", None, 40, 40)]),
    ("cancel", {"overlap": "cancel"}, [25], [10, 20, 30, 40, 50],
     [("cancelled", "replaced", 10, 10), ("succeeded", None, 20, 20), ("succeeded", None, 30, 30)]),
    ("cancel, always too long", {"overlap": "cancel"}, [25] * 9, [10, 20, 30, 40, 50],
     [("cancelled", "replaced", 10, 10), ("cancelled", "replaced", 20, 20), ("cancelled", "replaced", 30, 30),
      ("cancelled", "replaced", 40, 40)]),
    ("cancel, two instances", {"overlap": "cancel", "max_instances": 2}, [25, 25], [10, 20, 30, 40, 50],
     [("cancelled", "replaced", 10, 10), ("succeeded", None, 20, 20), ("succeeded", None, 30, 30)]),
    ("cancel, each", {"overlap": "cancel", **EACH}, [25], [10, 20, 30, 40, 50],
     [("cancelled", "replaced", 10, 10), ("succeeded", None, 20, 20)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "seconds", "begun", "ends"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_an_instant_that_comes_at_the_limit_of_instances_is_skipped_waits_or_replaces(
    bench, options, seconds, begun, ends
):
    bench.every(10, Lasting(bench, *seconds), id="job", **options)
    bench.advance(58)
    assert bench.ran == begun
    assert ends_of(bench)[: len(ends)] == ends


# -- stopping the oldest run ------------------------------------------------------------------------------------------


def slow_to_stop(bench: Bench) -> Callable[[], None]:
    """A job's function that lasts for ever, and takes half a second to stop."""

    def work() -> None:
        bench.note()
        try:
            Event().wait()
        finally:
            cleaned_up = Event()
            bench.clock.call_later(0.5, cleaned_up.set)
            cleaned_up.wait()

    return work


def test_the_next_run_begins_when_the_one_that_it_replaces_has_ended_and_not_beside_it(bench):
    bench.every(10, slow_to_stop(bench), id="job", overlap="cancel")
    bench.advance(31)
    assert bench.ran == [10, 20.5, 30.5]


def test_a_run_that_swallows_its_end_is_killed_and_given_up_before_the_next_one_begins(bench):
    def stubborn() -> None:
        bench.note()
        while True:
            try:
                Event().wait()
            except BaseException:
                if bench.elapsed >= 100:
                    raise

    bench.every(10, stubborn, id="job", overlap="cancel", end_date=bench.clock.now.replace(minute=0, second=20))
    bench.advance(25)
    assert [event.step for event in bench.events("run.interrupted")] == ["raise", "kill", "abandon"]
    assert bench.ran == [10, 22]
    assert ends_of(bench) == [("cancelled", "replaced", 10, 10)]
    bench.clock.jump(100)


def test_a_run_that_waits_for_a_worker_is_replaced_at_once(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    bench.add(bench.wait, id="busy")
    bench.settle()
    bench.every(10, id="job", overlap="cancel")
    bench.advance(21)
    assert ends_of(bench)[0] == ("cancelled", "replaced", 10, None)
    bench.open_gate()
    assert bench.ran == [0, 21]
    (event,) = bench.events("run.cancelled")
    assert str(event.exception) == "replaced before it started"


def test_as_many_runs_are_stopped_as_a_lower_limit_asks_for(bench):
    job = bench.every(10, bench.wait, id="job", overlap="cancel", max_instances=4)
    bench.advance(41)
    assert bench.ran == [10, 20, 30, 40]
    job.modify(max_instances=2)
    bench.advance(10)
    assert bench.ran == [10, 20, 30, 40, 50]
    assert [end[2] for end in ends_of(bench) if end[1] == "replaced"] == [10, 20, 30]


def test_a_run_that_is_stopped_already_is_not_stopped_once_more(bench):
    job = bench.every(10, Lasting(bench, 60, 60), id="job", overlap="cancel", max_instances=2, timeout=15)
    bench.advance(31)
    assert ends_of(bench)[0][:3] == ("timed_out", None, 10)
    assert job.state == "running" and bench.names("run.cancelled") == []


def test_instants_that_are_late_together_replace_a_run_as_one(bench):
    bench.every(10, Lasting(bench, 500), id="job", overlap="cancel")
    bench.advance(11)
    bench.scheduler.pause()
    bench.advance(30)
    bench.scheduler.resume()
    bench.advance(1)
    assert ends_of(bench)[:2] == [("cancelled", "replaced", 10, 10), ("coalesced", None, 20, None)]
    assert [round(second) for second in bench.ran] == [10, 41]


def test_without_coalesce_instants_that_are_late_together_wait_their_turn_and_replace_nothing(bench):
    bench.every(10, Lasting(bench, 45), id="job", overlap="cancel", coalesce=False)
    bench.advance(11)
    bench.scheduler.pause()
    bench.advance(30)
    bench.scheduler.resume()
    bench.advance(18)
    assert bench.ran == [10, 55, 56, 57, 58]
    assert "run.cancelled" not in bench.names()


def lane_of(bench: Bench) -> Any:
    return bench.scheduler._engine.hub._lanes["default"]


def test_a_run_on_another_node_is_not_stopped_and_the_instant_waits(bench):
    bench.every(10, bench.wait, id="job", overlap="cancel", max_instances=2)
    lane_of(bench).elsewhere = {"job": 1}
    bench.advance(21)
    assert bench.ran == [10] and lane_of(bench).entries["job"].held_by is Hold.INSTANCES
    bench.open_gate()
    assert bench.ran == [10, 21]
    assert "run.cancelled" not in bench.names()


def test_a_held_job_says_what_it_waits_for(bench):
    bench.every(10, bench.wait, id="queue", overlap="queue")
    bench.every(10, slow_to_stop(bench), id="cancel", overlap="cancel")
    bench.scheduler.add_executor(GreenletPoolExecutor(1), "leaving")
    bench.every(10, executor="leaving", id="parked")
    bench.scheduler.remove_executor("leaving")
    bench.advance(10)
    assert lane_of(bench).entries["parked"].held_by is Hold.PARKED
    bench.advance(10)
    assert lane_of(bench).entries["cancel"].held_by is Hold.REPLACING
    bench.advance(1)
    assert lane_of(bench).entries["cancel"].held_by is None
    assert lane_of(bench).entries["queue"].held_by is Hold.INSTANCES


def test_nothing_is_kept_of_runs_that_have_ended(bench):
    bench.every(1, Lasting(bench, 5, 5), id="a", overlap="cancel", max_instances=2)
    bench.every(1, Lasting(bench), id="b")
    bench.advance(20)
    assert len(lane_of(bench).replaceable[lane_of(bench).entries["a"]]) <= 2
    bench.scheduler.remove_all_jobs()
    bench.advance(5)
    assert not lane_of(bench).replaceable and not lane_of(bench).released


# -- while an instant waits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pause_job", "remove_job"])
def test_an_instant_that_waits_is_skipped_when_its_job_is_paused_or_removed(bench, verb):
    bench.every(10, bench.wait, id="job", overlap="queue")
    bench.advance(25)
    getattr(bench.scheduler, verb)("job")
    bench.settle()
    assert ("skipped", "removed_or_paused", 20, None) in ends_of(bench)


def test_an_instant_that_waits_is_skipped_when_its_job_gets_another_trigger(bench):
    bench.every(10, bench.wait, id="job", overlap="queue")
    bench.advance(25)
    bench.scheduler.reschedule_job("job", trigger="interval", seconds=60)
    bench.settle()
    assert ("skipped", "rescheduled", 20, None) in ends_of(bench)


def test_an_instant_that_waits_begins_when_max_instances_is_raised(bench):
    job = bench.every(10, bench.wait, id="job", overlap="queue")
    bench.advance(25)
    job.modify(max_instances=2)
    bench.settle()
    assert bench.ran == [10, 25]


def test_an_instant_that_waits_is_skipped_when_the_scheduler_ends(make_bench):
    bench = make_bench().start()
    bench.every(10, bench.wait, id="job", overlap="queue")
    bench.advance(25)
    bench.scheduler.shutdown(wait=False)
    assert bench.ledger.outcomes("job") == {"cancelled": 1}


def test_what_is_missed_later_for_another_reason_did_not_wait(bench):
    bench.every(10, Lasting(bench, 25), id="job", overlap="queue", misfire_grace_time=12)
    bench.advance(38)
    bench.clock.jump(100)
    bench.advance(5)
    missed = [event for event in bench.driver.events if event.name == "run.missed"]
    assert [event.reason for event in missed] == ["waited", None]


def test_a_job_whose_last_instant_waits_ends_after_that_instant_has_run(bench):
    bench.every(10, Lasting(bench, 25), id="job", overlap="queue", end_date=bench.clock.now.replace(second=20))
    bench.advance(34)
    assert bench.scheduler.get_job("job") is not None
    bench.advance(3)
    assert bench.ran == [10, 35] and bench.scheduler.get_job("job") is None


def test_an_instant_that_waits_runs_in_place_of_a_retry_of_the_run_before_it(bench):
    def fail() -> None:
        Lasting(bench, 15)()
        raise ValueError

    bench.every(10, fail, id="job", overlap="queue", retries=3, retry_delay=1)
    bench.advance(26)
    assert ends_of(bench)[0] == ("failed", "superseded", 10, 10)
    assert bench.ran == [10, 25]


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said_by", ["the job", "the request"])
def test_a_request_at_the_limit_of_instances_is_skipped_waits_or_replaces(bench, said_by):
    for overlap in ("skip", "queue", "cancel"):
        of_job = overlap if said_by == "the job" else "cancel"
        bench.add(bench.wait, "interval", hours=1, id=overlap, overlap=of_job)
        bench.scheduler.run_job(overlap)
    bench.advance(1)
    asked = {
        overlap: bench.scheduler.run_job(overlap, overlap=None if said_by == "the job" else overlap)
        for overlap in ("skip", "queue", "cancel")
    }
    bench.advance(1)
    assert [round(second) for second in bench.ran] == [0, 0, 0, 1]
    assert [(event.job_id, event.reason) for event in bench.events("run.cancelled")] == [("cancel", "replaced")]
    assert [(event.job_id, event.reason) for event in bench.events("run.skipped")] == [("skip", "max_instances")]
    bench.open_gate()
    succeeded = {event.run.id for event in bench.events("run.succeeded")}
    assert {asked["queue"], asked["cancel"]} <= succeeded and asked["skip"] not in succeeded


def test_a_request_with_another_overlap_is_refused(bench):
    bench.every(10, id="job")
    with pytest.raises(InvalidJobError, match="overlap: expected 'skip', 'queue' or 'cancel', got 'allow'"):
        bench.scheduler.run_job("job", overlap="allow")
    assert bench.scheduler.get_job("job").run(overlap="queue").startswith("job!")


def test_a_request_replaces_the_oldest_run_of_a_job_that_replaces_none_itself(bench):
    bench.every(10, bench.wait, id="job", max_instances=3)
    bench.every(10, bench.wait, id="other")
    bench.advance(31)
    bench.scheduler.run_job("job", overlap="cancel")
    bench.advance(1)
    assert [event.run.scheduled_ms for event in bench.events("run.cancelled")] == [bench.at(10)]
    assert len(bench.scheduler.get_running("job")) == 3


def test_a_job_that_is_changed_replaces_its_oldest_run_from_then_on(bench):
    job = bench.every(10, bench.wait, id="job", max_instances=2)
    bench.advance(25)
    job.modify(overlap="cancel")
    bench.advance(16)
    assert [event.run.scheduled_ms for event in bench.events("run.cancelled")] == [bench.at(10), bench.at(20)]
    assert bench.ran == [10, 20, 30, 40]
