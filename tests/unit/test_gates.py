"""Gates: jobs of a group with a limit, which wait for their turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from bench import Bench
from gevent.event import Event
from hypothesis import given, settings, strategies as st

from gsched import DateTrigger, GreenletPoolExecutor, RateLimited, Retry, current_run
from gsched.jobs.limits import GroupLimits, checked_limit
from gsched.jobs.outcomes import Outcome
from gsched.jobs.pause import Pause
from gsched.policies.planning import Hold
from gsched.stores.messages import Admitted, Dropped, LimitsChanged, RunsElsewhere, SlotsTaken
from gsched.times.instants import from_ms

GROUP = "host:x"

added: Counter[Bench] = Counter()  # how many jobs `due_at` has added


def limit(bench: Bench, pattern: str | None = GROUP, pauses: dict[str, Pause] | None = None, **values: Any) -> None:
    """Give the groups that match a limit, in place of all limits that there were; without values none."""
    limits = [checked_limit(pattern, **values)] if values else []
    set_limits(bench, GroupLimits(limits, pauses))


def set_limits(bench: Bench, limits: GroupLimits) -> None:
    bench.scheduler.stores["default"]._tell(LimitsChanged(limits))
    bench.settle()


def lane_of(bench: Bench) -> Any:
    return bench.scheduler._engine.hub._lanes["default"]


def held_by(bench: Bench, job_id: str) -> Hold | None:
    return lane_of(bench).entries[job_id].held_by


def due_at(bench: Bench, *seconds: float, group: str | None = GROUP, func: Any = None, **options: Any) -> None:
    """Add a job for each of these times, numbered, that is due then once."""
    for second in seconds:
        trigger = DateTrigger(from_ms(bench.at(second)))
        bench.add(func or bench.note, trigger, id=f"job-{added[bench]}", group=group, **options)
        added[bench] += 1


class Lasting:
    """A job's function: each run lasts so long, and is noted when it begins, with the name of its job."""

    def __init__(self, bench: Bench, *seconds: float) -> None:
        self._bench = bench
        self._seconds = list(seconds)
        self.running = self.most = 0

    def __call__(self) -> None:
        self._bench.note(current_run().job_id)
        self.running += 1
        self.most = max(self.most, self.running)
        ended = Event()
        self._bench.clock.call_later(self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0], ended.set)
        ended.wait()
        self.running -= 1


def ends_of(bench: Bench, job_id: str) -> list[tuple[str, str | None, float, float | None]]:
    """How the instants of a job have ended: outcome, reason, which instant, and when its run began (s)."""
    ended = []
    for event in bench.driver.events:
        name = event.name.removeprefix("run.")
        if event.name.startswith("run.") and name in set(Outcome) and event.job_id == job_id:
            run = getattr(event, "run", None)
            began = None if run is None or run.started_ms is None else (run.started_ms - bench.start_ms) / 1000
            scheduled = run.scheduled_ms if run is not None else event.span.first
            ended.append((name, event.reason, (scheduled - bench.start_ms) / 1000, began))
    return sorted(ended, key=lambda end: (end[2], end[3] or 0))


# -- the rate ---------------------------------------------------------------------------------------------------------

# What, the limit, when jobs are due -> when their runs begin.
RATES: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("one at a time", {"rate": "2/s"}, [1] * 5, [1, 1.5, 2, 2.5, 3]),
    ("a burst", {"rate": "2/s", "burst": 3}, [1] * 6, [1, 1, 1, 1.5, 2, 2.5]),
    ("a burst after a rest", {"rate": "2/s", "burst": 3}, [1, 10, 10, 10, 10, 10, 10], [1, 10, 10, 10, 10.5, 11, 11.5]),
    ("two in a row", {"rate": "30/min"}, [1, 1, 6, 6], [1, 3, 6, 8]),
    ("few an hour", {"rate": "2/h"}, [1, 2], [1, 1801]),
    ("a period that is no whole number", {"rate": "3/s"}, [1] * 3, [1, 1.334, 1.668]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "due", "begun"), [row[1:] for row in RATES], ids=[row[0] for row in RATES])
def test_no_more_runs_begin_than_the_rate_and_the_burst_allow(bench, values, due, begun):
    limit(bench, **values)
    due_at(bench, *due)
    bench.advance(2000)
    assert bench.ran == begun


def test_a_run_on_request_spends_the_rate_as_any_run(bench):
    limit(bench, rate="2/s")
    job = bench.every(3600, group=GROUP)
    for _ in range(3):
        job.run(overlap="queue")
    bench.settle()
    due_at(bench, 0.2)
    bench.advance(10)
    assert bench.ran == [0, 0.5, 1, 1.5]


