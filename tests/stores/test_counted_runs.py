"""Jobs that are paused after so many failures in a row, or end after so many runs; on every store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import gevent
import pytest
import waiting
from store_bench import StoreBench, gate

from gsched import MemoryJobStore
from gsched.jobs.tally import Tally
from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

wait_until = partial(waiting.wait_until, sleep=gevent.sleep)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVERY_TEN = {"trigger": "interval", "seconds": 10, "misfire_grace_time": None}


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def pause_of(bench: StoreBench) -> Any:
    """The job's pause, once it has one."""
    return bench.until(lambda: bench.scheduler.get_job("job").pause_info)


def has_run(bench: StoreBench, times: int) -> bool:
    return len(bench.began("job")) >= times and bench.scheduler.get_job("job").state != "running"


def run_now(bench: StoreBench) -> None:
    """Ask for a run, and wait for it while the clock stands still."""
    before = len(bench.began("job"))
    bench.scheduler.run_job("job")
    wait_until(lambda: has_run(bench, before + 1))


# -- counts in the database ------------------------------------------------------------------------------------------


class Counts:
    """What a database keeps of one job that counts."""

    def __init__(self, bench: StoreBench) -> None:
        self._answers = bench.store._answers  # type: ignore[attr-defined]
        self.since = self.tally.since

    @property
    def tally(self) -> Tally:
        return self._answers.claims(print).read_jobs(["job"])["job"].tally

    def note(self, runs: int, until: int, failing: int, since: int | None = None) -> None:
        tally = Tally(self.since if since is None else since, runs, until, failing)
        assert not self._answers.records.note_tallies({"job": tally, "gone": tally})


@pytest.fixture
def counts(bench: StoreBench) -> Counts:
    if isinstance(bench.store, MemoryJobStore):
        pytest.skip("the memory store has one scheduler only, which never writes late")
    bench.add("job", max_runs=9, **EVERY_TEN)
    return Counts(bench)


def test_a_job_begins_with_nothing_counted(bench, counts):
    assert counts.tally == Tally(bench.at(0))


def test_a_count_replaces_an_earlier_one(counts):
    counts.note(2, 500, 1)
    counts.note(3, 600, 0)
    assert counts.tally[1:] == (3, 600, 0)


def test_a_count_that_a_dead_node_writes_late_takes_nothing_away(counts):
    counts.note(3, 600, 2)
    counts.note(2, 500, 0)
    assert counts.tally[1:] == (3, 600, 2)


def test_a_count_of_a_removed_job_with_the_same_id_is_left_out(counts):
    counts.note(3, 600, 2, since=counts.since - 1)
    assert counts.tally[1:] == (0, -1, 0)


def test_a_job_that_is_replaced_keeps_its_count(bench, counts):
    counts.note(3, 600, 2)
    bench.add("job", max_runs=12, replace_existing=True, **EVERY_TEN)
    assert counts.tally[1:] == (3, 600, 2)


# -- max_consecutive_failures -----------------------------------------------------------------------------------------


def test_a_job_is_paused_after_so_many_failures_in_a_row_with_the_last_error_as_reason(bench):
    bench.add("job", acts="FFSFFFS", max_consecutive_failures=3, **EVERY_TEN)
    bench.start()
    pause = pause_of(bench)
    assert bench.began("job") == [10, 20, 30, 40, 50, 60]
    assert (pause.cause, pause.failures, pause.by, pause.until) == ("failures", 3, None, None)
    assert pause.reason == "3 failures in a row; last: ConnectionError: vendor down"
    assert 60 <= (pause.at - NOON).total_seconds() <= 63
    assert bench.scheduler.get_job("job").next_run_time is None
    (told,) = bench.named("job.paused")
    assert (told.job_id, told.cause, told.reason, told.level) == ("job", "failures", pause.reason, "warning")


def test_no_run_begins_between_the_last_failure_and_the_pause_that_is_not_stored_yet(bench, monkeypatch):
    bench.add("job", acts="F" * 9, max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    wanted: list[Any] = []
    real = bench.store.pause_failing
    monkeypatch.setattr(bench.store, "pause_failing", lambda *pause: wanted.append(pause))
    bench.until(lambda: wanted)
    bench.until(lambda: bench.clock.now_ms() > bench.at(65))
    assert bench.began("job") == [10, 20]
    real(*wanted[0])
    assert pause_of(bench).failures == 2
    skipped = bench.until(lambda: bench.scheduler.get_runs(job_id="job", outcome="skipped"))
    assert [run.reason for run in skipped] == ["removed_or_paused"]


def test_a_run_on_request_that_fails_does_not_count(bench):
    bench.add("job", acts="FFF", max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 1))
    run_now(bench)
    assert bench.scheduler.get_job("job").pause_info is None
    assert pause_of(bench).failures == 2
    assert len(bench.began("job")) == 3


