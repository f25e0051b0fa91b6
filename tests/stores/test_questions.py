"""What dashboards ask of a store: with the same answers on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import gevent
import pytest
from store_bench import StoreBench, gate

from gsched import ConfigurationError, GeventScheduler, InvalidJobError, JobNotFoundError, StoreError, acting
from gsched.event_loop import slices
from gsched.history.queries import RunQuery
from gsched.jobs.audit import Act, AuditQuery
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.query import JobQuery
from gsched.monitoring.activity import Period
from gsched.monitoring.rates import NotedMinute, rates_of
from gsched.stores import BaseJobStore, MemoryJobStore, SQLJobStore

pytest_plugins = ["mongodb"]

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


def ids(page: Any) -> list[str]:
    return [row.job.id for row in page.rows]


def all_pages(bench: StoreBench, query: JobQuery) -> list[list[str]]:
    """The ids on each page, from the first to the last."""
    page = bench.scheduler.admin.find(query)
    pages = [ids(page)]
    while page.next is not None:
        page = bench.scheduler.admin.find(replace(query, after=page.next))
        pages.append(ids(page))
    return pages


# -- pages of jobs --------------------------------------------------------------------------------------------------


def add_twelve(bench: StoreBench) -> None:
    """Jobs j00 to j11, due in the opposite order; every third is paused and has the tag "t"."""
    for number in range(12):
        tags = ["t"] if number % 3 == 0 else []
        bench.add(f"j{number:02}", "interval", hours=24 - number, tags=tags, name=f"Name {number}")
    bench.scheduler.pause_jobs(tag="t")


def test_pages_follow_each_other_by_time_and_have_each_job_once_the_paused_ones_last(bench):
    add_twelve(bench)
    scheduled = [f"j{number:02}" for number in reversed(range(12)) if number % 3]
    pages = all_pages(bench, JobQuery(limit=5))
    assert [len(page) for page in pages] == [5, 5, 2]
    flat = [job_id for page in pages for job_id in page]
    assert flat[:8] == scheduled and sorted(flat[8:]) == ["j00", "j03", "j06", "j09"]


def test_a_page_goes_on_after_its_place_though_the_job_there_is_gone(bench):
    add_twelve(bench)
    query = JobQuery(limit=3)
    first = bench.scheduler.admin.find(query)
    assert ids(first) == ["j11", "j10", "j08"]
    bench.scheduler.remove_job("j08")
    assert ids(bench.scheduler.admin.find(replace(query, after=first.next))) == ["j07", "j05", "j04"]


def test_pages_by_id_are_in_the_order_of_ids(bench):
    add_twelve(bench)
    pages = all_pages(bench, JobQuery(limit=5, sort="id"))
    assert [job_id for page in pages for job_id in page] == [f"j{number:02}" for number in range(12)]
    assert [len(page) for page in pages] == [5, 5, 2]


@pytest.mark.parametrize("sort", ["next", "id"])
@pytest.mark.parametrize("condition", [{"tag": "t"}, {"state": "paused"}])
def test_pages_keep_to_their_conditions(bench, sort, condition):
    add_twelve(bench)
    pages = all_pages(bench, JobQuery(limit=3, sort=sort, **condition))
    assert [len(page) for page in pages] == [3, 1]
    assert sorted(job_id for page in pages for job_id in page) == ["j00", "j03", "j06", "j09"]


def test_pages_by_prefix_have_the_jobs_whose_ids_begin_so_in_this_case_of_letters(bench):
    for job_id in ("ab-1", "ab-2", "ab-3", "AB-4", "a", "b", "ab%", "ab_x"):
        bench.add(job_id, "interval", hours=1)
    found = [job_id for page in all_pages(bench, JobQuery(prefix="ab-", limit=2)) for job_id in page]
    assert sorted(found) == ["ab-1", "ab-2", "ab-3"]
    assert ids(bench.scheduler.admin.find(JobQuery(prefix="ab%"))) == ["ab%"]


def test_a_search_finds_ids_before_names_and_goes_on_page_by_page(bench):
    for job_id, name in (("a-PRICE", "x"), ("b", "Price list"), ("c-price", "x"), ("d", "the prices"), ("e", "other")):
        bench.add(job_id, "interval", hours=1, name=name)
    assert all_pages(bench, JobQuery(text="price", limit=3)) == [["a-PRICE", "c-price", "b"], ["d"]]
    assert all_pages(bench, JobQuery(text="price", limit=1)) == [["a-PRICE"], ["c-price"], ["b"], ["d"]]
    assert all_pages(bench, JobQuery(text="nothing")) == [[]]
    assert bench.scheduler.admin.count(JobQuery(text="PRICE")) == 4


def test_a_search_takes_what_databases_have_a_meaning_for_as_it_is(bench):
    for job_id in ("100%", "a_b", "axb", "a.b", "ÄRGER"):
        bench.add(job_id, "interval", hours=1)
    assert ids(bench.scheduler.admin.find(JobQuery(text="%"))) == ["100%"]
    assert ids(bench.scheduler.admin.find(JobQuery(text="a_b"))) == ["a_b"]
    assert ids(bench.scheduler.admin.find(JobQuery(text="a.b"))) == ["a.b"]
    assert ids(bench.scheduler.admin.find(JobQuery(text="ärger"))) == ["ÄRGER"]


def test_a_search_that_takes_more_than_a_second_stops_and_says_so(bench, monkeypatch):
    bench.add("price", "interval", hours=1)
    bench.add("other", "interval", hours=1, name="price")
    times = count(0, 2)
    monkeypatch.setattr(bench.clock, "monotonic", lambda: float(next(times)))
    page = bench.scheduler.admin.find(JobQuery(text="price"))
    if bench.store.shared:
        assert page.stopped_early and page.next is not None
    else:  # it goes on, and gives other greenlets their turns
        assert not page.stopped_early and len(page.rows) == 2


@pytest.mark.parametrize("after", ["", "j01", "next.2.5.a", "next.0.x.a", 5, "id."])
def test_a_place_that_no_page_gave_is_refused(after):
    with pytest.raises(InvalidJobError, match="after: expected the place that the page before gave as `next`, got"):
        JobQuery(after=after)


def test_a_place_in_a_list_of_another_order_is_refused():
    with pytest.raises(InvalidJobError, match="a place in a list of another order"):
        JobQuery(after="id.a")
    with pytest.raises(InvalidJobError, match="a place in a list of another order"):
        JobQuery(after="next.0.5.a", text="a")


def test_a_page_takes_neither_skip_nor_more_than_a_thousand_jobs(bench):
    with pytest.raises(InvalidJobError, match="skip: pages begin after a place"):
        bench.scheduler.admin.find(JobQuery(skip=5))
    with pytest.raises(ConfigurationError, match="limit: expected 1 to 1000, got 1001"):
        bench.scheduler.admin.find(JobQuery(limit=1001))


def test_rows_tell_of_each_job_when_it_was_added_and_changed(bench):
    bench.add("a", "interval", hours=1)
    bench.clock.skip(5000)
    bench.scheduler.modify_job("a", name="new")
    rows = bench.scheduler.admin.rows(["a", "nothing"])
    assert list(rows) == ["a"] and rows["a"].job.name == "new"
    assert (rows["a"].added, rows["a"].changed) == (NOON, NOON + timedelta(seconds=5))


def test_jobs_are_counted_up_to_a_number_and_tags_by_how_many_jobs_have_them(bench):
    add_twelve(bench)
    bench.add("k", "interval", hours=1, tags=["t", "u"])
    admin = bench.scheduler.admin
    assert admin.count() == 13 and admin.count(most=5) == 5
    assert admin.count(JobQuery(state="paused")) == 4 and admin.count(JobQuery(tag="u")) == 1
    assert list(admin.tags().items()) == [("t", 5), ("u", 1)] and admin.tags(most=1) == {"t": 5}


# -- failing since --------------------------------------------------------------------------------------------------


def failing(bench: StoreBench) -> list[str]:
    return ids(bench.scheduler.admin.find(JobQuery(failing=True)))


def since(bench: StoreBench, job_id: str) -> Any:
    return bench.scheduler.get_counters(job_id).failing_since


def until_runs(bench: StoreBench, job_id: str, runs: int) -> None:
    """Wait until so many runs of the job are written, after which it waits for the gate."""
    bench.until(lambda: bench.scheduler.get_counters(job_id).runs >= runs)


def test_a_job_fails_since_the_first_of_its_failures_in_a_row_until_it_succeeds(bench):
    bench.add("a", "interval", seconds=10, acts="FSFFW")
    bench.add("b", "interval", seconds=10, acts="SW")
    bench.start()
    until_runs(bench, "a", 4)
    assert abs(since(bench, "a") - NOON - timedelta(seconds=30)) < timedelta(seconds=1)
    assert failing(bench) == ["a"] and bench.scheduler.admin.count(JobQuery(failing=True)) == 1
    gate.set()
    until_runs(bench, "a", 5)
    assert since(bench, "a") is since(bench, "b") is None and failing(bench) == []


def test_instants_that_do_not_run_change_nothing_about_failing(bench):
    bench.add("a", "interval", seconds=10, acts="FW", max_instances=1)
    bench.start()
    bench.until(lambda: [each.outcome for each in bench.scheduler.get_counters("a").recent].count("skipped") >= 2)
    assert abs(since(bench, "a") - NOON - timedelta(seconds=10)) < timedelta(seconds=1)


# -- pages of runs --------------------------------------------------------------------------------------------------


def recorded(bench: StoreBench) -> None:
    """Two jobs that fail at the same five instants."""
    for job_id in ("a", "b"):
        bench.add(job_id, "interval", seconds=10, acts="FFFFF", tags=["t"])
    bench.start()
    bench.until(lambda: len(bench.scheduler.get_runs(outcome="failed")) == 10)


def flat(pages: list[list[Any]]) -> list[Any]:
    return [item for page in pages for item in page]


def run_pages(bench: StoreBench, query: RunQuery) -> list[list[tuple[str, float]]]:
    pages, page = [], bench.scheduler.admin.runs(query)
    while True:
        pages.append([(run.job_id, (run.scheduled_at - NOON).total_seconds()) for run in page.runs])
        if page.next is None:
            return pages
        page = bench.scheduler.admin.runs(replace(query, before=page.next))


def test_pages_of_runs_have_each_record_once_the_newest_first(bench):
    recorded(bench)
    expected = [(job_id, float(at)) for at in (50, 40, 30, 20, 10) for job_id in ("b", "a")]
    pages = run_pages(bench, RunQuery(outcome="failed", limit=3))
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [run for page in pages for run in page] == expected
    assert flat(run_pages(bench, RunQuery(job_id="a", outcome="failed", limit=2))) == expected[1::2]
    assert flat(run_pages(bench, RunQuery(tag="t", outcome="failed", limit=4))) == expected
    period = RunQuery(since=bench.at(20), until=bench.at(41), outcome="failed", limit=4)
    assert flat(run_pages(bench, period)) == expected[2:8]


def test_pages_of_a_nodes_runs_are_full_and_have_no_others(bench):
    recorded(bench)
    node = bench.scheduler.admin.runs(RunQuery(outcome="failed")).runs[0].node
    assert run_pages(bench, RunQuery(node="another", limit=3)) == [[]]
    if node is not None:  # the memory store has none
        assert [len(page) for page in run_pages(bench, RunQuery(node=node, outcome="failed", limit=3))] == [3, 3, 3, 1]
        tagged = run_pages(bench, RunQuery(node=node, tag="t", outcome="failed"))
        assert len(flat(tagged)) == 10


def test_pages_of_runs_leave_out_tracebacks(bench):
    recorded(bench)
    assert all(run.traceback is None for run in bench.scheduler.admin.runs().runs)
    assert bench.scheduler.get_runs(outcome="failed")[0].traceback is not None


@pytest.mark.parametrize("before", ["", "5", "x.a", 5])
def test_a_place_among_runs_that_no_page_gave_is_refused(before):
    with pytest.raises(ConfigurationError, match="before: expected the place"):
        RunQuery(before=before)


# -- groups of errors -----------------------------------------------------------------------------------------------


def test_failures_that_are_alike_are_one_group_with_its_jobs_and_an_example(bench):
    recorded(bench)
    groups = bench.scheduler.admin.error_groups(since="1h")
    assert groups.records == 10
    (group,) = groups.groups
    assert (group.outcome, group.error_type, group.message) == ("failed", "ConnectionError", "vendor down")
    assert (group.count, group.share, group.jobs, group.job_ids) == (10, 1.0, 2, ("b", "a"))
    assert (group.first, group.last) == (NOON + timedelta(seconds=10), NOON + timedelta(seconds=50))
    assert group.example.job_id == "b" and group.example.traceback is None
    by_job = bench.scheduler.admin.error_groups(since="1h", by="job")
    assert [(group.job_id, group.count) for group in by_job.groups] == [("a", 5), ("b", 5)]


def test_groups_say_how_far_back_they_reach_if_there_are_too_many_failures(bench):
    recorded(bench)
    groups = bench.scheduler.admin.error_groups(since="1h", limit=4)
    assert groups.records == 4 and groups.since == NOON + timedelta(seconds=40)
    assert bench.scheduler.admin.error_groups(since="1h", tag="u").groups == ()


# -- instants -------------------------------------------------------------------------------------------------------


def test_the_instants_of_a_job_have_the_outcomes_that_explain_gives(bench):
    bench.add("a", "interval", seconds=10, acts="SFSSFSW")
    bench.start()
    until_runs(bench, "a", 6)
    instants = bench.scheduler.admin.instants("a", since=NOON)
    assert [instant.outcome for instant in instants][:6] == [
        *("succeeded", "failed", "succeeded", "succeeded", "failed", "succeeded")
    ]
    assert [(instant.at - NOON).total_seconds() for instant in instants][:6] == [10, 20, 30, 40, 50, 60]
    for instant in instants[:6]:
        said = bench.scheduler.explain("a", instant.at)
        assert (instant.outcome, instant.recorded, instant.sentence) == (said.outcome, said.recorded, said.sentence)
    assert instants[1].run_id is not None and instants[1].duration is not None
    last = bench.scheduler.admin.instants("a", since=NOON, limit=2)
    assert [each.at for each in last] == [each.at for each in instants[-2:]]


def test_instants_ahead_are_still_to_come(bench):
    bench.add("a", "interval", seconds=10)
    bench.start()
    ahead = bench.scheduler.admin.instants("a", since="1m", until=bench.clock.now + timedelta(seconds=35))
    assert [instant.outcome for instant in ahead] == ["upcoming"] * 3


def test_instants_of_a_job_that_does_not_exist_are_refused(bench):
    with pytest.raises(JobNotFoundError):
        bench.scheduler.admin.instants("nothing")


# -- the load ahead -------------------------------------------------------------------------------------------------


def test_the_load_ahead_counts_intervals_evenly_and_other_triggers_by_their_instants(bench):
    bench.add("often", "interval", minutes=5)
    bench.add("daily", "cron", hour=3, minute=30)
    bench.add("late", "interval", hours=24, start_date=NOON + timedelta(minutes=20))
    bench.add("paused", "interval", minutes=1, next_run_time=None)
    load = bench.scheduler.admin.load()
    assert (load.estimated_from, load.of) == (3, 3)
    assert load.week[0][3] == 13.0 and load.week[0][4] == 12.0  # Monday
    assert load.week[1][12] == 13.0 and sum(map(sum, load.week)) == 168 * 12 + 7 + 7
    assert load.begins == NOON and load.hour[0] == 0.2 and load.hour[20] == 1.2
    assert load.peaks[0].runs == 13.0
    assert ("interval[0:05:00]", "every 5 min", 1, 12.0, 12.0, ("often",)) in load.peaks[0].triggers


def test_each_hour_ahead_names_the_triggers_that_make_it_and_some_of_their_jobs(bench):
    for number in range(4):
        bench.add(f"nightly-{number}", "cron", hour=3)
    bench.add("often", "interval", minutes=30)
    hours = bench.scheduler.admin.load().hours
    assert len(hours) == 168 and hours[0].at == NOON + timedelta(hours=1)
    assert [each.runs for each in hours[:16]] == [2.0] * 14 + [6.0, 2.0]
    (night, often), (alone,) = hours[14].triggers, hours[15].triggers
    assert (night.jobs, night.runs, night.least, len(night.examples)) == (4, 4.0, 0.0, 3)
    assert set(night.examples) < {f"nightly-{number}" for number in range(4)}
    assert often == alone == ("interval[0:30:00]", "every 30 min", 1, 2.0, 2.0, ("often",))


def test_the_triggers_that_make_an_hour_fuller_are_named_whatever_else_runs_more(bench):
    for minutes in (1, 2, 3, 4, 5, 6):
        bench.add(f"every-{minutes}", "interval", minutes=minutes)
    bench.add("nightly", "cron", hour=3)
    night = bench.scheduler.admin.load().hours[14]
    assert [trigger.examples for trigger in night.triggers] == [
        ("every-1",), ("every-2",), ("every-3",), ("every-4",), ("nightly",),
    ]  # fmt: skip


def test_the_load_ahead_is_told_in_the_zone_that_is_wanted(bench):
    bench.add("daily", "cron", hour=3, minute=30, timezone="UTC")
    load = bench.scheduler.admin.load(zone="Asia/Tokyo")
    assert [day[12] for day in load.week] == [1.0] * 7 and sum(map(sum, load.week)) == 7


# -- the audit ------------------------------------------------------------------------------------------------------


def acts(bench: StoreBench, **query: Any) -> list[tuple[str, str, int]]:
    page = bench.scheduler.admin.audit(AuditQuery(**query))
    return [(entry.action, entry.target, entry.count) for entry in page.entries]


def test_what_is_done_on_somebodys_behalf_is_in_the_audit_and_with_the_job(bench):
    scheduler = bench.scheduler
    bench.add("a", "interval", hours=1)
    with acting("ops", via="web", reason="upgrade", address="10.0.0.7"):
        bench.add("b", "interval", hours=1)
        bench.clock.skip(1000)
        scheduler.modify_job("a", max_instances=3)
    (changed, added) = scheduler.admin.audit().entries
    assert (added.action, added.target, added.actor) == ("job.add", "b", "ops")
    assert (changed.action, changed.target, changed.count) == ("job.change", "a", 1)
    assert (changed.actor, changed.via, changed.reason, changed.address) == ("ops", "web", "upgrade", "10.0.0.7")
    assert changed.at == NOON + timedelta(seconds=1)
    assert (changed.before, changed.after) == ({"max_instances": "1"}, {"max_instances": "3"})
    last = scheduler.get_job("a").definition.last_change
    assert (last.action, last.by, last.via, last.reason, last.at) == (
        *("job.change", "ops", "web", "upgrade", NOON + timedelta(seconds=1)),
    )
    assert scheduler.get_job("b").definition.last_change.action == "job.add"


def test_arguments_are_not_told_in_the_audit(bench):
    bench.add("a", "interval", hours=1)
    with acting("ops"):
        bench.scheduler.modify_job("a", args=["password"], metadata={"token": "secret"})
    (entry,) = bench.scheduler.admin.audit().entries
    assert entry.before == entry.after == {"args": "(not recorded)", "metadata": "(not recorded)"}


def test_what_programs_do_on_nobodys_behalf_is_not_in_the_audit(bench):
    bench.add("a", "interval", hours=1)
    bench.scheduler.modify_job("a", name="x")
    bench.scheduler.remove_job("a")
    assert acts(bench) == []


def test_a_change_of_many_jobs_is_one_entry_and_each_job_tells_of_it(bench):
    for job_id in "abc":
        bench.add(job_id, "interval", hours=1, tags=["t"])
    scheduler = bench.scheduler
    with acting("ops"):
        scheduler.pause_jobs(tag="t", reason="vendor down")
        bench.clock.skip(10)
        scheduler.resume_jobs(["a"])
        bench.clock.skip(10)
        assert scheduler.admin.change_many(["a", "b", "nothing"], {"max_instances": 2}, reason="faster") == 2
        bench.clock.skip(10)
        scheduler.remove_job("c")
        bench.clock.skip(10)
        scheduler.remove_all_jobs()
    assert acts(bench) == [
        ("job.remove", "all jobs", 2), ("job.remove", "c", 1), ("job.change", "3 jobs", 2), ("job.resume", "a", 1),
        ("job.pause", "tag:t", 3),
    ]  # fmt: skip
    assert scheduler.admin.audit().entries[-1].reason == "vendor down"


def test_a_change_that_is_refused_leaves_no_entry(bench):
    bench.add("a", "interval", hours=1)
    with acting("ops"), pytest.raises(InvalidJobError):
        bench.scheduler.modify_job("a", max_instances=0)
    assert acts(bench) == [] and bench.scheduler.get_job("a").definition.last_change is None


def test_sqlite_removes_entries_of_the_audit_after_ninety_days(tmp_path, monkeypatch):
    bench = StoreBench(SQLJobStore(f"sqlite:///{tmp_path}/jobs.sqlite"), monkeypatch)
    for days in (0, 60, 31):
        bench.clock.skip(days * 86_400_000)
        bench.store.record_audit(Act(bench.clock.now_ms(), "job.change", "ops").entry(f"after {days}"))
    bench.store.operations.publish("a", {})
    assert [entry.target for entry in bench.scheduler.admin.audit().entries] == ["after 31", "after 60"]
    bench.close()


def test_a_change_whose_entry_cannot_be_written_does_not_come_to_pass(shared, monkeypatch):
    shared.add("a", "interval", hours=1)
    twice = Act(shared.at(0), "job.change", "ops")
    monkeypatch.setattr("gsched.jobs.audit.entry_id", lambda at: "0000000000001-same")
    shared.store.change("a", lambda job: job.evolve(name="first"), twice)
    with pytest.raises(StoreError):
        shared.store.change("a", lambda job: job.evolve(name="second"), twice)
    assert shared.store.get("a").name == "first" and len(shared.scheduler.admin.audit().entries) == 1


def test_replacing_a_job_keeps_who_changed_it_last(bench):
    bench.add("a", "interval", hours=1)
    with acting("ops"):
        bench.scheduler.pause_job("a")
    bench.add("a", "interval", hours=1, replace_existing=True, name="new")
    assert bench.scheduler.get_job("a").definition.last_change.by == "ops"


def test_the_audit_is_asked_by_who_what_when_and_page_by_page(bench):
    bench.add("a", "interval", hours=1)
    for number in range(5):
        with acting("ops" if number % 2 else "boss"):
            bench.scheduler.modify_job("a", name=f"{number}")
        bench.clock.skip(1000)
    admin = bench.scheduler.admin
    assert len(admin.audit(AuditQuery(actor="boss")).entries) == 3
    assert admin.audit(AuditQuery(action="job.pause")).entries == admin.audit(AuditQuery(target="b")).entries == ()
    assert len(admin.audit(AuditQuery(target="a", since=bench.at(1), until=bench.at(3))).entries) == 2
    names, page = [], admin.audit(AuditQuery(limit=2))
    while True:
        names += [entry.after["name"] for entry in page.entries]
        if page.next is None:
            break
        page = admin.audit(AuditQuery(limit=2, before=page.next))
    assert names == ["4", "3", "2", "1", "0"]


def test_a_program_may_keep_what_it_did_in_many_calls_as_one_entry(bench):
    bench.scheduler.admin.record_audit("job.run", "tag:t", 40)
    assert acts(bench) == []
    with acting("ops"):
        bench.scheduler.admin.record_audit("job.run", "tag:t", 40)
    assert acts(bench) == [("job.run", "tag:t", 40)]
    with acting("ops"), pytest.raises(ConfigurationError, match=r"action: 'x' is unknown; it is one of job\.add"):
        bench.scheduler.admin.record_audit("x", "y")


# -- runs on request ------------------------------------------------------------------------------------------------


def test_a_request_with_a_name_runs_once_however_often_it_is_made(bench):
    bench.add("a", "interval", hours=1)
    bench.start()
    first = bench.scheduler.run_job("a", request="click-1")
    assert first == bench.scheduler.run_job("a", request="click-1") == "a!click-1"
    bench.until(lambda: [run.outcome for run in bench.scheduler.get_runs("a")] == ["succeeded"])
    assert bench.scheduler.run_job("a", request="click-1") == first
    assert bench.scheduler.run_job("a", request="click-2") == "a!click-2"
    bench.until(lambda: bench.scheduler.get_counters("a").runs == 2)
    bench.clock.skip(3000)
    bench.settle()
    assert bench.scheduler.get_counters("a").runs == 2 and len(bench.scheduler.get_runs("a")) == 2


@pytest.mark.parametrize("request_name", ["", "a#1", "a b", "x" * 101, 5])
def test_a_name_of_a_request_that_cannot_be_in_an_id_is_refused(bench, request_name):
    bench.add("a", "interval", hours=1)
    bench.start()
    with pytest.raises(InvalidJobError, match="request: expected"):
        bench.scheduler.run_job("a", request=request_name)


# -- cancelling -----------------------------------------------------------------------------------------------------


def test_a_run_that_is_in_progress_is_cancelled_and_the_audit_says_who_did_it(bench):
    bench.add("a", "interval", hours=1, acts="W")
    bench.start()
    run = bench.scheduler.run_job("a")
    bench.until(lambda: bench.began("a"))
    with acting("ops", reason="hangs"):
        assert bench.scheduler.admin.request_cancel(run)
    bench.until(lambda: [run.outcome for run in bench.scheduler.get_runs("a")] == ["cancelled"])
    (entry,) = bench.scheduler.admin.audit().entries
    assert (entry.action, entry.target, entry.actor, entry.reason) == ("run.cancel", run, "ops", "hangs")
    assert not bench.scheduler.admin.request_cancel(run)
    assert not bench.scheduler.admin.request_cancel("a!nothing")


# -- rates ----------------------------------------------------------------------------------------------------------


def test_rates_tell_what_was_done_in_each_minute_and_hour(bench):
    bench.clock.skip(45_000)
    bench.add("a", "interval", seconds=4, acts="SFSW", tags=["t"])
    bench.start()
    admin = bench.scheduler.admin
    bench.until(lambda: any(rate.period.runs for rate in admin.rates(since=NOON)))
    assert bench.clock.now >= NOON + timedelta(minutes=1)
    first, *later = admin.rates(since=NOON, until=bench.clock.now + timedelta(minutes=3))
    assert first.at == NOON and first.period.runs == 3 and first.period.seconds == 60
    assert first.period.failures == 1 and first.period.by_tag["t"]["succeeded"] == 2
    assert [rate.period.runs for rate in later] == [0] * len(later) and len(later) >= 3
    (hour,) = admin.rates(since=NOON, step="1h")
    assert hour.at == NOON and hour.period.runs == 3 and hour.period.seconds == 3600


def test_what_was_done_in_the_last_minute_is_kept_when_the_scheduler_ends(bench):
    bench.add("a", "interval", seconds=10, acts="SW")
    bench.start()
    until_runs(bench, "a", 1)
    bench.close()
    (rate,) = [rate for rate in bench.scheduler.admin.rates(since=NOON) if rate.period.runs]
    assert rate.at == NOON


@pytest.mark.parametrize("step", ["90s", "7m", "90m", 0, "x"])
def test_steps_that_do_not_fit_into_hours_are_refused(bench, step):
    with pytest.raises(ConfigurationError, match="step: "):
        bench.scheduler.admin.rates(step=step)


def test_too_many_steps_are_refused(bench):
    with pytest.raises(ConfigurationError, match="step: more than 3000 steps"):
        bench.scheduler.admin.rates(since="40h", step="1m") and bench.scheduler.admin.rates(since="60h", step="1m")




# -- several processes ----------------------------------------------------------------------------------------------


@pytest.fixture
def shared(make_store: Callable[[], BaseJobStore], monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    """A bench on a store that others can share."""
    made = StoreBench(make_store(), monkeypatch)
    yield made
    made.close()


@pytest.fixture
def elsewhere(shared: StoreBench, make_store: Callable[[], BaseJobStore]) -> Iterator[GeventScheduler]:
    """A scheduler of another process on the same jobs, which runs none."""
    stores = {"default": make_store()}
    made = GeventScheduler(jobstores=stores, clock=shared.clock, timezone="UTC", modules=["store_bench"])
    yield made
    made.close()


def test_a_run_is_cancelled_from_another_process(shared, elsewhere):
    shared.add("a", "interval", hours=1, acts="W")
    shared.start()
    run = shared.scheduler.run_job("a")
    shared.until(lambda: shared.began("a"))
    with acting("ops"):
        assert elsewhere.admin.request_cancel(run)
    shared.until(lambda: [run.outcome for run in shared.scheduler.get_runs("a")] == ["cancelled"])
    assert [entry.action for entry in elsewhere.admin.audit().entries] == ["run.cancel"]


def test_other_runs_of_the_job_go_on(shared, elsewhere):
    shared.add("a", "interval", hours=1, acts="WW", max_instances=2)
    shared.start()
    runs = [shared.scheduler.run_job("a"), shared.scheduler.run_job("a")]
    shared.until(lambda: len(shared.began("a")) == 2)
    assert elsewhere.admin.request_cancel(runs[0])
    shared.until(lambda: shared.scheduler.get_runs("a", outcome="cancelled"))
    gate.set()
    shared.until(lambda: {run.run_id: run.outcome for run in shared.scheduler.get_runs("a")} == {
        runs[0]: "cancelled", runs[1]: "succeeded",
    })  # fmt: skip


def test_a_run_that_waits_never_begins_once_it_is_cancelled(shared, elsewhere):
    shared.add("a", "interval", hours=1)
    run = elsewhere.run_job("a")
    assert elsewhere.admin.request_cancel(run)
    shared.start()
    # The owner takes the run first: until its record is written, the database counts it as in progress.
    shared.until(lambda: [run.outcome for run in elsewhere.get_runs("a")] not in (["waiting"], ["running"]))
    assert [(run.outcome, run.reason) for run in elsewhere.get_runs("a")] == [("skipped", "cancelled")]
    assert shared.began("a") == []


def test_two_processes_that_make_one_request_ask_for_one_run(shared, elsewhere):
    shared.add("a", "interval", hours=1)
    assert elsewhere.run_job("a", request="x") == shared.scheduler.run_job("a", request="x")
    shared.start()
    shared.until(lambda: [run.outcome for run in elsewhere.get_runs("a")] == ["succeeded"])
    assert len(shared.began("a")) == 1


def test_an_hour_has_the_runs_of_all_nodes(shared, make_store):
    store, other = shared.store, make_store()
    for each, node in ((store, "a"), (other, "b")):
        each.bind("default", shared.clock, AllowedFunctions([]))
        period = Period(0.0, {"succeeded": 2}, {"a.b$c": {"succeeded": 2}}, duration=(0, 2, *[0] * 15))
        for _ in range(2):  # the second changes nothing
            each.operations.note_minute(node, NotedMinute(shared.at(60), period))
    (minute,) = rates_of(store.minutes(shared.at(0), shared.at(120)), shared.at(60), shared.at(120), 60_000)
    (hour,) = store.hours(shared.at(0), shared.at(120))
    for whole in (minute.period, hour.period):
        assert whole.outcomes == {"succeeded": 4} and whole.by_tag == {"a.b$c": {"succeeded": 4}} and whole.runs == 4
    other.close()


# -- the event loop turns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        lambda admin: admin.find(JobQuery(limit=10)),
        lambda admin: admin.find(JobQuery(text="nothing")),
        lambda admin: admin.find(JobQuery(tag="nothing")),
        lambda admin: admin.count(JobQuery(tag="nothing")),
        lambda admin: admin.tags(),
        lambda admin: admin.load(),
        lambda admin: admin.instants("j0", since="1h"),
    ],
    ids=["page", "search", "tag", "count", "tags", "load", "instants"],
)
def test_other_greenlets_have_turns_while_a_memory_store_looks_at_its_jobs(monkeypatch, question):
    bench = StoreBench(MemoryJobStore(), monkeypatch)
    for number in range(150):
        bench.scheduler.add_job(print, "interval", seconds=10, id=f"j{number}", start_date=NOON - timedelta(hours=1))
    bench.clock.skip(3_600_000)
    turns = 0

    def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)  # so that each step would be a slice of its own
    other = gevent.spawn(turn)
    gevent.sleep(0)
    before = turns
    question(bench.scheduler.admin)
    other.kill()
    assert turns - before >= 100
    bench.close()