def test_what_was_allowed_and_not_used_is_kept_up_to_the_burst(bench):
    limit(bench, rate="2/s", burst=2)
    due_at(bench, 1, 1, 1, 2, 2, 100, 100, 100)
    bench.advance(200)
    assert bench.ran == [1, 1, 1.5, 2, 2.5, 100, 100, 100.5]


# -- the concurrency --------------------------------------------------------------------------------------------------

A, B = "a", "b"


def two_jobs(bench: Bench, **options: Any) -> Lasting:
    """Two jobs of a group, due every 10 s, of which each run takes 7 s."""
    lasting = Lasting(bench, 7)
    for job_id in (A, B):
        bench.every(10, lasting, id=job_id, group=GROUP, **options)
    return lasting


def test_jobs_of_a_group_take_turns_and_what_becomes_due_meanwhile_coalesces(bench):
    limit(bench, concurrency=1)
    lasting = two_jobs(bench)
    bench.advance(44)
    assert bench.ran == [(10, A), (17, B), (24, A), (31, B), (38, A)]
    assert lasting.most == 1
    assert ends_of(bench, A)[:2] == [("succeeded", None, 10, 10), ("succeeded", None, 20, 24)]
    assert ends_of(bench, B)[:3] == [
        ("succeeded", None, 10, 17), ("coalesced", None, 20, None), ("succeeded", None, 30, 31)
    ]  # fmt: skip


def test_an_instant_that_waits_too_long_for_its_turn_is_missed_for_the_limit(bench):
    limit(bench, concurrency=1)
    two_jobs(bench, misfire_grace_time=5)
    bench.advance(19)
    assert bench.ran == [(10, A)]
    assert ends_of(bench, B) == [("missed", "limited", 10, None)]


def test_without_coalesce_each_instant_takes_a_turn_of_its_own(bench):
    limit(bench, concurrency=1)
    bench.every(10, Lasting(bench, 25, 1), id=A, group=GROUP)
    bench.every(10, Lasting(bench, 1), id=B, group=GROUP, coalesce=False)
    bench.advance(39)
    assert bench.ran == [(10, A), (35, B), (36, A), (37, B), (38, B)]


def test_a_plan_of_more_runs_than_there_is_room_for_is_cut_and_the_rest_goes_to_the_end_of_the_queue(bench):
    limit(bench, concurrency=2)
    bench.add(Lasting(bench, 31), DateTrigger(from_ms(bench.at(5))), id="first", group=GROUP)
    bench.add(Lasting(bench, 31), DateTrigger(from_ms(bench.at(5))), id="second", group=GROUP)
    bench.every(10, Lasting(bench, 2), id="each", group=GROUP, coalesce=False, max_instances=10)
    bench.add(Lasting(bench, 2), DateTrigger(from_ms(bench.at(12))), id="other", group=GROUP)
    bench.advance(39.5)
    assert bench.ran[2:] == [(36, "each"), (36, "other"), (38, "each"), (38, "each")]
    assert [end[2] for end in ends_of(bench, "each")] == [10]


def test_jobs_without_a_group_and_of_other_groups_do_not_wait(bench):
    limit(bench, concurrency=1)
    lasting = Lasting(bench, 7)
    for name, group in (("in", GROUP), ("full", GROUP), ("other", "host:y"), ("none", None)):
        bench.add(lasting, DateTrigger(from_ms(bench.at(1))), id=name, group=group)
    bench.advance(2)
    assert [name for _, name in bench.ran] == ["in", "other", "none"]
    assert held_by(bench, "full") is Hold.GATE


def test_a_pattern_gives_each_group_a_limit_of_its_own_and_the_longest_one_holds(bench):
    set_limits(bench, GroupLimits([checked_limit("host:*", concurrency=1), checked_limit(GROUP, concurrency=2)]))
    for group in (GROUP, "host:y", "host:z", "cpu"):
        for number in range(3):
            bench.add(bench.wait, DateTrigger(from_ms(bench.at(1))), id=f"{group}-{number}", group=group)
    bench.advance(2)
    running = [run.job_id for run in bench.scheduler.get_running()]
    assert sorted(running) == ["cpu-0", "cpu-1", "cpu-2", "host:x-0", "host:x-1", "host:y-0", "host:z-0"]


def test_both_limits_must_admit_a_run(bench):
    limit(bench, rate="1/s", burst=2, concurrency=3)
    lasting = Lasting(bench, 2.5)
    due_at(bench, *[1] * 7, func=lasting)
    bench.advance(20)
    assert [second for second, _ in bench.ran] == [1, 1, 2, 3.5, 4, 5, 6]
    assert lasting.most == 3


def test_a_run_that_waits_for_a_worker_counts(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1)}).start()
    limit(bench, concurrency=2)
    due_at(bench, 1, 1, 1, func=bench.wait)
    bench.advance(2)
    assert [held_by(bench, f"job-{number}") for number in range(3)] == [None, None, Hold.GATE]
    bench.open_gate()
    assert len(bench.ran) == 3


