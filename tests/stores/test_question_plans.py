"""Databases answer the questions of dashboards by an index each: how they plan that is looked at here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from gsched import MongoDBJobStore
from gsched.history.queries import RunQuery
from gsched.history.records import Record
from gsched.jobs.audit import Act, AuditQuery
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.pause import PLAIN
from gsched.jobs.query import JobQuery
from gsched.stores import BaseJobStore, SQLJobStore
from gsched.testing import ManualClock
from gsched.triggers import IntervalTrigger

pytest_plugins = ["mongodb"]

CLOCK = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
JOBS = 60


def work() -> None:
    """What the jobs call."""


def fill(store: BaseJobStore) -> None:
    """Some jobs, every tenth of which is paused, with records and entries of the audit."""
    store.bind("default", CLOCK, AllowedFunctions([__name__]))
    jobs = [job(number) for number in range(JOBS)]
    store.add(jobs, replace=False)
    records = [Record(each, CLOCK.now_ms() + n, str(Outcome.FAILED), None, 1, "n") for n, each in enumerate(jobs)]
    store.answers().records.write(records)  # type: ignore[attr-defined]
    for number in range(5):
        store.record_audit(Act(CLOCK.now_ms() + number, "job.change", "ops").entry(f"job-{number:03}"))


def job(number: int) -> Job:
    trigger, due = IntervalTrigger(seconds=60 + number, timezone="UTC").begun(CLOCK.now_ms())
    made = Job(f"job-{number:03}", work, trigger, func_ref=f"{__name__}:work", name=f"{number}", next_run_ms=due)
    return made.evolve(tags=(f"t{number % 3}",), pause=PLAIN if number % 10 == 0 else None)


def second_page(store: BaseJobStore, **query: Any) -> None:
    page = store.page(JobQuery(limit=3, **query))
    assert page.next is not None or query.get("failing")
    if page.next is not None:
        store.page(JobQuery(limit=3, after=page.next, **query))


def second_run_page(store: BaseJobStore, **query: Any) -> None:
    page = store.run_page(RunQuery(limit=3, **query))
    if page.next is not None:
        store.run_page(RunQuery(limit=3, before=page.next, **query))


# Each question, and whether its answer comes in the order of an index, so that nothing is sorted.
QUESTIONS: dict[str, tuple[Callable[[BaseJobStore], Any], bool]] = {
    "pages by time": (second_page, True),
    "pages by id": (lambda store: second_page(store, sort="id"), True),
    "pages with a tag": (lambda store: second_page(store, tag="t1"), False),
    "pages of paused jobs": (lambda store: second_page(store, state="paused"), False),
    "pages by prefix": (lambda store: second_page(store, prefix="job-0"), False),
    "pages of failing jobs": (lambda store: second_page(store, failing=True), False),
    "pages of overdue jobs": (lambda store: store.page(JobQuery(overdue=True)), False),
    "parked jobs": (lambda store: store.page(JobQuery(state="parked")), False),
    "search": (lambda store: store.page(JobQuery(text="5")), False),
    "rows": (lambda store: store.rows(["job-001", "job-002"]), False),
    "runs": (second_run_page, True),
    "runs of a job": (lambda store: second_run_page(store, job_id="job-001"), True),
    "runs of a node": (lambda store: second_run_page(store, node="n"), True),
    "failures": (lambda store: second_run_page(store, outcome="failed"), True),
    "audit": (lambda store: store.audit(AuditQuery(limit=2)), True),
    "audit of a job": (lambda store: store.audit(AuditQuery(target="job-001")), True),
    "audit of somebody": (lambda store: store.audit(AuditQuery(actor="ops")), True),
    "minutes": (lambda store: store.minutes(0, CLOCK.now_ms()), True),
    "hours": (lambda store: store.hours(0, CLOCK.now_ms()), True),
}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[tuple[SQLJobStore, list[str]]]:
    """A store, and the steps by which SQLite carries out what it is asked."""
    store, steps = SQLJobStore(f"sqlite:///{tmp_path}/jobs.sqlite"), list[str]()
    fill(store)

    @event.listens_for(store._connection._engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *context: Any) -> None:
        if statement.lstrip().startswith("SELECT"):
            plan = cursor.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps.extend(row[-1] for row in plan.fetchall())

    yield store, steps
    store.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_sqlite_answers_by_an_index_and_sorts_nothing_that_an_index_has_in_order(sqlite, question):
    store, steps = sqlite
    ask, is_in_order = QUESTIONS[question]
    ask(store)
    assert steps
    assert [step for step in steps if step.startswith("SCAN") and "INDEX" not in step and "SUBQUERY" not in step] == []
    if is_in_order:
        assert [step for step in steps if "TEMP B-TREE" in step] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_mongodb_answers_by_an_index_and_sorts_nothing_that_an_index_has_in_order(uri, database, question):
    store = MongoDBJobStore(uri, database=database.name)
    fill(store)
    store.prepare()
    database.command("profile", 2)
    ask, is_in_order = QUESTIONS[question]
    try:
        ask(store)
    finally:
        database.command("profile", 0)
        store.close()
    ours = {"ns": {"$regex": f"^{database.name}\\.jobs"}, "op": {"$in": ["query", "command"]}}
    asked = [each for each in database["system.profile"].find(ours) if "planSummary" in each]
    assert asked
    assert [each["planSummary"] for each in asked if "COLLSCAN" in each["planSummary"]] == []
    if is_in_order:
        assert [each for each in asked if each.get("hasSortStage")] == []


def test_sqlite_counts_the_jobs_of_the_overview_by_indexes(sqlite):
    store, steps = sqlite
    assert store.overview().jobs == {"total": JOBS, "paused": JOBS // 10, "parked": 0}
    assert [step for step in steps if step.startswith("SCAN gsched_jobs") and "INDEX" not in step] == []
    assert any("gsched_jobs_paused" in step for step in steps)