def test_a_run_on_request_that_succeeds_ends_the_row(bench):
    bench.add("job", acts="FSFF", max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 1))
    run_now(bench)
    pause_of(bench)
    assert bench.began("job")[2:] == [20, 30]


def test_an_instant_that_is_missed_neither_adds_to_the_row_nor_ends_it(bench):
    bench.add("job", "interval", "FFF", seconds=10, misfire_grace_time=1, max_consecutive_failures=3)
    bench.start()
    bench.until(lambda: has_run(bench, 2))
    bench.skip_to("2026-03-02 12:00:35")
    assert pause_of(bench).failures == 3
    assert bench.began("job") == [10, 20, 40]


def test_an_attempt_that_is_retried_is_no_failure(bench):
    bench.add("job", acts="FFS", retries=2, retry_delay=0.5, retry_jitter=0, max_consecutive_failures=1, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 4))
    assert bench.began("job") == [10, 10, 10, 20]
    assert bench.scheduler.get_job("job").pause_info is None


def test_a_run_whose_retries_are_exhausted_is_one_failure(bench):
    bench.add("job", acts="FFFF", retries=1, retry_delay=0.5, retry_jitter=0, max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    assert pause_of(bench).failures == 2
    assert bench.began("job") == [10, 10, 20, 20]


def test_each_probe_that_fails_doubles_the_pause_and_one_that_succeeds_ends_the_row(bench):
    bench.add("job", "interval", "FFFFSFF", minutes=1, max_consecutive_failures=2, failure_pause="10m")
    bench.start()
    ends = []
    for _ in range(3):
        pause = bench.until(lambda: (found := bench.scheduler.get_job("job").pause_info) and found.until and found)
        ends.append(round((pause.until - pause.at).total_seconds()))
        bench.skip_to(f"{pause.until:%Y-%m-%d %H:%M:%S}")
        bench.until(lambda: bench.scheduler.get_job("job").pause_info is None)
    assert ends == [600, 1200, 2400]
    bench.until(lambda: has_run(bench, 5))
    assert bench.scheduler.get_job("job").pause_info is None
    pause = pause_of(bench)  # the success has ended the row: two more failures, and the pause is a short one again
    assert round((pause.until - pause.at).total_seconds()) == 600
    assert [event.cause for event in bench.named("job.resumed")] == ["until"] * 3


def test_somebody_who_resumes_the_job_ends_the_row(bench):
    bench.add("job", acts="FFFF", max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    pause_of(bench)
    bench.scheduler.resume_job("job")
    bench.until(lambda: has_run(bench, 3))
    assert bench.scheduler.get_job("job").pause_info is None
    assert pause_of(bench).failures == 2
    assert len(bench.began("job")) == 4


def test_a_job_that_failures_have_paused_stays_paused_after_a_restart_with_replacement(bench):
    bench.add("job", acts="FF", max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    pause = pause_of(bench)
    bench.restart()
    bench.add("job", max_consecutive_failures=2, replace_existing=True, **EVERY_TEN)
    bench.until(lambda: bench.clock.now_ms() > bench.at(60))
    assert bench.scheduler.get_job("job").pause_info == pause
    assert bench.began("job") == [10, 20]


def test_the_row_goes_on_after_a_restart(bench):
    if isinstance(bench.store, MemoryJobStore):
        pytest.skip("a scheduler that starts on jobs in memory begins a new row")
    bench.add("job", acts="FFFS", max_consecutive_failures=3, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 2))
    bench.restart()
    assert pause_of(bench).failures == 3
    assert len(bench.began("job")) == 3


def test_a_job_whose_option_is_taken_away_is_not_paused(bench):
    bench.add("job", acts="FFFF", max_consecutive_failures=2, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 1))
    bench.scheduler.modify_job("job", max_consecutive_failures=None)
    bench.until(lambda: has_run(bench, 4))
    assert bench.scheduler.get_job("job").pause_info is None


def test_a_run_that_had_begun_when_the_job_was_paused_makes_the_pause_no_longer(bench):
    bench.add("job", acts="XF", max_consecutive_failures=1, failure_pause="1h", max_instances=2, **EVERY_TEN)
    bench.start()
    pause = pause_of(bench)
    gate.set()
    bench.until(lambda: has_run(bench, 2))
    bench.until(lambda: len(bench.named("run.failed")) == 2)
    assert bench.scheduler.get_job("job").pause_info == pause
    assert (pause.failures, round((pause.until - pause.at).total_seconds())) == (1, 3600)


# -- max_runs ---------------------------------------------------------------------------------------------------------


def test_a_job_ends_after_so_many_runs(bench):
    bench.add("job", max_runs=3, **EVERY_TEN)
    bench.start()
    removed = bench.until(lambda: bench.named("job.removed"))
    assert not bench.scheduler.get_jobs()
    assert bench.began("job") == [10, 20, 30]
    assert [(event.job_id, event.reason) for event in removed] == [("job", "max_runs")]


def test_failures_count_as_runs_and_their_retries_do_not(bench):
    bench.add("job", acts="FSF", max_runs=2, retries=1, retry_delay=1, retry_jitter=0, **EVERY_TEN)
    bench.start()
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert bench.began("job") == [10, 10, 20, 20]


def test_runs_on_request_do_not_count(bench):
    bench.add("job", max_runs=2, **EVERY_TEN)
    bench.start()
    run_now(bench)
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert bench.began("job")[1:] == [10, 20]


def test_of_several_late_instants_only_so_many_run(bench):
    bench.add("job", max_runs=3, coalesce=False, max_instances=10, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 1))
    bench.skip_to("2026-03-02 12:01:05")
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert bench.began("job") == [10, 20, 30]
    assert [run.outcome for run in bench.scheduler.get_runs(job_id="job") if run.outcome != "succeeded"] == []


