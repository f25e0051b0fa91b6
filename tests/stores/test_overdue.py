"""Jobs that must succeed every so often, and are overdue; on every store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
import pytest
from gevent.event import Event
from store_bench import SHORT_STEP_MS, StoreBench
from waiting import wait_until

from gsched.cli.commands.top_panels import top_panels
from gsched.errors import StoreUnreachableError
from gsched.jobs.expectation import Expectation, expectation_of
from gsched.jobs.job import Job
from gsched.jobs.policy import Policy
from gsched.jobs.query import JobQuery
from gsched.metrics import METRICS
from gsched.stores import BaseJobStore
from gsched.stores.durable.outcomes import OutcomeWriter

pytest_plugins = ["mongodb"]

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
YEARLY = {"trigger": "interval", "days": 365}


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def pass_by(bench: StoreBench, seconds: float) -> None:
    """Let the clock go on for so long, with all that happens meanwhile."""
    end = bench.clock.now_ms() + round(seconds * 1000)
    bench.until(lambda: bench.clock.now_ms() >= end)


def told(bench: StoreBench, name: str = "job.overdue") -> list[Any]:
    return [event.job_id for event in bench.named(name)]


def overdue_at(bench: StoreBench, job_id: str = "job") -> datetime | None:
    return bench.scheduler.get_counters(job_id).overdue_at


def succeed(bench: StoreBench, job_id: str = "job") -> None:
    """Run the job now, and wait until its success counts."""
    pass_by(bench, 1)
    known = overdue_at(bench, job_id)
    bench.scheduler.run_job(job_id)
    bench.until(lambda: overdue_at(bench, job_id) != known)


# -- overdue, and on time again ---------------------------------------------------------------------------------------


def test_a_job_is_overdue_once_when_no_run_has_succeeded_for_so_long(bench):
    bench.step_ms = SHORT_STEP_MS
    bench.start().add("job", expect_success_every=60, **YEARLY)
    pass_by(bench, 59)
    assert told(bench) == []
    bench.until(lambda: told(bench))
    assert after(60) <= bench.clock.now <= after(66)
    pass_by(bench, 30)
    assert told(bench) == ["job"]
    (event,) = bench.named("job.overdue")
    assert (event.level, event.since) == ("error", NOON)


def test_pages_and_counts_choose_the_jobs_that_are_overdue(bench):
    admin = bench.start().scheduler.admin
    for job_id, seconds in (("late", 60), ("later", 70), ("in time", 6000), ("whenever", None)):
        bench.add(job_id, expect_success_every=seconds, tags=[job_id], **YEARLY)
    assert admin.count(JobQuery(overdue=True)) == 0
    bench.until(lambda: told(bench) == ["late", "later"])
    first = admin.find(JobQuery(overdue=True, sort="id", limit=1))
    second = admin.find(JobQuery(overdue=True, sort="id", limit=1, after=first.next))
    assert [row.job.id for page in (first, second) for row in page.rows] == ["late", "later"]
    assert admin.count(JobQuery(overdue=True)) == 2 and admin.count(JobQuery(overdue=True, text="ER")) == 1
    assert [row.job.id for row in admin.find(JobQuery(overdue=True, tag="later", state="scheduled")).rows] == ["later"]
    bench.scheduler.pause_job("late")
    assert [row.job.id for row in admin.find(JobQuery(overdue=True)).rows] == ["later"]


def test_a_success_is_counted_from_its_end_and_a_failure_is_none(bench):
    bench.step_ms = SHORT_STEP_MS
    bench.start().add("job", "interval", acts="SF", seconds=20, expect_success_every=30)
    bench.until(lambda: bench.named("run.failed"))
    bench.until(lambda: overdue_at(bench) == after(50))
    bench.until(lambda: told(bench))
    assert after(50) <= bench.clock.now <= after(56)


def test_a_job_that_was_overdue_is_on_time_again_once_after_its_next_success(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.until(lambda: told(bench))
    succeed(bench)
    bench.until(lambda: told(bench, "job.on_time_again"))
    succeed(bench)
    pass_by(bench, 10)
    assert told(bench, "job.on_time_again") == ["job"]
    bench.until(lambda: len(told(bench)) == 2)


def test_a_failure_does_not_bring_a_job_on_time(bench):
    bench.start().add("job", acts="F", expect_success_every=60, **YEARLY)
    bench.until(lambda: told(bench))
    bench.scheduler.run_job("job")
    bench.until(lambda: bench.named("run.failed"))
    pass_by(bench, 10)
    assert told(bench, "job.on_time_again") == []


def test_a_retry_that_succeeds_is_a_success(bench):
    bench.start().add("job", acts="FS", expect_success_every=60, retries=1, retry_delay=5, **YEARLY)
    succeed(bench)
    assert overdue_at(bench) > after(65)


def test_a_new_scheduler_does_not_repeat_what_was_told_and_tells_what_was_not(bench):
    if not bench.store.shared:
        pytest.skip("a memory store keeps what it has told; nobody else runs its jobs")
    bench.start()
    bench.add("told", expect_success_every=60, **YEARLY)
    bench.add("untold", expect_success_every=600, **YEARLY)
    bench.until(lambda: told(bench))
    bench.close()
    bench.clock.skip(600_000)
    bench.restart()
    bench.until(lambda: told(bench))
    pass_by(bench, 10)
    assert told(bench) == ["untold"]


def test_a_job_without_the_option_is_never_overdue(bench):
    bench.start().add("job", **YEARLY)
    pass_by(bench, 30)
    assert overdue_at(bench) is None
    assert bench.store.overdue() == []


def test_a_success_that_is_not_written_yet_counts(any_store, bench, monkeypatch):
    bench.step_ms = SHORT_STEP_MS
    if not any_store.shared:
        pytest.skip("memory has each success at once")
    monkeypatch.setattr(OutcomeWriter, "_write_successes", lambda writer: None)  # others are written first
    bench.start().add("job", expect_success_every=60, **YEARLY)
    pass_by(bench, 30)
    bench.scheduler.run_job("job")
    bench.until(lambda: bench.named("run.succeeded"))
    bench.until(lambda: overdue_at(bench) != after(60))
    assert after(60) <= bench.clock.now <= after(66)
    assert told(bench) == []
    bench.until(lambda: told(bench))
    assert bench.clock.now >= after(90)


# -- since when -------------------------------------------------------------------------------------------------------


def test_a_job_that_gets_the_option_counts_from_then_on(bench):
    bench.start().add("job", **YEARLY)
    pass_by(bench, 100)
    began = bench.clock.now
    bench.scheduler.modify_job("job", expect_success_every=60)
    assert overdue_at(bench) == began + timedelta(seconds=60)


def test_another_time_counts_from_the_last_success_and_no_time_ends_it(bench):
    bench.start().add("job", expect_success_every=600, **YEARLY)
    pass_by(bench, 100)
    bench.scheduler.modify_job("job", expect_success_every=60)
    assert overdue_at(bench) == after(60)
    bench.until(lambda: told(bench))
    bench.scheduler.modify_job("job", expect_success_every=3600)
    assert overdue_at(bench) == after(3600)
    assert bench.store.overdue() == []
    bench.scheduler.modify_job("job", expect_success_every=None)
    assert overdue_at(bench) is None


def test_other_changes_and_a_replacement_keep_the_time_and_what_was_told(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.until(lambda: told(bench))
    bench.scheduler.modify_job("job", name="other")
    bench.add("job", expect_success_every=60, replace_existing=True, **YEARLY)
    assert overdue_at(bench) == after(60)
    pass_by(bench, 10)
    assert told(bench) == ["job"]


def test_a_paused_job_is_not_overdue_and_counts_anew_when_it_is_resumed(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.scheduler.pause_job("job")
    assert overdue_at(bench) is None
    pass_by(bench, 100)
    assert told(bench) == []
    resumed = bench.clock.now
    bench.scheduler.resume_job("job")
    assert overdue_at(bench) == resumed + timedelta(seconds=60)


def test_a_success_while_the_job_is_paused_does_not_make_it_expect_one(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.scheduler.pause_job("job")
    bench.scheduler.run_job("job")
    bench.until(lambda: bench.named("run.succeeded"))
    pass_by(bench, 5)
    assert overdue_at(bench) is None


def test_a_pause_with_an_end_counts_from_that_end_unless_the_job_is_resumed_before(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.scheduler.pause_job("job", until=after(3600))
    assert overdue_at(bench) == after(3660)
    bench.scheduler.modify_job("job", name="other")
    assert overdue_at(bench) == after(3660)
    pass_by(bench, 10)
    resumed = bench.clock.now
    bench.scheduler.resume_job("job")
    assert overdue_at(bench) == resumed + timedelta(seconds=60)


def test_a_job_with_the_id_of_a_removed_one_counts_anew(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    pass_by(bench, 30)
    bench.scheduler.remove_job("job")
    added = bench.clock.now
    bench.add("job", expect_success_every=60, **YEARLY)
    assert overdue_at(bench) == added + timedelta(seconds=60)


# -- the question and its answers -------------------------------------------------------------------------------------


def expectations(bench: StoreBench) -> Any:
    memory = getattr(bench.store, "_expectations", None)
    return bench.store._answers.expectations if memory is None else memory


def test_of_several_who_tell_of_a_job_one_gets_it(bench):
    bench.add("job", expect_success_every=60, **YEARLY)
    bench.add("later", expect_success_every=600, **YEARLY)
    asked, now = expectations(bench), bench.at(60)
    assert [(each.job_id, each.is_told) for each in asked.overdue(now)] == [("job", False)]
    assert asked.overdue(now - 1) == []
    assert [job.id for job in asked.tell(["job", "later", "gone"], now)] == ["job"]
    assert asked.tell(["job", "later"], now) == []
    assert [(each.job_id, each.is_told) for each in asked.overdue(now)] == [("job", True)]


def test_an_earlier_success_that_comes_late_takes_nothing_back(bench):
    bench.add("job", expect_success_every=60, **YEARLY)
    asked = expectations(bench)
    assert list(asked.succeeded({"job": bench.at(50), "gone": bench.at(50)})) == []
    assert list(asked.succeeded({"job": bench.at(40)})) == []
    assert overdue_at(bench) == after(110)


def test_only_the_success_after_it_was_told_ends_an_overdue_job(bench):
    bench.add("job", expect_success_every=60, **YEARLY)
    asked = expectations(bench)
    asked.tell(["job"], bench.at(60))
    assert list(asked.succeeded({"job": bench.at(0)})) == []
    assert list(asked.succeeded({"job": bench.at(70)})) == ["job"]
    assert list(asked.succeeded({"job": bench.at(80)})) == []
    assert asked.overdue(bench.at(139)) == []
    assert [each[1:] for each in asked.overdue(bench.at(140))] == [(bench.at(80), bench.at(140), False)]


# -- the rule ---------------------------------------------------------------------------------------------------------


def test_a_change_keeps_what_was_told_only_while_the_job_stays_overdue():
    job = Job("job", None, None, policy=Policy(expect_success_every_ms=60))  # type: ignore[arg-type]
    assert expectation_of(job, Expectation(100, 160, True), 170) == Expectation(100, 160, True)
    assert expectation_of(job, Expectation(100, 110, True), 150) == Expectation(100, 160, False)


# -- where it shows ---------------------------------------------------------------------------------------------------


def check_of(bench: StoreBench) -> Any:
    checks = {check.name: check for check in bench.scheduler.health().checks()}
    return checks.get("overdue:default")


def has_asked(bench: StoreBench, jobs: int) -> bool:
    """Whether the scheduler has an answer of the store with so many overdue jobs."""
    report = bench.store.report().overdue
    return report is not None and len(report.jobs) == jobs


def test_health_warns_of_an_overdue_job_with_the_age_of_the_answer_and_stays_ready(bench):
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.until(lambda: has_asked(bench, 0))
    assert check_of(bench).what.startswith("no job is overdue, as of ")
    assert check_of(bench).warning is False
    bench.until(lambda: has_asked(bench, 1))
    health, check = bench.scheduler.health(), check_of(bench)
    assert (health.live, health.ready, health.warnings()) == (True, True, [check])
    assert check.what.startswith("1 job is overdue, as of 0 s ago: job: no success for 6")


def test_the_answer_grows_old_while_the_store_gives_none(any_store, bench, monkeypatch):
    if not any_store.shared:
        pytest.skip("memory always answers")
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.until(lambda: has_asked(bench, 1))

    def away(*_: Any) -> Any:
        raise StoreUnreachableError("nobody answers")

    monkeypatch.setattr(expectations(bench), "overdue", away)
    asked = any_store.report().overdue.at
    pass_by(bench, 30)
    report = any_store.report().overdue
    assert (report.at, len(report.jobs)) == (asked, 1)
    assert report.age >= 30


def test_a_node_sees_the_overdue_jobs_of_others_and_tells_of_none(any_store, bench, monkeypatch):
    if not any_store.shared:
        pytest.skip("a memory store has one scheduler")
    monkeypatch.setattr(type(any_store), "has_here", lambda store, job_id: False)  # it is frozen, say, and not dead yet
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.until(lambda: has_asked(bench, 1))
    pass_by(bench, 10)
    assert told(bench) == []
    assert [each.job_id for each in bench.scheduler.admin.get_overdue()] == ["job"]


def test_the_metric_counts_overdue_jobs(bench):
    (metric,) = [each for each in METRICS if each.name == "gsched_jobs_overdue"]
    bench.start().add("job", expect_success_every=60, **YEARLY)
    bench.until(lambda: has_asked(bench, 0))
    assert list(metric.samples(bench.scheduler.status())) == [(("default",), 0)]
    bench.until(lambda: has_asked(bench, 1))
    assert list(metric.samples(bench.scheduler.status())) == [(("default",), 1)]


def test_the_doctor_finds_overdue_jobs(bench):
    bench.add("job", expect_success_every=60, **YEARLY)
    (finding,) = [each for each in bench.scheduler.admin.diagnose_stores() if each.check == "overdue jobs"]
    assert (finding.verdict, finding.found) == ("ok", "none")
    bench.clock.skip(3 * 3_600_000)
    (finding,) = [each for each in bench.scheduler.admin.diagnose_stores() if each.check == "overdue jobs"]
    assert (finding.verdict, finding.found) == ("problem", "1 job is overdue: job: no success for 3 h")
    assert "gsched runs list" in finding.remedy


def test_the_overview_has_overdue_jobs_and_the_longest_comes_first(bench):
    bench.add("job", expect_success_every=60, **YEARLY)
    bench.add("other", expect_success_every=30, **YEARLY)
    bench.clock.skip(100_000)
    overview = bench.scheduler.admin.get_overview()
    assert [(each.job_id, each.since, each.seconds) for each in overview.overdue] == [
        ("other", NOON, 70), ("job", NOON, 40),
    ]  # fmt: skip
    panels = {panel.title: panel.rows for panel in top_panels(overview)}
    assert panels["overdue jobs"][1] == ("job", "2026-03-02 12:00:00+00:00", "40 s")
    assert any("2 jobs are overdue" in line for (line,) in panels["trouble"])


def test_explain_says_that_a_job_is_overdue_and_that_a_run_is_slow(bench):
    bench.start().add("job", "interval", acts="W", seconds=10, expect_success_every=60, finish_within=30)
    bench.until(lambda: bench.began("job"))
    pass_by(bench, 55)
    words = str(bench.scheduler.explain("job", after(10)))
    assert "It is slow: its finish_within (30 s) ended at 2026-03-02 12:00:40+00:00." in words
    overdue = f"The job is overdue: no run has succeeded since {NOON}, and one is expected every 60 s."
    assert words.endswith(overdue)
    words = str(bench.scheduler.explain("job", after(20)))
    assert "It is slow" not in words and words.endswith(overdue)


def test_followers_of_the_store_learn_of_it_and_of_the_next_success(any_store, bench):
    if not any_store.shared:
        pytest.skip("a memory store has no followers")
    bench.start().add("job", expect_success_every=60, **YEARLY)
    facts: list[tuple[str, str | None]] = []
    over = Event()

    def follow() -> None:
        for fact in bench.scheduler.admin.follow(stop=over.is_set):
            facts.append((fact.name, fact.job_id))

    following = gevent.spawn(follow)
    try:
        wait_until(lambda: facts, sleep=gevent.sleep)  # it listens
        bench.until(lambda: told(bench))
        wait_until(lambda: ("job.overdue", "job") in facts, sleep=gevent.sleep)
        succeed(bench)
        wait_until(lambda: ("job.on_time_again", "job") in facts, sleep=gevent.sleep)
    finally:
        over.set()
        following.join()
    overdue = ("job.overdue", "job"), ("job.on_time_again", "job")
    assert [fact for fact in facts if fact in overdue] == list(overdue)