def test_runs_on_other_nodes_count_until_they_have_ended(bench):
    limit(bench, concurrency=2)
    store = bench.scheduler.stores["default"]
    store._tell(RunsElsewhere({"job-0": 1}, {GROUP: 2}))
    due_at(bench, 1, 1, func=bench.wait)
    bench.advance(2)
    assert bench.ran == []
    store._tell(RunsElsewhere({}, {GROUP: 1}))
    bench.settle()
    assert bench.ran == [2]
    store._tell(RunsElsewhere({}))
    bench.settle()
    assert bench.ran == [2, 2]


# -- what is left of gates --------------------------------------------------------------------------------------------


def test_a_job_that_is_removed_and_added_again_finds_what_its_runs_have_spent(bench):
    limit(bench, rate="1/min")
    bench.add(bench.note, id="job", group=GROUP)
    bench.settle()
    assert (bench.ran, bench.ids()) == ([0], [])
    bench.add(bench.note, id="job", group=GROUP)
    bench.advance(61)
    assert bench.ran == [0, 60]


def test_a_gate_is_gone_when_its_group_has_no_jobs_and_its_bucket_is_full(bench):
    limit(bench, "*", rate="1/min", concurrency=3)
    due_at(bench, 1)
    bench.advance(60.9)
    assert GROUP in lane_of(bench).gates
    bench.advance(0.2)
    assert not lane_of(bench).gates and lane_of(bench).gates.next_opening() is None


def test_a_gate_without_a_rate_is_gone_with_the_last_job_of_its_group(bench):
    limit(bench, "*", concurrency=3)
    due_at(bench, 1)
    bench.advance(2)
    assert not lane_of(bench).gates


def test_a_lane_whose_jobs_are_in_no_limited_group_has_no_gates(bench):
    limit(bench, "host:*", concurrency=1)
    due_at(bench, 1, 1, group="cpu")
    due_at(bench, 1, group=None)
    assert not lane_of(bench).gates


# -- looking ----------------------------------------------------------------------------------------------------------


def groups_of(bench: Bench) -> list[dict[str, Any]]:
    return bench.scheduler._engine.hub.activity()["groups"]


def test_the_activity_has_what_runs_waits_and_began_in_each_limited_group(bench):
    set_limits(bench, GroupLimits([checked_limit(GROUP, concurrency=1), checked_limit("host:y", rate="10/s")]))
    due_at(bench, 1, 2, 3, func=bench.wait)
    due_at(bench, 1, group=None)
    bench.every(20, group="host:y")
    bench.advance(50)
    x, y = groups_of(bench)
    assert x == {"group": GROUP, "running": 1, "waiting": 2, "starts": 1, "held_since": bench.at(2)}
    assert y == {"group": "host:y", "running": 0, "waiting": 0, "starts": 2, "held_since": None}
    bench.advance(50)
    assert [group["starts"] for group in groups_of(bench)] == [0, 3]
    bench.open_gate()
    bench.advance(1)
    assert [(group["waiting"], group["held_since"]) for group in groups_of(bench)] == [(0, None)]


def test_time_without_anybody_waiting_is_not_time_held(bench):
    limit(bench, rate="1/min")
    due_at(bench, 1, 2)
    job = bench.every(3600, group=GROUP)
    bench.advance(100)
    job.run()
    bench.settle()
    (group,) = groups_of(bench)
    assert (group["waiting"], group["held_since"]) == (1, bench.at(100))


def test_the_time_of_a_job_that_was_removed_while_it_waited_is_not_counted(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, 2, 30, func=bench.wait)
    bench.advance(10)
    bench.scheduler.remove_job("job-1")
    bench.advance(30)
    (group,) = groups_of(bench)
    assert group["held_since"] == bench.at(30)


def test_jobs_that_wait_for_their_turn_are_counted_as_waiting(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, 1, 1, func=bench.wait)
    bench.advance(2)
    assert bench.scheduler._engine.hub.jobs()["waiting"] == 2


# -- the end of the scheduler -----------------------------------------------------------------------------------------


def test_what_waits_for_its_turn_when_the_scheduler_stops_is_late_at_the_next_start(bench):
    limit(bench, rate="1/min")
    due_at(bench, 1, 1)
    bench.advance(2)
    bench.scheduler.shutdown()
    assert bench.ran == [1]
    bench.scheduler.start()
    bench.settle()
    set_limits(bench, GroupLimits())
    assert bench.ran == [1, 2]


def test_a_request_that_waits_for_its_turn_when_the_scheduler_stops_is_skipped(bench):
    limit(bench, rate="1/min")
    due_at(bench, 1)
    job = bench.every(3600, group=GROUP)
    bench.advance(2)
    job.run()
    bench.settle()
    bench.scheduler.shutdown()
    assert [(event.name, event.reason) for event in bench.events("run.skipped")] == [("run.skipped", "shutdown")]