def test_the_count_goes_on_after_a_restart(bench):
    bench.add("job", max_runs=3, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 2))
    bench.restart()
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert len(bench.began("job")) == 3


def test_a_job_with_the_id_of_one_that_was_removed_begins_at_nothing(bench):
    bench.add("job", max_runs=2, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 1))
    bench.scheduler.remove_job("job")
    bench.add("job", max_runs=2, **EVERY_TEN)
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert len(bench.began("job")) == 3


def test_a_job_that_is_added_again_in_the_millisecond_of_its_end_begins_at_nothing(bench):
    if not isinstance(bench.store, MemoryJobStore):
        pytest.skip("a database takes longer to remove a job")
    bench.start()
    for times in (1, 2):
        bench.add("job", "date", max_runs=1)
        wait_until(lambda times=times: len(bench.began("job")) == times and not bench.scheduler.get_jobs())


def test_a_pause_and_another_trigger_keep_the_count_of_runs(bench):
    bench.add("job", max_runs=3, **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 1))
    bench.scheduler.pause_job("job")
    bench.scheduler.resume_job("job")
    bench.until(lambda: has_run(bench, 2))
    bench.scheduler.reschedule_job("job", trigger="interval", seconds=20)
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert len(bench.began("job")) == 3


def test_fewer_runs_than_have_begun_end_the_job_at_once(bench):
    bench.add("job", **EVERY_TEN)
    bench.scheduler.modify_job("job", max_runs=9)
    bench.start()
    bench.until(lambda: has_run(bench, 3))
    bench.scheduler.modify_job("job", max_runs=2)
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert bench.began("job") == [10, 20, 30]


def test_more_runs_while_the_last_one_is_in_progress_let_the_job_go_on(bench):
    bench.add("job", acts="W", max_runs=1, **EVERY_TEN)
    bench.start()
    bench.until(lambda: bench.began("job"))
    bench.scheduler.modify_job("job", max_runs=3)
    bench.until(lambda: bench.clock.now_ms() > bench.at(15))
    gate.set()
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert bench.began("job") == [10, 20, 30]


def test_a_limit_that_a_running_job_gets_counts_from_then_on(bench):
    bench.add("job", **EVERY_TEN)
    bench.start()
    bench.until(lambda: has_run(bench, 2))
    bench.scheduler.modify_job("job", max_runs=2)
    bench.until(lambda: not bench.scheduler.get_jobs())
    assert bench.began("job") == [10, 20, 30, 40]
