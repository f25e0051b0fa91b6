"""Planning: one table of decisions, and properties that hold for every job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gsched.errors import InvalidTriggerError
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Span
from gsched.jobs.policy import OVERLAPS, SKIP, Policy
from gsched.policies.planning import Hold, Plan, plan
from gsched.triggers import BaseTrigger, DateTrigger, IntervalTrigger

SECOND = 1000
WEEK = 7 * 86_400 * SECOND


def job_of(trigger: BaseTrigger, **options: Any) -> Job:
    return Job(id="job", func=print, trigger=trigger, **options)


def every(seconds: float, end: float | None = None, **options: Any) -> Job:
    """A job due at 0, seconds, 2 * seconds ... (since the epoch) until `end`."""
    return job_of(IntervalTrigger(seconds=seconds, end_date=end, timezone="UTC"), **options)


def missed(first: int, end: int, reason: str | None = None) -> Span:
    return Span(Outcome.MISSED, first, end, reason)


def skipped(first: int, end: int) -> Span:
    return Span(Outcome.SKIPPED, first, end, "max_instances")


def coalesced(first: int, end: int) -> Span:
    return Span(Outcome.COALESCED, first, end)


EACH = {"coalesce": False}
GRACE = {"misfire_grace_ms": 5000}
QUEUE = {"policy": Policy(overlap="queue")}
CANCEL = {"policy": Policy(overlap="cancel")}
LAST_TWO = {"policy": Policy(max_catchup=2), **EACH}

TABLE = [
    # what, job options, due, now, running -> starts, spans, next_due, waits          (the job is due every 10 s)
    ("one on time", {}, 10_000, 10_000, 0, (10_000,), (), 20_000, False),
    ("one late", {}, 10_000, 19_999, 0, (10_000,), (), 20_000, False),
    ("one, at its limit of instances", {}, 10_000, 10_000, 1, (), (skipped(10_000, 10_001),), 20_000, False),
    ("one, below its limit", {"max_instances": 2}, 10_000, 10_000, 1, (10_000,), (), 20_000, False),
    ("one, over a limit that was lowered", {"max_instances": 2}, 10_000, 10_000, 5, (),
     (skipped(10_000, 10_001),), 20_000, False),
    ("one, exactly as late as allowed", GRACE, 10_000, 15_000, 0, (10_000,), (), 20_000, False),
    ("one, too late by a millisecond", GRACE, 10_000, 15_001, 0, (), (missed(10_000, 10_001),), 20_000, False),
    ("one, too late, at its limit", GRACE, 10_000, 15_001, 1, (), (missed(10_000, 10_001),), 20_000, False),
    ("two, coalesced", {}, 10_000, 20_000, 0, (20_000,), (coalesced(10_000, 20_000),), 30_000, False),
    ("many, coalesced", {}, 10_000, 55_000, 0, (50_000,), (coalesced(10_000, 50_000),), 60_000, False),
    ("many, coalesced, at the limit", {}, 10_000, 55_000, 1, (), (skipped(10_000, 55_001),), 60_000, False),
    ("many, the last in time", GRACE, 10_000, 51_000, 0, (50_000,), (missed(10_000, 46_000),), 60_000, False),
    ("many, none in time", GRACE, 10_000, 56_000, 0, (), (missed(10_000, 51_000),), 60_000, False),
    ("many, some in time", {"misfire_grace_ms": 25_000}, 10_000, 51_000, 0, (50_000,),
     (missed(10_000, 26_000), coalesced(30_000, 50_000)), 60_000, False),
    ("many, some in time, at the limit", {"misfire_grace_ms": 25_000}, 10_000, 51_000, 1, (),
     (missed(10_000, 26_000), skipped(30_000, 51_001)), 60_000, False),
    ("each, room for all", EACH | {"max_instances": 5}, 10_000, 30_000, 0, (10_000, 20_000, 30_000), (), 40_000, False),
    ("each, room for two", EACH | {"max_instances": 2}, 10_000, 40_000, 0, (10_000, 20_000), (), 30_000, True),
    ("each, room for exactly all", EACH | {"max_instances": 2}, 10_000, 20_000, 0, (10_000, 20_000), (), 30_000, False),
    ("each, more than are planned at once", EACH | {"max_instances": 2**31 - 1}, 10_000, WEEK, 0,
     tuple(range(10_000, 2_510_000, 10_000)), (), 2_510_000, False),
    ("each, the last of those planned at once", EACH | {"max_instances": 250}, 10_000, WEEK, 0,
     tuple(range(10_000, 2_510_000, 10_000)), (), 2_510_000, True),
    ("each, no room: a backlog waits", EACH, 10_000, 30_000, 1, (), (), 10_000, True),
    ("each, one alone comes at the limit", EACH, 10_000, 10_000, 1, (), (skipped(10_000, 10_001),), 20_000, False),
    ("each, some in time", EACH | {"misfire_grace_ms": 25_000, "max_instances": 9}, 10_000, 51_000, 1,
     (30_000, 40_000, 50_000), (missed(10_000, 26_000),), 60_000, False),
    ("each, the backlog's first are missed", EACH | {"misfire_grace_ms": 25_000}, 10_000, 51_000, 0, (30_000,),
     (missed(10_000, 26_000),), 40_000, True),
    ("queued, one on time", QUEUE, 10_000, 10_000, 0, (10_000,), (), 20_000, False),
    ("queued, one at the limit", QUEUE, 10_000, 10_000, 1, (), (), 10_000, True),
    ("queued, one at the limit of two", QUEUE | {"max_instances": 2}, 10_000, 10_000, 1, (10_000,), (), 20_000, False),
    ("queued, one too late, at the limit", QUEUE | GRACE, 10_000, 15_001, 1, (), (missed(10_000, 10_001),), 20_000,
     False),
    ("queued, many, coalesced", QUEUE, 10_000, 55_000, 0, (50_000,), (coalesced(10_000, 50_000),), 60_000, False),
    ("queued, many, coalesced, at the limit", QUEUE, 10_000, 55_000, 1, (), (), 10_000, True),
    ("queued, many, the last in time, at the limit", QUEUE | GRACE, 10_000, 51_000, 1, (), (missed(10_000, 46_000),),
     50_000, True),
    ("queued, each, one at the limit", QUEUE | EACH, 10_000, 10_000, 1, (), (), 10_000, True),
    ("queued, each, many at the limit", QUEUE | EACH, 10_000, 35_000, 1, (), (), 10_000, True),
    ("caught up, all that are allowed", LAST_TWO | {"max_instances": 9}, 10_000, 25_000, 0, (10_000, 20_000), (),
     30_000, False),
    ("caught up, one is too many", LAST_TWO | {"max_instances": 9}, 10_000, 35_000, 0, (20_000, 30_000),
     (missed(10_000, 20_000, "max_catchup"),), 40_000, False),
    ("caught up, most are too many", LAST_TWO | {"max_instances": 9}, 10_000, WEEK, 0, (WEEK - 10_000, WEEK),
     (missed(10_000, WEEK - 10_000, "max_catchup"),), WEEK + 10_000, False),
    ("caught up, one after the other", LAST_TWO, 10_000, 55_000, 0, (40_000,),
     (missed(10_000, 40_000, "max_catchup"),), 50_000, True),
    ("caught up, none is free", LAST_TWO, 10_000, 55_000, 1, (),
     (missed(10_000, 40_000, "max_catchup"),), 40_000, True),
    ("caught up, some too late", LAST_TWO | {"misfire_grace_ms": 25_000, "max_instances": 9}, 10_000, 55_000, 0,
     (40_000, 50_000), (missed(10_000, 30_000), missed(30_000, 40_000, "max_catchup")), 60_000, False),
    ("caught up, the one is enough", {"policy": Policy(max_catchup=1), **EACH}, 10_000, 10_000, 0, (10_000,), (),
     20_000, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "due", "now", "running", "starts", "spans", "next_due", "waits"),
    [row[1:] for row in TABLE],
    ids=[row[0].replace(" ", "-") for row in TABLE],
)
def test_every_instant_is_decided_as_the_rules_say(options, due, now, running, starts, spans, next_due, waits):
    found = plan(every(10, **options), due, now, running)

    assert [span.outcome for span in found.spans] == [span.outcome for span in spans]
    # A span holds the instants in it; that it ends a little before or after the last of them means nothing.
    assert [instants(every(10), s.first, s.end) for s in found.spans] == [
        instants(every(10), s.first, s.end) for s in spans
    ]
    assert [span.reason for span in found.spans] == [span.reason for span in spans]
    assert (found.starts, found.next_due, found.waits) == (starts, next_due, Hold.INSTANCES if waits else None)


REPLACING = [
    # what, job options, due, now, running -> whether the oldest run is replaced
    ("one on time", CANCEL, 10_000, 10_000, 0, False),
    ("one at the limit", CANCEL, 10_000, 10_000, 1, True),
    ("one below the limit", CANCEL | {"max_instances": 2}, 10_000, 10_000, 1, False),
    ("many, coalesced, at the limit", CANCEL, 10_000, 55_000, 1, True),
    ("one too late", CANCEL | GRACE, 10_000, 15_001, 1, False),
    ("each, one at the limit", CANCEL | EACH, 10_000, 10_000, 1, True),
    ("each, many at the limit", CANCEL | EACH, 10_000, 35_000, 1, False),
    ("queued, one at the limit", QUEUE, 10_000, 10_000, 1, False),
]


@pytest.mark.parametrize(
    ("options", "due", "now", "running", "replaces"), [row[1:] for row in REPLACING], ids=[row[0] for row in REPLACING]
)
def test_only_what_becomes_one_run_replaces_another(options, due, now, running, replaces):
    found = plan(every(10, **options), due, now, running)
    assert (found.waits is Hold.REPLACING) == replaces
    if replaces:
        assert found == Plan((), (), due, Hold.REPLACING)


def test_the_last_instants_are_caught_up_whatever_the_jitter():
    trigger = IntervalTrigger(seconds=10, jitter=9, timezone="UTC")
    job = job_of(trigger, coalesce=False, max_instances=99, policy=Policy(max_catchup=3))
    first = job.next_ms(0)
    found = plan(job, first, 1_000_000, 0)
    due = instants(job, first, 1_000_001)
    assert list(found.starts) == due[-3:]
    assert found.spans == (missed(first, due[-3], "max_catchup"),)


def test_a_backlog_that_waits_is_caught_up_without_a_list_of_it():
    class Counting(IntervalTrigger):
        __slots__ = ("asked",)

        def next_ms(self, after: int) -> int | None:
            object.__setattr__(self, "asked", getattr(self, "asked", 0) + 1)
            return super().next_ms(after)

    trigger = Counting(seconds=1, timezone="UTC")
    plan(job_of(trigger, coalesce=False, policy=Policy(max_catchup=10)), 1000, WEEK, 0)
    assert trigger.asked < 100


def instants(job: Job, first: int, end: int) -> list[int]:
    found, instant = [], first
    while instant is not None and instant < end:
        found.append(instant)
        instant = job.next_ms(instant)
    return found


@pytest.mark.parametrize(
    ("now", "running", "options", "expected"),
    [
        (20_000, 0, {}, Plan((20_000,), (), None)),
        (90_000, 0, {}, Plan((20_000,), (), None)),
        (20_000, 1, {}, Plan((), (skipped(20_000, 20_001),), None)),
        (90_000, 0, GRACE, Plan((), (missed(20_000, 85_000),), None)),
    ],
    ids=["on time", "late", "at the limit", "too late"],
)
def test_the_last_instant_of_a_trigger_is_decided_like_any_other(now, running, options, expected):
    assert plan(every(10, end=20, **options), 20_000, now, running) == expected


def test_a_backlog_with_the_end_of_the_trigger_in_it_ends_there():
    assert plan(every(10, end=30), 10_000, WEEK, 0) == Plan((30_000,), (coalesced(10_000, 30_000),), None)
    assert plan(every(10, end=30, **EACH, max_instances=9), 10_000, WEEK, 0).next_due is None


def test_an_instant_that_the_user_chose_need_not_be_one_of_the_triggers():
    assert plan(every(10), 12_345, 12_345, 0) == Plan((12_345,), (), 20_000)
    found = plan(every(10), 12_345, 35_000, 0)
    assert (found.starts, found.spans) == ((30_000,), (coalesced(12_345, 30_000),))


def test_a_date_long_past_runs_once():
    job = job_of(DateTrigger(1.0, "UTC"))
    assert plan(job, 1000, WEEK, 0) == Plan((1000,), (), None)


def test_a_missed_instant_is_never_reported_as_coalesced_too():
    found = plan(every(10, misfire_grace_ms=15_000), 10_000, 100_000, 0)
    assert [(s.outcome, instants(every(10), s.first, s.end)) for s in found.spans] == [
        (Outcome.MISSED, [10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000]),
        (Outcome.COALESCED, [90_000]),
    ]
    assert found.starts == (100_000,)


# -- triggers of the user's own ---------------------------------------------------------------------------------------


class Wrong(IntervalTrigger):
    """Every 10 s, but not after it was asked about `since`; gives up when it was asked too often."""

    __slots__ = ("answer", "asked", "last", "since")

    def __init__(self, answer: Any, since: int = 20_000, last: Any = None, **options: Any) -> None:
        super().__init__(seconds=10, timezone="UTC", **options)
        self.answer, self.since, self.last = answer, since, last
        object.__setattr__(self, "asked", 0)

    def next_ms(self, after: int) -> Any:
        object.__setattr__(self, "asked", self.asked + 1)
        assert self.asked < 1000, "it goes on for ever"
        return self.answer(after) if after >= self.since else super().next_ms(after)

    def last_ms(self, first: int, until: int) -> Any:
        return BaseTrigger.last_ms(self, first, until) if self.last is None else self.last


ANSWERS = {
    "what it was asked": lambda after: after,
    "one before": lambda after: after - 1000,
    "always the same": lambda after: 5000,
    "no int": lambda after: after + 300.5,
    "a bool": lambda after: True,
    "no number": lambda after: "soon",
    "beyond all dates": lambda after: 10**18,
}


@pytest.mark.parametrize("late", [0, 25_000], ids=["on time", "late"])
@pytest.mark.parametrize("options", [{}, EACH, EACH | {"max_instances": 99}, GRACE], ids=str)
@pytest.mark.parametrize("jitter", [None, 3])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_trigger_that_does_not_go_on_is_an_error_and_no_endless_search(answer, jitter, options, late):
    job = job_of(Wrong(answer, jitter=jitter), **options)
    due: int | None = 10_000
    with pytest.raises((InvalidTriggerError, TypeError)):
        while due is not None and due < WEEK:
            due = plan(job, due, due + late, 0).next_due


@pytest.mark.parametrize("since", [10_000, 20_000, 45_000, 50_000])
def test_the_search_for_the_last_instant_ends(since):
    with pytest.raises(InvalidTriggerError):
        Wrong(lambda after: after, since).last_ms(10_000, 50_000)


@pytest.mark.parametrize("last", [9999, 50_001, 10_000.0, "late"])
def test_a_trigger_that_finds_a_last_instant_elsewhere_is_an_error(last):
    with pytest.raises((InvalidTriggerError, TypeError)):
        plan(job_of(Wrong(None, WEEK, last)), 10_000, 50_000, 0)


def test_the_error_says_what_the_trigger_answered():
    with pytest.raises(InvalidTriggerError, match=r"next_ms\(20000\) of <Wrong .* is 19000: expected a later int"):
        plan(job_of(Wrong(lambda after: after - 1000)), 20_000, 20_000, 0)


# -- properties -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    job: Job
    due: int
    now: int
    running: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    seconds = draw(st.sampled_from([0.001, 0.5, 1, 7, 60]))
    period = round(seconds * 1000)
    due = draw(st.integers(0, 20)) * period
    now = due + draw(st.integers(0, 30)) * period + draw(st.integers(0, period - 1))
    end = draw(st.none() | st.integers(0, 40).map(lambda n: (due + n * period) / 1000))
    job = job_of(
        IntervalTrigger(seconds=seconds, end_date=end, jitter=draw(st.sampled_from([None, seconds / 2])),
                        timezone="UTC"),
        coalesce=draw(st.booleans()),
        max_instances=draw(st.integers(1, 5)),
        policy=Policy(overlap=draw(st.sampled_from(OVERLAPS)), max_catchup=draw(st.none() | st.integers(1, 5))),
        misfire_grace_ms=draw(st.none() | st.integers(1, 35 * period)),
    )  # fmt: skip
    first = due if job.trigger.jitter_ms == 0 else job.next_ms(due - 1)
    return Case(job, first if first is not None else due, max(now, first or due), draw(st.integers(0, 6)))


@settings(max_examples=400)
@given(cases())
def test_every_due_instant_is_decided_once_and_the_next_one_is_right(case):
    found = plan(case.job, case.due, case.now, case.running)

    decided = list(found.starts)
    for span in found.spans:
        decided += instants(case.job, span.first, span.end)
    due = instants(case.job, case.due, case.now + 1)
    if found.waits:
        assert found.next_due in due
        due = [instant for instant in due if instant < found.next_due]
    else:
        assert found.next_due == case.job.next_ms(due[-1])
    assert sorted(decided) == due


@settings(max_examples=200)
@given(cases())
def test_planning_never_starts_more_than_allowed_nor_an_instant_too_late(case):
    found = plan(case.job, case.due, case.now, case.running)

    assert len(found.starts) + case.running <= max(case.job.max_instances, case.running)
    assert list(found.starts) == sorted(found.starts)
    assert all(instant <= case.now for instant in found.starts)
    grace = case.job.misfire_grace_ms
    assert grace is None or all(case.now - instant <= grace for instant in found.starts)
    assert not case.job.coalesce or len(found.starts) <= 1
    assert not found.waits or not case.job.coalesce or case.job.policy.overlap != SKIP


class CountingTrigger(IntervalTrigger):
    """Counts the questions it is asked."""

    __slots__ = ("asked",)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def next_ms(self, after: int) -> int | None:
        self.asked = getattr(self, "asked", 0) + 1
        return super().next_ms(after)


@pytest.mark.parametrize("jitter", [None, 0.4])
@pytest.mark.parametrize("grace", [None, 3 * SECOND, WEEK // 2])
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("running", [0, 1])
def test_a_week_late_every_second_costs_a_few_calculations(jitter, grace, coalesce, running):
    trigger = CountingTrigger(seconds=1, jitter=jitter, timezone="UTC")
    job = job_of(trigger, misfire_grace_ms=grace, coalesce=coalesce)

    plan(job, job.next_ms(0), WEEK, running)

    assert 0 < trigger.asked < 200