# -- a change of the owner --------------------------------------------------------------------------------------------


def take_slot(bench: Bench, *numbers: int) -> None:
    """Other schedulers owned these slots until now. All groups are in slot 7."""
    bench.scheduler.stores["default"]._tell(SlotsTaken(numbers, lambda group: 7))
    bench.settle()


def test_a_new_owner_begins_with_an_empty_bucket(bench):
    limit(bench, rate="2/s", burst=3)
    take_slot(bench, 7)
    due_at(bench, *[0] * 5)
    bench.advance(10)
    assert bench.ran == [0.5, 1, 1.5, 2, 2.5]


def test_a_bucket_fills_from_the_time_at_which_the_slot_was_taken_whenever_the_first_job_comes(bench):
    limit(bench, rate="2/s", burst=3)
    take_slot(bench, 7)
    bench.advance(1.1)
    due_at(bench, *[1.1] * 4)
    bench.advance(10)
    assert bench.ran == [1.1, 1.1, 1.5, 2]


def test_a_scheduler_that_lost_a_slot_and_takes_it_again_does_not_trust_its_bucket(bench):
    limit(bench, rate="2/s", burst=3)
    bench.every(3600, group=GROUP)
    due_at(bench, 1)
    bench.advance(60)
    take_slot(bench, 7)
    due_at(bench, *[60] * 3)
    bench.advance(10)
    assert bench.ran == [1, 60.5, 61, 61.5]


def test_slots_of_other_groups_leave_the_bucket_as_it_is(bench):
    limit(bench, rate="2/s", burst=3)
    take_slot(bench, 6, 8)
    due_at(bench, *[0] * 4)
    bench.advance(10)
    assert bench.ran == [0, 0, 0, 0.5]


def test_a_run_that_ended_on_another_node_may_have_begun_there_lately(bench):
    store = bench.scheduler.stores["default"]
    limit(bench, rate="1/s", burst=2)
    store._tell(RunsElsewhere({}, {GROUP: 3}))
    due_at(bench, 10, 10, 10, func=bench.wait)
    bench.advance(9)
    store._tell(RunsElsewhere({}, {GROUP: 2}))
    bench.advance(5)
    assert bench.ran == [10, 10, 11]
    store._tell(RunsElsewhere({}))
    due_at(bench, 14, 14, func=bench.wait)
    bench.advance(5)
    assert bench.ran[3:] == [15, 16]


