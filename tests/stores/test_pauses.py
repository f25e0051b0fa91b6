"""Pauses: why, by whom and until when; with the same behaviour on every store."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from store_bench import SHORT_STEP_MS, StoreBench

from gsched import CronTrigger, InvalidJobError, JobNotFoundError, acting
from gsched.jobs.job import Job
from gsched.jobs.pause import PLAIN, Pause
from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


# -- what is kept of a pause ----------------------------------------------------------------------------------------


def test_a_pause_keeps_its_reason_its_end_and_who_decided_it(bench):
    bench.add("job", "interval", seconds=10)
    job = bench.scheduler.pause_job("job", reason="vendor down", until="2h", by="ops")
    assert job.pause_info == bench.scheduler.get_job("job").pause_info
    pause = job.pause_info
    assert (pause.reason, pause.by, pause.cause) == ("vendor down", "ops", "user")
    assert (pause.at, pause.until) == (NOON, after(7200))
    assert pause.words() == "paused by ops until 2026-03-02 14:00:00+00:00: vendor down"
    assert (job.state, job.paused) == ("paused", True)


def test_a_pause_without_a_word_is_told_from_none(bench):
    bench.add("job", "interval", seconds=10, next_run_time=None)
    bench.add("other", "interval", seconds=10)
    assert bench.scheduler.get_job("job").pause_info == PLAIN
    assert bench.scheduler.get_job("other").pause_info is None


def test_who_acts_names_the_pause_and_gives_its_reason(bench):
    bench.add("job", "interval", seconds=10)
    with acting("ops", via="api", reason="upgrade"):
        pause = bench.scheduler.pause_job("job").pause_info
        assert (pause.by, pause.reason) == ("ops", "upgrade")
        pause = bench.scheduler.pause_job("job", reason="longer", by="boss").pause_info
    assert (pause.by, pause.reason) == ("boss", "longer")


def test_a_job_that_is_paused_again_keeps_what_is_not_given_anew(bench):
    bench.add("job", "interval", seconds=10)
    first = bench.scheduler.pause_job("job", reason="vendor down", by="ops").pause_info
    assert bench.scheduler.pause_job("job").pause_info == first
    bench.clock.skip(5000)
    longer = bench.scheduler.pause_job("job", until="1h", by="boss").pause_info
    assert (longer.reason, longer.by, longer.at, longer.until) == ("vendor down", "boss", after(5), after(3605))
    other = bench.scheduler.pause_job("job", reason="still down").pause_info
    assert (other.reason, other.by, other.until) == ("still down", None, after(3605))


@pytest.mark.parametrize("until", [NOON - timedelta(seconds=1), NOON, 0, True, "0s", "-2h", timedelta(0), "soon"])
def test_an_end_that_is_not_ahead_is_refused_and_nothing_changes(bench, until):
    bench.add("job", "interval", seconds=10)
    with pytest.raises(InvalidJobError, match=r"^until: "):
        bench.scheduler.pause_job("job", until=until)
    assert bench.scheduler.get_job("job").state == "scheduled"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"reason": "x" * 251}, "reason: expected at most 250 characters, got 251"),
        ({"reason": ""}, "reason: expected a text that is not empty"),
        ({"by": "x" * 201}, "by: expected at most 200 characters, got 201"),
    ],
)
def test_a_text_that_is_empty_or_too_long_is_refused_and_nothing_changes(bench, texts, message):
    bench.add("job", "interval", seconds=10)
    with pytest.raises(InvalidJobError, match=message):
        bench.scheduler.pause_job("job", **texts)
    assert bench.scheduler.get_job("job").state == "scheduled"


def test_an_unknown_job_cannot_be_paused(bench):
    with pytest.raises(JobNotFoundError):
        bench.scheduler.pause_job("none", reason="x", until="1h")


# -- when a paused job is due -----------------------------------------------------------------------------------------


def test_a_daily_job_that_is_paused_over_one_night_runs_in_the_next_one(bench):
    bench.add("nightly", CronTrigger(hour=2, timezone="UTC"))
    job = bench.scheduler.pause_job("nightly", reason="vendor down", by="ops", until="2026-03-04 01:00")
    bench.start()
    assert job.next_run_time == datetime(2026, 3, 4, 2, tzinfo=UTC)
    bench.skip_to("2026-03-03 02:00:01")
    tuesday = bench.scheduler.explain("nightly", "2026-03-03 02:00")
    assert tuesday.outcome == "paused"
    assert "paused by ops until 2026-03-04 01:00:00+00:00: vendor down" in tuesday.sentence
    bench.skip_to("2026-03-04 02:00")
    assert bench.until(lambda: bench.began("nightly")) == [38 * 3600.0]


def test_an_interval_keeps_its_phase_over_a_pause_that_ends_between_two_instants(bench):
    bench.start().add("poll", "interval", seconds=10)
    bench.until(lambda: bench.began("poll"))
    until = datetime(2026, 3, 2, 12, 1, 3, tzinfo=UTC)
    assert bench.scheduler.pause_job("poll", until=until).next_run_time == after(70)
    bench.until(lambda: len(bench.began("poll")) == 3)
    assert bench.began("poll") == [10.0, 70.0, 80.0]


def test_a_date_that_falls_into_a_pause_runs_at_its_end(bench):
    bench.add("once", "date", run_date=after(10))
    assert bench.scheduler.pause_job("once", until="30s").next_run_time == after(30)
    bench.start()
    assert bench.until(lambda: bench.began("once")) == [30.0]
    bench.until(lambda: bench.scheduler.get_job("once") is None)


def test_a_date_beyond_the_end_of_a_pause_stays_where_it_is(bench):
    bench.add("once", "date", run_date=after(40))
    bench.scheduler.pause_job("once", until="30s")
    bench.start()
    assert bench.until(lambda: bench.began("once")) == [40.0]


def test_a_job_whose_trigger_ends_within_a_pause_stays_until_somebody_resumes_it(bench):
    bench.add("short", "interval", seconds=10, end_date=after(25))
    pause = bench.scheduler.pause_job("short", until="1m", reason="down").pause_info
    bench.start()
    assert (pause.until, pause.reason) == (None, "down")
    bench.clock.skip(61_000)
    assert bench.scheduler.get_job("short").state == "paused"
    bench.scheduler.resume_job("short")
    bench.until(lambda: bench.scheduler.get_job("short") is None)
    assert bench.began("short") == []


def test_resuming_before_the_end_makes_the_job_due_from_now_on(bench):
    bench.add("poll", "interval", seconds=10)
    bench.scheduler.pause_job("poll", until="1h")
    bench.start()
    bench.clock.skip(12_000)
    job = bench.scheduler.resume_job("poll")
    assert (job.state, job.pause_info, job.next_run_time) == ("scheduled", None, after(20))
    assert bench.until(lambda: bench.began("poll")) == [20.0]


def test_a_date_that_passed_within_a_pause_is_late_when_the_job_is_resumed_before_the_end(bench):
    bench.add("once", "date", run_date=after(10))
    bench.scheduler.pause_job("once", until="1h")
    bench.start()
    bench.clock.skip(20_000)
    bench.scheduler.resume_job("once")
    assert bench.until(lambda: bench.began("once")) == [10.0]


def test_a_next_run_time_that_the_user_has_set_comes_back_with_the_resumption(bench):
    bench.add("later", CronTrigger(hour=2, timezone="UTC"), next_run_time="2026-04-01 12:00")
    bench.scheduler.pause_job("later", until="2026-05-01 00:00")
    assert bench.scheduler.get_job("later").next_run_time == datetime(2026, 5, 1, 2, tzinfo=UTC)
    resumed = bench.scheduler.resume_job("later")
    assert resumed.next_run_time == datetime(2026, 4, 1, 12, tzinfo=UTC)


def test_a_new_trigger_of_a_paused_job_is_due_after_the_end_of_the_pause(bench):
    bench.add("job", "interval", seconds=10)
    bench.scheduler.pause_job("job", until="1h", reason="down")
    job = bench.scheduler.reschedule_job("job", trigger="interval", minutes=25)
    assert (job.next_run_time, job.pause_info.reason) == (after(75 * 60), "down")


def test_a_next_run_time_ends_a_pause(bench):
    bench.add("job", "interval", seconds=10)
    bench.scheduler.pause_job("job", until="1h")
    job = bench.scheduler.modify_job("job", next_run_time=after(5))
    assert (job.pause_info, job.next_run_time) == (None, after(5))


def test_a_pause_without_an_end_in_place_of_one_with_an_end_forgets_no_phase(bench):
    bench.add("job", "interval", seconds=10)
    bench.scheduler.pause_job("job", until="1h")
    job = bench.scheduler.modify_job("job", next_run_time=None)
    assert (job.next_run_time, job.pause_info) == (None, PLAIN)
    assert bench.scheduler.resume_job("job").next_run_time == after(10)


@pytest.mark.parametrize("until", [None, "1h"])
def test_replacing_a_job_with_an_unchanged_trigger_keeps_its_pause(bench, until):
    bench.add("job", "interval", seconds=10)
    paused = bench.scheduler.pause_job("job", reason="down", by="ops", until=until)
    replaced = bench.add("job", "interval", seconds=10, name="new", replace_existing=True)
    assert (replaced.name, replaced.pause_info) == ("new", paused.pause_info)
    assert replaced.next_run_time == paused.next_run_time


def test_a_pause_survives_a_restart(bench):
    bench.step_ms = SHORT_STEP_MS
    bench.add("poll", "interval", seconds=10)
    bench.scheduler.pause_job("poll", until="45s", reason="down")
    bench.start()
    bench.restart()
    assert bench.scheduler.get_job("poll").pause_info.reason == "down"
    assert bench.until(lambda: bench.began("poll")) == [50.0]


# -- lists and counts ---------------------------------------------------------------------------------------------


def test_lists_and_counts_follow_the_end_of_a_pause_without_a_write(bench):
    for name in ("due", "open", "ends"):
        bench.add(name, "interval", seconds=10)
    bench.scheduler.pause_job("open", reason="down")
    bench.scheduler.pause_job("ends", until="30s")

    def seen() -> tuple[list[str], list[str], dict[str, int]]:
        states = ("paused", "scheduled")
        listed = [sorted(job.id for job in bench.scheduler.get_jobs(state=state)) for state in states]
        return *listed, bench.scheduler.admin.get_statistics().jobs

    assert seen() == (["ends", "open"], ["due"], {"scheduled": 1, "paused": 2, "parked": 0})
    assert [job.id for job in bench.scheduler.get_jobs(state="paused", text="end")] == ["ends"]
    bench.clock.skip(30_000)
    assert seen() == (["open"], ["due", "ends"], {"scheduled": 2, "paused": 1, "parked": 0})
    assert bench.scheduler.get_job("ends").pause_info is None


def test_an_overview_shows_alike_pauses_together(bench):
    for name in ("a", "b", "c"):
        bench.add(name, "interval", seconds=10)
    bench.scheduler.pause_jobs(["a", "b"], reason="down", by="ops", until="1h")
    bench.scheduler.pause_job("c")
    shown = bench.scheduler.admin.get_overview()
    assert shown.jobs["paused"] == 2 + 1
    largest, other = shown.pauses
    assert (largest.reason, largest.by, largest.until, largest.jobs) == ("down", "ops", after(3600), 2)
    assert (other.reason, other.jobs, other.job_id) == (None, 1, "c")


# -- many jobs at once ----------------------------------------------------------------------------------------------


def ids(bench: StoreBench, state: str = "paused") -> list[str]:
    return sorted(job.id for job in bench.scheduler.get_jobs(state=state))


def add_four(bench: StoreBench) -> None:
    for name, tag in (("a1", "x"), ("a2", "y"), ("b1", "x"), ("b2", "y")):
        bench.add(name, "interval", seconds=10, tags=[tag])


@pytest.mark.parametrize(
    ("chosen", "paused"),
    [
        ({"ids": ["a1", "b2", "none", "a1"]}, ["a1", "b2"]),
        ({"tag": "x"}, ["a1", "b1"]),
        ({"prefix": "a"}, ["a1", "a2"]),
        ({"everything": True}, ["a1", "a2", "b1", "b2"]),
        ({"ids": []}, []),
    ],
)
def test_many_jobs_are_paused_and_resumed_in_one_call(bench, chosen, paused):
    add_four(bench)
    assert bench.scheduler.pause_jobs(**chosen, reason="upgrade", by="ops") == len(paused)
    assert ids(bench) == paused
    assert bench.scheduler.resume_jobs(**chosen) == len(paused)
    assert ids(bench) == []


@pytest.mark.parametrize(
    "chosen", [{}, {"tag": "x", "prefix": "a"}, {"ids": "a1"}, {"ids": ["a1"], "everything": True}]
)
def test_many_jobs_are_named_in_exactly_one_way(bench, chosen):
    for verb in (bench.scheduler.pause_jobs, bench.scheduler.resume_jobs):
        with pytest.raises(InvalidJobError):
            verb(**chosen)


def test_pausing_everything_shortens_no_pause_and_renames_none(bench):
    add_four(bench)
    bench.scheduler.pause_job("a1", reason="for good")
    bench.scheduler.pause_job("a2", reason="soon over", until="10m")
    bench.scheduler.pause_job("b1", reason="for long", until="3h")
    assert bench.scheduler.pause_jobs(everything=True, reason="upgrade", until="1h") == 2
    pauses = {job.id: job.pause_info for job in bench.scheduler.get_jobs()}
    assert {job: pause.reason for job, pause in pauses.items()} == {
        "a1": "for good", "a2": "upgrade", "b1": "for long", "b2": "upgrade",
    }  # fmt: skip
    assert pauses["a1"].until is None and pauses["a2"].until == after(3600)


def test_after_a_maintenance_only_those_are_resumed_that_it_has_paused(bench):
    add_four(bench)
    bench.scheduler.pause_job("a1", reason="for good")
    assert bench.scheduler.pause_jobs(everything=True, reason="upgrade") == 3
    assert bench.scheduler.resume_jobs(everything=True, reason="upgrade") == 3
    assert ids(bench) == ["a1"]


def test_a_thousand_jobs_are_paused_in_a_few_round_trips(bench):
    bench.scheduler.add_jobs(
        {"func": "store_bench:play", "trigger": "interval", "seconds": 60, "args": ["x"], "id": f"job-{n}"}
        for n in range(1200)
    )
    assert bench.scheduler.pause_jobs(everything=True, until="1h") == 1200
    assert bench.scheduler.admin.get_statistics().jobs["paused"] == 1200


def test_jobs_that_somebody_else_changes_meanwhile_are_paused_all_the_same(bench):
    add_four(bench)
    store, meddled = bench.store, []

    def change(job: Job) -> Job:
        if job.id == "a2" and not meddled:
            meddled.append(store.change("a2", lambda found: found.evolve(name="meddled")))
        return job.evolve(pause=Pause("down"))

    if not store.shared:
        pytest.skip("nobody else changes the jobs of a memory store meanwhile")
    changed = store.change_many(["a1", "a2", "b1"], change)
    assert sorted(job.id for job in changed) == ["a1", "a2", "b1"]
    assert (store.get("a2").name, ids(bench)) == ("meddled", ["a1", "a2", "b1"])


# -- events -----------------------------------------------------------------------------------------------------------


def test_the_events_of_a_pause_tell_why_by_whom_and_until_when(bench):
    bench.start().add("job", "interval", seconds=10)
    bench.scheduler.pause_job("job", reason="down", by="ops", until="1h")
    with acting("boss"):
        bench.scheduler.resume_job("job")
    bench.until(lambda: bench.named("job.resumed"))
    (paused,), (resumed,) = bench.named("job.paused"), bench.named("job.resumed")
    assert (paused.reason, paused.by, paused.until, paused.cause) == ("down", "ops", after(3600), "user")
    assert (resumed.reason, resumed.by, resumed.until, resumed.cause) == ("down", "boss", after(3600), "user")
    assert paused.fields() == {
        "job_id": "job", "job_name": "play", "next_run_time": "2026-03-02T13:00:00.000+00:00", "reason": "down",
        "by": "ops", "until": "2026-03-02T13:00:00.000+00:00", "cause": "user",
    }  # fmt: skip


def test_a_pause_that_ends_by_itself_is_an_event_with_the_first_instant_after_it_and_no_other(bench):
    bench.add("poll", "interval", seconds=10)
    bench.scheduler.pause_job("poll", until="15s", reason="down", by="ops")
    bench.start()
    bench.until(lambda: len(bench.began("poll")) == 3)
    (resumed,) = bench.named("job.resumed")
    assert (resumed.reason, resumed.by, resumed.cause) == ("down", None, "until")
    assert resumed.job.pause == bench.store.get("poll").pause
    names = [event.name for event in bench.events if event.name in ("job.resumed", "run.succeeded")]
    assert names[0] == "job.resumed"


def test_the_end_of_a_pause_is_told_once_also_if_another_node_goes_on(bench):
    bench.add("poll", "interval", seconds=10)
    bench.scheduler.pause_job("poll", until="15s")
    bench.start()
    bench.until(lambda: len(bench.began("poll")) == 1)
    assert [event.cause for event in bench.named("job.resumed")] == ["until"]
    bench.restart()
    bench.until(lambda: len(bench.began("poll")) == 3)
    assert bench.named("job.resumed") == []


# -- export and import ------------------------------------------------------------------------------------------------


def test_pauses_travel_with_an_export(bench):
    add_four(bench)
    bench.scheduler.pause_job("a1", reason="down", by="ops", until="1h")
    bench.scheduler.pause_job("a2", reason="for good")
    bench.scheduler.modify_job("b1", next_run_time=None)
    before = {job.id: (job.definition.pause, job.next_run_time) for job in bench.scheduler.get_jobs()}
    file = io.StringIO()
    bench.scheduler.export_jobs(file)
    bench.scheduler.remove_all_jobs()
    file.seek(0)
    bench.scheduler.import_jobs(file)
    assert {job.id: (job.definition.pause, job.next_run_time) for job in bench.scheduler.get_jobs()} == before
    assert bench.scheduler.resume_job("a1").next_run_time == after(10)