def test_what_waited_here_for_its_turn_when_another_node_went_on_is_skipped(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    bench.every(10, id="job", group=GROUP)
    bench.advance(12)
    job = lane_of(bench).entries["job"].job
    bench.scheduler.stores["default"]._tell(Admitted(job, bench.at(20), is_new=False))
    bench.settle()
    assert ends_of(bench, "job") == [("skipped", "limited", 10, None)]


def test_a_job_that_another_node_takes_over_still_takes_its_turn_with_what_was_claimed(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    bench.every(10, id="job", group=GROUP)
    bench.advance(12)
    bench.scheduler.stores["default"]._tell(Dropped("job", bench.at(15)))
    bench.advance(30)
    assert held_by(bench, "job") is Hold.GATE
    bench.open_gate()
    assert bench.ran == [1, 42] and "job" not in lane_of(bench).entries
    assert [end[:3] for end in ends_of(bench, "job")] == [("succeeded", None, 10)]


# -- overlap ----------------------------------------------------------------------------------------------------------


def test_an_instant_that_finds_the_gate_full_waits_though_a_run_of_its_own_job_is_in_progress(bench):
    limit(bench, concurrency=1)
    bench.every(10, Lasting(bench, 25, 1), id="job", group=GROUP)
    bench.advance(45)
    assert bench.ran == [(10, "job"), (35, "job"), (40, "job")]
    assert ends_of(bench, "job")[1:3] == [("coalesced", None, 20, None), ("succeeded", None, 30, 35)]


def test_an_instant_whose_turn_comes_while_a_run_of_its_own_job_is_in_progress_is_skipped(bench):
    limit(bench, concurrency=2)
    due_at(bench, 1, func=Lasting(bench, 12))
    bench.every(10, Lasting(bench, 25, 1), id="job", group=GROUP)
    bench.every(10, Lasting(bench, 1), id="next", group=GROUP)
    bench.advance(21)
    assert bench.ran[1:] == [(10, "job"), (13, "next"), (20, "next")]
    assert ends_of(bench, "job") == [("skipped", "max_instances", 20, None)]


def test_a_job_may_replace_its_own_run_at_a_gate_that_this_run_fills(bench):
    limit(bench, concurrency=1)
    bench.every(10, Lasting(bench, 25, 1), id="job", group=GROUP, overlap="cancel")
    bench.advance(21)
    assert bench.ran == [(10, "job"), (20, "job")]
    assert ends_of(bench, "job")[0] == ("cancelled", "replaced", 10, 10)


def test_the_end_of_a_run_of_the_job_does_not_pass_others_at_the_gate(bench):
    limit(bench, concurrency=1)
    bench.every(10, Lasting(bench, 15, 3), id="queues", group=GROUP, overlap="queue")
    bench.add(Lasting(bench, 3), DateTrigger(from_ms(bench.at(12))), id="waits", group=GROUP)
    bench.advance(29)
    assert bench.ran == [(10, "queues"), (25, "waits"), (28, "queues")]


# -- runs outside the schedule ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
def test_a_request_that_finds_the_gate_full_waits_whatever_its_overlap(bench, overlap):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    job = bench.every(3600, group=GROUP)
    bench.advance(2)
    job.run(overlap=overlap)
    bench.advance(1)
    assert bench.ran == [1]
    bench.open_gate()
    assert bench.ran == [1, 3]
    assert set(bench.names()) == {"run.succeeded"}


def test_a_retry_waits_for_its_turn(bench):
    limit(bench, concurrency=2)
    failing = [ValueError("once")]

    def fetch() -> None:
        bench.note("fetch")
        if failing:
            raise failing.pop()

    bench.add(fetch, DateTrigger(from_ms(bench.at(1))), id="fetch", group=GROUP, retries=1, retry_delay=5)
    due_at(bench, 2, 2, func=bench.wait)
    bench.advance(10)
    assert bench.ran == [(1, "fetch"), 2, 2]
    bench.open_gate()
    assert bench.ran[3:] == [(10, "fetch")]
    assert bench.names() == ["run.retrying", "run.succeeded", "run.succeeded", "run.succeeded"]


def test_instants_and_requests_take_turns(bench):
    limit(bench, concurrency=1)
    lasting = Lasting(bench, 1)
    due_at(bench, 1, 1, 1, func=lasting)
    for job_id in ("x", "y", "z"):
        bench.every(3600, lasting, id=job_id, group=GROUP)
    bench.advance(1)
    for job_id in ("x", "y", "z"):
        bench.scheduler.run_job(job_id)
    bench.advance(10)
    assert [job_id for _, job_id in bench.ran] == ["job-0", "job-1", "x", "job-2", "y", "z"]


def test_several_requests_of_one_job_wait_behind_those_of_others(bench):
    limit(bench, concurrency=1)
    lasting = Lasting(bench, 1)
    due_at(bench, 1, func=lasting)
    for job_id in ("x", "y"):
        bench.every(3600, lasting, id=job_id, group=GROUP, overlap="queue", max_instances=5)
    bench.advance(1)
    for job_id in ("x", "x", "x", "y"):
        bench.scheduler.run_job(job_id)
    bench.advance(10)
    assert [job_id for _, job_id in bench.ran] == ["job-0", "x", "y", "x", "x"]


def test_a_paused_job_that_somebody_runs_waits_for_its_turn(bench):
    limit(bench, rate="1/s")
    job = bench.every(3600, group=GROUP)
    job.pause()
    due_at(bench, 1)
    bench.advance(1)
    job.run()
    bench.advance(5)
    assert bench.ran == [1, 2]


# -- changes ----------------------------------------------------------------------------------------------------------


def five_held(bench: Bench, **values: Any) -> None:
    """Five jobs with a run that lasts, one of which has begun."""
    limit(bench, **values)
    due_at(bench, *[1] * 5, func=bench.wait)
    bench.advance(2)
    assert bench.ran == [1]


def test_a_raised_limit_lets_as_many_go_as_it_allows_at_once(bench):
    five_held(bench, concurrency=1)
    limit(bench, concurrency=3)
    assert bench.ran == [1, 2, 2]
    bench.open_gate()
    assert len(bench.ran) == 5


def test_a_raised_rate_lets_go_what_it_allows(bench):
    five_held(bench, rate="1/h")
    limit(bench, rate="1/s", burst=2)
    bench.advance(3)
    assert bench.ran == [1, 2, 3, 4, 5]


def test_a_limit_that_is_removed_lets_all_go(bench):
    five_held(bench, concurrency=1)
    limit(bench)
    assert bench.ran == [1, 2, 2, 2, 2]
    assert not lane_of(bench).gates


def test_a_lowered_limit_stops_nothing_and_holds_until_fewer_are_in_progress(bench):
    limit(bench, concurrency=3)
    lasting = Lasting(bench, 4, 6, 8, 1)
    due_at(bench, 1, 1, 1, 2, func=lasting)
    bench.advance(3)
    limit(bench, concurrency=1)
    bench.advance(10)
    assert [second for second, _ in bench.ran] == [1, 1, 1, 9]
    assert set(bench.names()) == {"run.succeeded"}


def test_runs_that_began_before_there_was_a_limit_count(bench):
    due_at(bench, 1, 1, 5, 5, func=bench.wait)
    bench.advance(2)
    limit(bench, concurrency=3)
    bench.advance(8)
    assert bench.ran == [1, 1, 5]
    limit(bench, concurrency=4)
    assert bench.ran == [1, 1, 5, 10]


def test_runs_count_in_the_group_in_which_they_began(bench):
    limit(bench, "host:*", concurrency=1)
    due_at(bench, 1, func=bench.wait)
    bench.advance(2)
    bench.every(3600, id="job-0", group="host:y", replace_existing=True)
    limit(bench, "host:*", concurrency=1)  # a store may announce what has not changed
    due_at(bench, 3, 3, func=bench.wait)
    due_at(bench, 3, func=bench.wait, group="host:y")
    bench.advance(2)
    assert bench.ran == [1, 3]
    bench.open_gate()
    assert len(bench.ran) == 4


def test_a_job_that_waits_and_gets_another_group_takes_its_turn_there(bench):
    set_limits(bench, GroupLimits([checked_limit(GROUP, concurrency=1), checked_limit("host:y", concurrency=1)]))
    due_at(bench, 1, func=bench.wait)
    for job_id in ("same", "moved"):
        bench.every(10, id=job_id, group=GROUP)
    bench.advance(12)
    assert held_by(bench, "moved") is Hold.GATE
    bench.every(10, id="moved", group="host:y", replace_existing=True)
    bench.settle()
    assert bench.ran == [1, 12]
    assert held_by(bench, "same") is Hold.GATE


@pytest.mark.parametrize("change", ["remove", "pause"])
def test_a_job_that_is_removed_or_paused_while_it_waits_leaves_the_queue(bench, change):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    bench.every(10, id="job", group=GROUP)
    bench.advance(12)
    getattr(bench.scheduler.get_job("job"), change)()
    bench.settle()
    assert ends_of(bench, "job") == [("skipped", "removed_or_paused", 10, None)]
    assert not lane_of(bench).gates[GROUP].is_awaited
    bench.open_gate()
    assert bench.ran == [1]


def test_a_job_that_gets_another_trigger_while_it_waits_leaves_the_queue(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    job = bench.every(10, id="job", group=GROUP)
    bench.advance(12)
    job.reschedule("interval", seconds=100)
    bench.settle()
    assert not lane_of(bench).gates[GROUP].is_awaited
    bench.open_gate()
    assert bench.ran == [1] and bench.names("hub.failed") == []


def test_a_request_that_waits_for_its_turn_ends_with_its_job_though_a_run_of_the_job_goes_on(bench):
    limit(bench, concurrency=1)
    job = bench.every(10, bench.wait, id="job", group=GROUP, max_instances=2)
    bench.advance(11)
    job.run()
    bench.settle()
    job.remove()
    bench.settle()
    assert not lane_of(bench).gates[GROUP].is_awaited
    bench.open_gate()
    assert bench.ran == [10] and bench.names("hub.failed") == []


def test_the_hub_does_not_sleep_while_somebody_may_pass_a_gate(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, 1, func=bench.wait)
    bench.advance(2)
    lane = lane_of(bench)
    assert lane.next_wakeup(bench.clock) is None
    lane.gates.open[lane.gates[GROUP]] = None  # as when a run ends while the hub serves another store
    assert lane.next_wakeup(bench.clock) == bench.clock.now_ms()


def test_the_time_of_a_gate_that_is_gone_does_not_keep_the_hub_awake(bench):
    limit(bench, rate="1/h", burst=1)
    due_at(bench, 1, 2)
    bench.advance(3)
    gates = lane_of(bench).gates
    assert gates.timers and bench.ran == [1]
    limit(bench)
    bench.advance(1)
    assert not gates and gates.timers and bench.ran == [1, 3]
    assert lane_of(bench).next_wakeup(bench.clock) is None


def test_a_job_whose_options_change_while_it_waits_keeps_its_place(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    for job_id in (A, B):
        bench.every(10, Lasting(bench, 1), id=job_id, group=GROUP)
    bench.advance(12)
    bench.scheduler.modify_job(A, max_instances=5)
    bench.settle()
    assert bench.ran == [1] and held_by(bench, A) is Hold.GATE
    bench.open_gate()
    bench.advance(1)
    assert bench.ran == [1, (12, A), (13, B)]


def test_a_job_whose_runs_are_counted_counts_none_while_it_waits(bench):
    limit(bench, concurrency=1)
    due_at(bench, 1, func=bench.wait)
    bench.every(10, id="job", group=GROUP, max_runs=2)
    bench.advance(12)
    bench.open_gate()
    bench.advance(28)
    assert bench.ran == [1, 12, 20]


def test_a_job_whose_executor_is_gone_when_its_turn_comes_is_parked_and_the_next_one_goes(bench):
    limit(bench, concurrency=1)
    bench.scheduler.add_executor(GreenletPoolExecutor(), alias="other")
    due_at(bench, 1, func=bench.wait)
    bench.every(10, id="parked", group=GROUP, executor="other")
    bench.every(10, id="next", group=GROUP)
    bench.advance(12)
    bench.scheduler.remove_executor("other", shutdown=False)
    bench.open_gate()
    assert bench.ran == [1, 12]
    assert held_by(bench, "parked") is Hold.PARKED


# -- pauses -----------------------------------------------------------------------------------------------------------


def test_a_paused_group_waits_until_it_is_resumed_and_the_limit_spreads_what_has_waited(bench):
    limit(bench, rate="1/s", pauses={"host:*": Pause()})
    for job_id in (A, B):
        bench.every(10, id=job_id, group=GROUP)
    bench.every(10, bench.note, id="none", args=["none"])
    bench.advance(35)
    assert bench.ran == [(10, "none"), (20, "none"), (30, "none")]
    limit(bench, rate="1/s")
    bench.advance(2)
    assert bench.ran[3:] == [35, 36]
    assert ends_of(bench, A)[-1] == ("succeeded", None, 30, 35)


def test_a_pause_ends_by_itself_and_a_group_without_a_limit_goes_on_at_once(bench):
    set_limits(bench, GroupLimits((), {GROUP: Pause(until_ms=bench.at(25.5))}))
    due_at(bench, 1, 2, 26)
    bench.advance(30)
    assert bench.ran == [25.5, 25.5, 26]


def test_the_last_of_several_pauses_counts(bench):
    set_limits(bench, GroupLimits((), {GROUP: Pause(until_ms=bench.at(5)), "*": Pause(until_ms=bench.at(8))}))
    due_at(bench, 1, 6)
    bench.advance(30)
    assert bench.ran == [8, 8]


def test_a_pause_ends_by_the_clock_that_shows_the_time(bench):
    set_limits(bench, GroupLimits((), {GROUP: Pause(until_ms=bench.at(3600))}))
    due_at(bench, 1)
    bench.advance(10)
    bench.driver.jump(3590)
    assert bench.ran == [3600]


def test_a_request_waits_while_the_group_is_paused(bench):
    set_limits(bench, GroupLimits((), {GROUP: Pause()}))
    job = bench.every(3600, group=GROUP)
    job.run(overlap="skip")
    bench.advance(5)
    assert bench.ran == []
    set_limits(bench, GroupLimits())
    assert bench.ran == [5]


# -- RateLimited ------------------------------------------------------------------------------------------------------


class Refused:
    """A job's function: a server refuses its first calls, for so many seconds each."""

    def __init__(self, bench: Bench, *seconds: float) -> None:
        self._bench = bench
        self._seconds = list(seconds)

    def __call__(self) -> None:
        self._bench.note(current_run().job_id)
        if self._seconds:
            raise RateLimited(self._seconds.pop(0))


def test_a_run_that_is_refused_closes_the_gate_and_is_the_first_to_begin_again(bench):
    limit(bench, concurrency=1)
    refused = Refused(bench, 30)
    for job_id in (A, B):
        bench.every(10, refused, id=job_id, group=GROUP)
    bench.advance(41)
    assert bench.ran == [(10, A), (40, A), (40, B), (40, A)]
    (event,) = bench.events("run.retrying")
    assert (event.reason, event.run.attempt, event.retry_at) == ("limited", 1, from_ms(bench.at(40)))
    assert ("succeeded", None, 10, 40) in ends_of(bench, A)


def test_a_refused_run_spends_no_try_and_is_not_superseded(bench):
    limit(bench, rate="100/s")
    bench.every(10, Refused(bench, 15, 15, 15), id=A, group=GROUP)
    bench.advance(56)
    assert bench.names()[:4] == ["run.retrying"] * 3 + ["run.succeeded"]
    assert ("succeeded", None, 10, 55) in ends_of(bench, A)


def test_a_refused_run_of_a_group_without_a_limit_is_retried_alone(bench):
    trigger = DateTrigger(from_ms(bench.at(10)))
    bench.add(Refused(bench, 30), trigger, id=A, group=GROUP)
    due_at(bench, 20)
    bench.advance(41)
    assert bench.ran == [(10, A), 20, (40, A)]
    (event,) = bench.events("run.retrying")
    assert event.reason is None


def test_a_refused_run_is_given_up_when_it_would_begin_too_late(bench):
    limit(bench, concurrency=1)
    bench.every(10, Refused(bench, 30), id=A, group=GROUP, retry_within=20)
    bench.advance(39)
    assert ends_of(bench, A)[0] == ("failed", "retry_within", 10, 10)
    assert bench.ran == [(10, A)]
    bench.advance(2)
    assert len(bench.ran) == 2


@pytest.mark.parametrize("seconds", [-1, "soon", None, True])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(ValueError, match="RateLimited"):
        RateLimited(seconds)


def test_rate_limited_survives_the_way_from_another_process():
    import pickle

    error = pickle.loads(pickle.dumps(RateLimited(2.5)))
    assert (type(error), error.seconds, error.count, isinstance(error, Retry)) == (RateLimited, 2.5, False, True)


# -- whatever comes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """Jobs of one group, its limit, and how long their runs take."""

    concurrency: int | None
    period_ms: int | None
    burst: int
    intervals: list[float]
    seconds: list[float]
    options: dict[str, Any]


loads = st.builds(
    Load,
    concurrency=st.none() | st.integers(1, 4),
    period_ms=st.none() | st.integers(100, 5000),
    burst=st.integers(1, 4),
    intervals=st.lists(st.integers(1, 40).map(lambda halves: halves / 2), min_size=1, max_size=8),
    seconds=st.lists(st.integers(0, 30).map(lambda quarters: quarters / 4), min_size=1, max_size=8),
    options=st.fixed_dictionaries(
        {},
        optional={
            "coalesce": st.booleans(),
            "max_instances": st.integers(1, 3),
            "misfire_grace_time": st.integers(1, 10),
            "overlap": st.sampled_from(["skip", "queue"]),
        },
    ),
)


@given(loads)
@settings(max_examples=40)
def test_a_group_keeps_its_limits_passes_nobody_over_and_gives_each_instant_one_outcome(load):
    bench = Bench().start()
    steps = watched(bench)
    try:
        lasting = carry(bench, load)
        assert load.concurrency is None or lasting.most <= load.concurrency
        if load.period_ms is not None:
            assert_rate([second * 1000 for second, _ in bench.ran], load.period_ms, load.burst)
        assert_turns(steps)
        assert_one_outcome_each(bench)
    finally:
        bench.close()


def carry(bench: Bench, load: Load) -> Lasting:
    """Run the jobs for a minute."""
    rate = {} if load.period_ms is None else {"rate": 1000 / load.period_ms, "burst": load.burst}
    if rate or load.concurrency is not None:
        limit(bench, concurrency=load.concurrency, **rate)
    lasting = Lasting(bench, *load.seconds)
    for number, interval in enumerate(load.intervals):
        bench.every(interval, lasting, id=f"job-{number}", group=GROUP, **load.options)
    bench.advance(60)
    return lasting


def assert_rate(begun: list[float], period_ms: float, burst: int) -> None:
    """In no window from one start to another are there more starts than the rate and the burst allow."""
    for first, begins in enumerate(begun):
        for last in range(first, len(begun)):
            assert last - first + 1 <= (begun[last] - begins) / period_ms + burst + 1e-6


def watched(bench: Bench) -> list[tuple[str, str]]:
    """What happens at the gate: which job waits, whose turn comes, of which job a run begins."""
    lane, dispatch = lane_of(bench), bench.scheduler._engine.hub.dispatch
    steps: list[tuple[str, str]] = []
    hold, release, submit = lane.hold, lane.release, dispatch._submit

    def watch_hold(entry: Any, due: int, by: Hold) -> None:
        if by is Hold.GATE:
            steps.append(("waits", entry.job.id))
        hold(entry, due, by)

    def watch_release(entry: Any) -> None:
        if entry.held_by is Hold.GATE:
            steps.append(("turn", entry.job.id))
        release(entry)

    def watch_submit(entry: Any, run: Any) -> None:
        steps.append(("begins", entry.job.id))
        submit(entry, run)

    lane.hold, lane.release, dispatch._submit = watch_hold, watch_release, watch_submit
    return steps


def assert_turns(steps: list[tuple[str, str]]) -> None:
    """While a job waits, no other one has two turns, and none begins out of turn."""
    for at, (step, job_id) in enumerate(steps):
        if step == "waits":
            meanwhile = steps[at + 1 :]
            if ("turn", job_id) in meanwhile:
                meanwhile = meanwhile[: meanwhile.index(("turn", job_id))]
            turns = Counter(other for kind, other in meanwhile if kind == "turn")
            assert all(count == 1 for count in turns.values())
            assert {other for kind, other in meanwhile if kind == "begins"} <= turns.keys()


def assert_one_outcome_each(bench: Bench) -> None:
    until = bench.clock.now_ms()
    jobs = [lane_of(bench).entries[handle.id].job for handle in bench.scheduler.get_jobs()]
    set_limits(bench, GroupLimits())
    for job in jobs:
        bench.scheduler.pause_job(job.id)
    bench.advance(60)
    for job in jobs:
        assert bench.ledger.problems(job, job.next_run_ms, until) == []
