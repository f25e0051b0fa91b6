"""Definitions of jobs in MongoDB, without a scheduler that runs; where it makes sense beside the memory store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import bson
import gevent
import pytest
from gevent import GreenletExit
from pymongo import errors as driver
from pymongo.collection import Collection
from waiting import wait_until

from gsched import GeventScheduler, InvalidJobError, JobIdConflictError, JobNotFoundError
from gsched.errors import (
    ConfigurationError,
    StoreAccessError,
    StoreConflictError,
    StoreError,
    StoreUnreachableError,
    TooManyWaitingError,
)
from gsched.history.queries import RunQuery
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.pause import PLAIN
from gsched.jobs.policy import Policy
from gsched.stores import JobQuery, MongoDBJobStore
from gsched.stores.claims.partition import SLOTS, slot_of
from gsched.stores.mongodb.documents.jobs import JobReader
from gsched.stores.mongodb.driver.connection import translated
from gsched.stores.mongodb.driver.indexes import JOB_INDEXES
from gsched.stores.mongodb.jobs import add as adding, ask as asking, list as listing
from gsched.testing import ManualClock
from gsched.triggers import DateTrigger, IntervalTrigger

pytest_plugins = ["mongodb"]

HERE = __name__
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


def poll(*args, **kwargs):
    return args, kwargs


def other(*args):
    pass


class Site:
    """A database and the stores of any number of processes on it."""

    def __init__(self, uri, database):
        self.uri, self.database, self.jobs = uri, database, database["jobs"]
        self.clock = ManualClock(NOON)
        self.made = []

    def store(self, modules=(HERE,), **options):
        made = MongoDBJobStore(self.uri, database=self.database.name, **options)
        made.bind("default", self.clock, AllowedFunctions(modules))
        self.made.append(made)
        return made

    def scheduler(self, **options):
        settings = {"clock": self.clock, "timezone": "UTC", "modules": [HERE], **options}
        return GeventScheduler(jobstores={"default": self.store()}, **settings)

    def one(self, job_id="a"):
        return self.jobs.find_one({"_id": job_id})

    def put(self, **changes):
        """Store a document by hand."""
        document = {
            "_id": "a", "name": "a", "func": f"{HERE}:poll", "args": [], "kwargs": {}, "slot": 1, "rev": 1,
            "trigger": {"type": "interval", "hours": 1, "timezone": "UTC"}, "next_run_time": NOON,
        }  # fmt: skip
        self.jobs.insert_one({**document, **changes})


@pytest.fixture
def site(uri, database):
    made = Site(uri, database)
    yield made
    for store in made.made:
        store.close()


@pytest.fixture
def store(site):
    return site.store()


@pytest.fixture
def any_store(any_store):
    any_store.bind("default", ManualClock(NOON), AllowedFunctions([HERE]))
    return any_store


def job(job_id="a", trigger=None, **fields):
    trigger, due = (trigger or IntervalTrigger(hours=1, timezone="UTC")).begun(NOON_MS)
    defaults = {"func": poll, "func_ref": f"{HERE}:poll", "trigger": trigger, "next_run_ms": due, "name": "poll"}
    defaults["rev"] = NOON_MS  # as of a job that is added now
    return Job(id=job_id, **{**defaults, **fields})


def ended(job_id="a", **fields):
    return job(job_id, DateTrigger("2026-01-01T00:00:00Z"), **fields)


def add(store, *jobs, replace=False, **options):
    return store.add(list(jobs), replace, **options)


def ids(store, **query):
    return [found.id for found in store.find(JobQuery(**query))]


def _short(value: object) -> str:
    """An id of a test case that is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60]


# -- the contract, on both stores -------------------------------------------------------------------------------------


def test_a_job_comes_back_as_it_was_added(any_store):
    full = job(
        args=(1, "two", 3.5, None, b"\x00", {"k": [1]}), kwargs={"x": 1}, name="n", misfire_grace_ms=1500,
        coalesce=False, max_instances=7, timeout_seconds=2.5, policy=Policy(recoveries=None), tags=("t", "u"),
        metadata={"m": {"n": 1}}, executor="e",
    )  # fmt: skip
    assert add(any_store, full) == [full]
    found = any_store.get("a")
    assert found == full
    assert (found.func, type(found.args), found.tags) == (poll, tuple, ("t", "u"))


def test_unknown_ids_are_not_found(any_store):
    for verb in (any_store.get, any_store.remove, lambda job_id: any_store.change(job_id, lambda job: job)):
        with pytest.raises(JobNotFoundError):
            verb("nobody")


def test_a_taken_id_is_refused_and_nothing_is_added(any_store):
    add(any_store, job("b"))
    with pytest.raises(JobIdConflictError, match="'b'"):
        add(any_store, job("a"), job("b", name="new"), job("c"))
    assert ids(any_store) == ["b"]
    assert any_store.get("b").name == "poll"


def test_the_same_id_twice_is_refused(any_store):
    with pytest.raises(JobIdConflictError):
        add(any_store, job("a"), job("a"))
    assert ids(any_store) == []


def test_a_job_that_is_late_holds_its_id(any_store):
    add(any_store, ended())
    with pytest.raises(JobIdConflictError):
        add(any_store, job())


def test_replacing_with_the_same_trigger_keeps_phase_and_pause(any_store):
    trigger = IntervalTrigger(hours=1, timezone="UTC")
    (first,) = add(any_store, job(trigger=trigger, pause=PLAIN))
    later = trigger.begun(NOON_MS + 60_000)
    add(any_store, job(name="new").evolve(trigger=later[0], next_run_ms=later[1]), job("b"), replace=True)
    found = any_store.get("a")
    assert (found.name, found.paused) == ("new", True)
    assert (found.next_run_ms, found.trigger) == (first.next_run_ms, first.trigger)
    assert (found.rev, any_store.get("b").rev) == (NOON_MS + 1, NOON_MS)


def test_replacing_with_another_trigger_begins_anew(any_store):
    add(any_store, job(pause=PLAIN))
    new = job(trigger=IntervalTrigger(hours=2, timezone="UTC"))
    add(any_store, new, replace=True)
    assert any_store.get("a") == new.evolve(rev=NOON_MS + 1)


def test_a_next_run_time_that_the_user_set_wins(any_store):
    add(any_store, job())
    add(any_store, job(next_run_ms=NOON_MS + 5), replace=True, timed=("a",))
    assert any_store.get("a").next_run_ms == NOON_MS + 5


def test_the_last_of_several_replacements_stays(any_store):
    stored = add(any_store, job(name="first"), job("b"), job(name="second"), replace=True)
    assert [each.name for each in stored] == ["first", "poll", "second"]
    assert any_store.get("a").name == "second"


def test_a_change_is_stored_and_returned(any_store):
    add(any_store, job())
    fields = {"args": (5,), "tags": ("x",), "func": other, "func_ref": f"{HERE}:other"}
    changed = any_store.change("a", lambda found: found.evolve(**fields))
    assert changed == any_store.get("a")
    assert (changed.args, changed.tags, changed.func, changed.rev) == ((5,), ("x",), other, NOON_MS + 1)


def test_a_change_that_raises_changes_nothing(any_store):
    add(any_store, job())

    def refuse(found):
        raise InvalidJobError("no")

    with pytest.raises(InvalidJobError):
        any_store.change("a", refuse)
    assert any_store.get("a") == job()


def test_removing_gives_the_job(any_store):
    add(any_store, job("a"), job("b"), job("c"))
    assert any_store.remove("b") == job("b")
    assert any_store.remove_all() == 2
    assert any_store.remove_all() == 0
    assert ids(any_store) == []


def test_jobs_are_listed_by_when_they_are_due(any_store):
    add(
        any_store,
        ended("over"),
        job("paused", pause=PLAIN, next_run_ms=NOON_MS + 1),
        job("late", next_run_ms=NOON_MS + 3_000),
        job("b", next_run_ms=NOON_MS + 2_000),
        job("a", next_run_ms=NOON_MS + 2_000),
        job("passed", IntervalTrigger(hours=1, start_date="2020-01-01T00:30:00Z"), next_run_ms=NOON_MS - 86_400_000),
    )
    assert ids(any_store) == ["a", "b", "late", "passed", "over", "paused"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"tag": "web"}, ["a", "b"]),
        ({"tag": "we"}, []),
        ({"text": "NIGHT"}, ["c"]),
        ({"text": "a"}, ["a"]),
        ({"text": ".*"}, []),
        ({"text": "(x"}, ["d"]),
        ({"state": "paused"}, ["d"]),
        ({"state": "scheduled"}, ["a", "b", "c"]),
        ({"state": "parked"}, []),
        ({"state": "scheduled", "tag": "web", "skip": 1}, ["b"]),
        ({"skip": 1, "limit": 2}, ["b", "c"]),
        ({"limit": 0}, []),
        ({"skip": 9}, []),
    ],
)
@pytest.mark.parametrize("exact", [True, False], ids=["few", "many"])
def test_lists_are_filtered_and_paged(any_store, monkeypatch, query, found, exact):
    if not exact:
        monkeypatch.setattr(listing, "EXACT", 0)
    add(
        any_store,
        job("a", tags=("web",), next_run_ms=NOON_MS + 1),
        job("b", tags=("hot", "web"), next_run_ms=NOON_MS + 2),
        job("c", name="Nightly", next_run_ms=NOON_MS + 3),
        job("d", name="(x)", pause=PLAIN, next_run_ms=NOON_MS),
    )
    assert ids(any_store, **query) == found


def test_batches_of_any_size(any_store, monkeypatch):
    monkeypatch.setattr(adding, "BATCH", 10)
    jobs = [job(f"{number:02}") for number in range(25)]
    assert add(any_store, *jobs) == jobs
    assert add(any_store, *jobs, replace=True) == [each.evolve(rev=NOON_MS + 1) for each in jobs]
    with pytest.raises(JobIdConflictError):
        add(any_store, *[job(f"new {number}") for number in range(24)], jobs[-1])
    assert ids(any_store) == [f"{number:02}" for number in range(25)]


# -- documents ----------------------------------------------------------------------------------------------------


def test_a_document_is_what_the_module_says(site):
    site.scheduler().add_job(
        poll, "interval", seconds=10, args=[1, ("x", "y")], kwargs={"k": "v"}, id="a", misfire_grace_time=30,
        timeout=90, tags=["web"], metadata={"owner": "me"},
    )  # fmt: skip
    document = site.one()
    assert document == {
        "_id": "a",
        "name": "poll",
        "func": f"{HERE}:poll",
        "args": [1, ["x", "y"]],
        "kwargs": {"k": "v"},
        "trigger": {"type": "interval", "seconds": 10, "timezone": "UTC", "anchor": NOON},
        "executor": "default",
        "misfire_grace_time": 30,
        "coalesce": True,
        "max_instances": 1,
        "timeout": 90,
        "recover": False,
        "tags": ["web"],
        "metadata": {"owner": "me"},
        "next_run_time": NOON + timedelta(seconds=10),
        "paused": False,
        "pause": None,
        "rev": NOON_MS, "schedule": NOON_MS,
        "slot": slot_of("a"),
        "admitted": False,
        "begins": NOON + timedelta(seconds=10),
        "parked": None,
        "created_at": NOON,
        "updated_at": NOON,
    }
    assert list(document)[:4] == ["_id", "name", "func", "args"]
    assert 0 <= document["slot"] < SLOTS


def test_slots_are_the_same_in_every_version():
    assert [slot_of(job_id) for job_id in ("a", "b", "c", "ü")] == [67, 249, 111, 213]


def admit(site):
    site.jobs.update_many({}, {"$set": {"admitted": True}})


@pytest.mark.parametrize(
    ("change", "admitted"),
    [
        ({"args": (1,)}, True),
        ({"name": "x", "tags": ("t",), "executor": "e"}, True),
        ({"trigger": IntervalTrigger(hours=2)}, False),
        ({"next_run_ms": 5}, False),
        ({"pause": PLAIN}, False),
    ],
)
def test_a_change_of_when_a_job_is_due_must_be_admitted_again(site, store, change, admitted):
    add(store, job())
    admit(site)
    store.change("a", lambda found: found.evolve(**change))
    assert (site.one()["admitted"], site.one()["rev"]) == (admitted, NOON_MS + 1)


def test_replacing_with_the_same_trigger_needs_no_admission(site, store):
    add(store, job("a"), job("b"))
    admit(site)
    add(store, job("a"), job("b", IntervalTrigger(hours=2)), replace=True)
    assert (site.one("a")["admitted"], site.one("b")["admitted"]) == (True, False)


def test_a_job_that_has_ended_does_not_hold_its_id(site, store):
    add(store, ended())
    admit(site)
    add(store, job(name="new"))
    assert (store.get("a").name, store.get("a").rev) == ("new", NOON_MS + 1)


def test_a_paused_job_that_will_not_be_due_holds_its_id(site, store):
    add(store, ended(pause=PLAIN))
    admit(site)
    with pytest.raises(JobIdConflictError):
        add(store, job())


def test_a_job_that_takes_the_place_of_an_ended_one_keeps_nothing_of_it(site, store):
    add(store, ended(next_run_ms=5))
    admit(site)
    add(store, ended())
    assert (site.one()["admitted"], store.get("a").next_run_ms) == (False, ended().next_run_ms)


def test_fields_of_others_survive(site, store):
    add(store, job())
    site.jobs.update_one({"_id": "a"}, {"$set": {"colour": "red", "requests": ["r"]}})
    store.change("a", lambda found: found.evolve(name="x"))
    add(store, job(name="y"), replace=True)
    document = site.one()
    assert (document["colour"], document["requests"], document["name"]) == ("red", ["r"], "y")


def test_only_what_changed_is_written(site, store):
    add(store, job())
    site.jobs.update_one({"_id": "a"}, {"$set": {"max_instances": 9}})  # by somebody, without a new revision
    site.clock.skip(1000)
    store.change("a", lambda found: found.evolve(name="x"))
    document = site.one()
    assert (document["max_instances"], document["name"]) == (9, "x")
    assert (document["created_at"], document["updated_at"]) == (NOON, NOON + timedelta(seconds=1))


def waiting(site):
    return list(site.database["jobs.runs"].find({"state": "waiting"}))


def test_a_run_that_is_asked_for_waits_and_its_owner_is_told(site, store):
    add(store, job())
    store.request_run(job(), "r1")
    store.request_run(job(), "$r2")
    assert [each["request"] for each in waiting(site)] == ["r1", "$r2"] and site.one()["rev"] == NOON_MS + 2
    assert [each.outcome for each in store.runs(RunQuery())] == ["waiting", "waiting"]
    with pytest.raises(JobNotFoundError):
        store.request_run(job("gone"), "r2")
    assert len(waiting(site)) == 2


def test_a_run_is_asked_for_at_the_time_of_the_server_not_of_this_machine(site, store):
    add(store, job())
    before = store._connection.server_time()
    store.request_run(job(), "r1")
    (run,) = waiting(site)
    assert before <= run["scheduled_at"] == run["due_at"] <= store._connection.server_time() != site.clock.now


def test_a_scheduler_that_does_not_run_may_request_a_run(site):
    scheduler = site.scheduler()
    scheduler.add_job(poll, "interval", hours=1, id="a")
    name = scheduler.run_job("a")
    assert [f"a!{run['request']}" for run in waiting(site)] == [name]


def test_more_runs_of_a_job_than_may_wait_are_refused(site, store, monkeypatch):
    monkeypatch.setattr(asking, "MOST_WAITING", 2)
    add(store, job(), job("other"))
    for request in ("r1", "r2"):
        store.request_run(job(), request)
    with pytest.raises(TooManyWaitingError, match="job 'a': 2 runs that were asked for wait already"):
        store.request_run(job(), "r3")
    store.request_run(job("other"), "r3")
    assert len(waiting(site)) == 3


def asking_of(store) -> asking.Asking:
    """What writes the runs that this process asks for. In a process that is not patched, it works in native threads."""
    return getattr(store.definitions, "_target", store.definitions)._asking


def ask_together(store, *wanted: tuple[str, str]) -> list[BaseException | None]:
    """Ask for runs from as many threads, all of which wait until one may write; what each call raised."""
    its = asking_of(store)
    with ThreadPoolExecutor(len(wanted)) as pool, ExitStack() as turns:
        for _ in range(asking.WRITERS):
            turns.enter_context(its._turns)
        calls = []
        for job_id, request in wanted:
            calls.append(pool.submit(store.request_run, job(job_id), request))
            wait_until(lambda: len(its._next.asked) == len(calls), "the call to wait")
        turns.close()
        return [each.exception() for each in calls]


def test_runs_requested_at_the_same_moment_are_written_together_and_announced_once(site, store):
    add(store, job(), job("other"))
    wanted = [("a" if number % 2 else "other", f"r{number}") for number in range(10)]
    raised = ask_together(store, *wanted, ("gone", "r"), ("gone", "s"))
    assert sorted((each["job_id"], each["request"]) for each in waiting(site)) == sorted(wanted)
    assert raised[:-2] == [None] * 10 and [type(each) for each in raised[-2:]] == [JobNotFoundError] * 2
    assert [each["rev"] for each in site.database["jobs"].find()] == [NOON_MS + 1] * 2


def test_callers_that_ask_together_are_refused_each_for_its_own_job(site, store, monkeypatch):
    monkeypatch.setattr(asking, "MOST_WAITING", 2)
    add(store, job(), job("other"))
    raised = ask_together(store, ("a", "r1"), ("a", "r2"), ("a", "r3"), ("other", "r4"))
    assert [type(each) for each in raised] == [type(None), type(None), TooManyWaitingError, type(None)]
    assert len(waiting(site)) == 3


def test_a_caller_that_is_killed_while_it_writes_for_others_leaves_what_they_ask_for_to_them(site, store, monkeypatch):
    add(store, job())
    kills, real = iter([GreenletExit()]), asking.Asking._write

    def write(self: asking.Asking, some: list[asking.Asked]) -> None:
        for kill in kills:
            raise kill
        real(self, some)

    monkeypatch.setattr(asking.Asking, "_write", write)
    raised = ask_together(store, ("a", "r1"), ("a", "r2"), ("a", "r3"))
    assert sorted(type(each) for each in raised if each is not None) == [GreenletExit]
    assert len(waiting(site)) == 2 and not asking_of(store)._next.asked


def test_a_caller_that_is_killed_while_another_is_to_write_for_it_asks_for_nothing(site, store):
    add(store, job())
    its = asking_of(store)
    with ThreadPoolExecutor(1) as pool, ExitStack() as turns:
        for _ in range(asking.WRITERS):
            turns.enter_context(its._turns)
        first = pool.submit(store.request_run, job(), "r1")
        wait_until(lambda: its._next.asked, "the call to wait")
        its._next.is_over.wait = Mock(side_effect=GreenletExit)
        with pytest.raises(GreenletExit):
            store.request_run(job(), "r2")
        turns.close()
        first.result()
    assert [each["request"] for each in waiting(site)] == ["r1"]


def test_a_run_that_the_database_refuses_is_refused_alone_among_those_asked_for_together(site, store):
    add(store, job(), job("other"))
    site.database.create_collection("jobs.runs", check_exists=False)
    site.database.command("collMod", "jobs.runs", validator={"job_id": {"$ne": "other"}})
    raised = ask_together(store, ("a", "r1"), ("other", "r2"))
    assert raised[0] is None and isinstance(raised[1], StoreError)
    assert [each["request"] for each in waiting(site)] == ["r1"]


def test_a_run_that_was_asked_for_waits_on_when_its_job_is_removed_for_whoever_owns_its_slot(site):
    scheduler = site.scheduler()
    scheduler.add_job(poll, "interval", hours=1, id="a")
    scheduler.run_job("a")
    scheduler.remove_all_jobs()
    assert [run["job_id"] for run in waiting(site)] == ["a"]


def test_a_job_that_its_owner_parked_is_listed_so(site, store):
    add(store, job("a"), job("b"))
    site.jobs.update_one({"_id": "a"}, {"$set": {"parked": "no executor"}})
    assert (store.get("a").parked, store.get("a").func) == ("no executor", poll)
    assert (ids(store, state="parked"), ids(store, state="scheduled")) == (["a"], ["b"])


@pytest.mark.parametrize("exact", [True, False], ids=["few", "many"])
def test_parked_jobs_are_those_of_their_owners_and_those_that_cannot_be_run_here(site, store, monkeypatch, exact):
    if not exact:
        monkeypatch.setattr(listing, "EXACT", 0)
    add(store, job("a"), job("b"), job("c"), job("d", pause=PLAIN))
    site.put(_id="w", func="elsewhere:f")
    site.jobs.update_many({"_id": {"$in": ["a", "b", "d"]}}, {"$set": {"parked": "no executor"}})
    site.put(_id="x", parked=True)
    assert ids(store, state="parked") == ["a", "b", "d", "w", "x"]
    assert ids(store, state="parked", skip=1, limit=3) == ["b", "d", "w"]
    assert ids(store, state="parked", skip=4) == ["x"]
    assert ids(store, state="parked", limit=0) == ids(store, state="parked", skip=9) == []
    assert (ids(store, state="paused"), ids(store, state="scheduled")) == ([], ["c"])


def test_only_parked_jobs_are_read_if_these_are_enough(site, store, monkeypatch):
    monkeypatch.setattr(listing, "EXACT", 0)
    add(store, *[job(f"{number:02}") for number in range(20)])
    site.jobs.update_many({"_id": {"$gte": "15"}}, {"$set": {"parked": "no executor"}})
    read, reading = [], JobReader.read
    monkeypatch.setattr(JobReader, "read", lambda self, found: read.append(found["_id"]) or reading(self, found))
    assert ids(store, state="parked", skip=2, limit=2) == read == ["17", "18"]


def test_a_job_that_its_owner_parked_gets_another_chance_after_a_change(site, store):
    add(store, job())
    site.jobs.update_one({"_id": "a"}, {"$set": {"parked": "no executor", "admitted": True}})
    assert store.change("a", lambda found: found.evolve(executor="other")).parked is None
    assert site.one()["parked"] is None and site.one()["rev"] == NOON_MS + 1


def test_a_change_by_who_does_not_know_the_function_leaves_open_what_is_claimed(site, store):
    add(store, job())
    site.jobs.update_one({"_id": "a"}, {"$set": {"admitted": True}})
    elsewhere = site.store(modules=())
    assert elsewhere.get("a").parked is not None
    elsewhere.change("a", lambda found: found.evolve(tags=("x",)))
    assert (site.one()["admitted"], site.one()["tags"], site.one()["rev"]) == (True, ["x"], NOON_MS + 1)


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"args": (1, object())}, r"args\[1\]: a object"),
        ({"kwargs": {"x": {1, 2}}}, r"kwargs\['x'\]: a set"),
        ({"args": (1 << 64,)}, r"args\[0\]: a int"),
        ({"args": ({1: 2},)}, r"args\[0\]: a dict"),
        ({"args": ([{"at": datetime(2026, 1, 1)}],)}, r"args\[0\]\[0\]\['at'\]: .* no time zone"),
        ({"metadata": {"x": 1j}}, r"metadata\['x'\]: a complex"),
        ({"args": ("\ud800",)}, r"args\[0\]: a str"),
        ({"args": ("x" * (17 << 20),)}, "too large"),
        ({"func": lambda: None, "func_ref": None}, "top level of a module"),
    ],
    ids=_short,
)
def test_a_value_that_cannot_be_stored_is_named_at_the_call(store, arguments, where):
    with pytest.raises(InvalidJobError, match=rf"(?s)job 'bad'.*{where}"):
        add(store, job("good"), job("bad", **arguments))
    assert ids(store) == []
    add(store, job("bad"))
    with pytest.raises(InvalidJobError, match=rf"(?s)job 'bad'.*{where}"):
        store.change("bad", lambda found: found.evolve(**arguments))
    assert store.get("bad") == job("bad")


def test_an_argument_that_cannot_be_stored_is_not_spelt_out_however_large_it_is(store):
    with pytest.raises(InvalidJobError, match=r"a set cannot be stored in MongoDB: .*What can: None, texts") as refused:
        add(store, job(args=(set(range(100_000)),)))
    assert len(str(refused.value)) < 600


def test_arguments_that_are_nested_too_deeply_are_refused(store):
    value = []
    for _ in range(200):
        value = [value]
    with pytest.raises(InvalidJobError, match="nested too deeply"):
        add(store, job(args=(value,)))


def test_uuids_and_dates_come_back(store):
    args = (uuid.UUID(int=5), datetime(2026, 1, 1, 5, 6, 7, 89_000, tzinfo=UTC))
    add(store, job(args=args))
    assert store.get("a").args == args


# -- what others put there ----------------------------------------------------------------------------------------


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"func": "os:system", "args": ["true"]}, "outside the modules"),
        ({"func": f"{HERE}:os.system", "args": ["true"]}, "outside the modules"),
        ({"func": f"{HERE}:gone"}, "has no 'gone'"),
        ({"func": 7}, "func"),
        ({"trigger": nested(80)}, "trigger"),
        ({"trigger": {"type": "or", "triggers": nested(80)}}, "trigger"),
        ({"trigger": None}, "trigger"),
        ({"trigger": {"type": "interval", "hours": 0}}, "at least 1 ms"),
        ({"next_run_time": "tomorrow"}, "next_run_time"),
        ({"next_run_time": bson.datetime_ms.DatetimeMS(1 << 60)}, "next_run_time"),
        ({"rev": "first"}, "rev"),
        ({"rev": 1.5}, "rev"),
        ({"args": {"a": 1}}, "args"),
        ({"kwargs": {"func": 1}, "func": f"{HERE}:other"}, "does not accept"),
        ({"max_instances": 1 << 70 >> 10}, None),
        ({"tags": [1, 2]}, "tags"),
        ({"paused": "no"}, "paused"),
        ({"parked": {"a": 1}}, "{'a': 1}"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_garbage_is_parked_and_listed_and_kept(site, store, wrong, reason):
    site.put(**wrong)
    before = site.one()
    site.put(_id="good")
    assert set(ids(store)) == {"a", "good"}
    if reason is not None:
        assert reason in store.get("a").parked
        assert ids(store, state="parked") == ["a"]
        assert ids(store, state="scheduled") == ["good"]
        with pytest.raises(JobIdConflictError):
            add(store, job())
    assert site.one() == before
    assert store.remove("a").id == "a"


def test_a_document_says_since_when_the_job_is_due_as_it_is(site):
    scheduler = site.scheduler()
    scheduler.add_job(poll, "interval", hours=1, id="a", next_run_time=NOON - timedelta(hours=3))
    assert site.one()["begins"] == site.one()["next_run_time"] == NOON - timedelta(hours=3)
    scheduler.modify_job("a", name="renamed")
    assert site.one()["begins"] == NOON - timedelta(hours=3)
    scheduler.reschedule_job("a", trigger="interval", hours=2)
    assert site.one()["begins"] == site.one()["next_run_time"] == NOON + timedelta(hours=2)
    scheduler.close()


def test_a_document_that_is_no_job_at_all(site, store):
    site.jobs.insert_one({"_id": "bare", "hello": "world"})
    (found,) = store.find(JobQuery())
    assert (found.id, found.state_at(NOON_MS)) == ("bare", "parked")
    store.remove("bare")
    assert ids(store) == []


def test_a_parked_job_is_mended_by_a_change(site, store):
    site.put(func="os:system", colour="red")
    mended = store.change("a", lambda found: found.evolve(func=poll, func_ref=f"{HERE}:poll"))
    assert (mended.parked, mended.func) == (None, poll)
    assert (store.get("a").parked, site.one()["func"], site.one()["colour"]) == (None, f"{HERE}:poll", "red")


def test_a_change_that_does_not_mend_leaves_it_parked(site, store):
    site.put(func="os:system")
    assert "outside" in store.change("a", lambda found: found.evolve(name="x")).parked
    assert (site.one()["func"], site.one()["name"]) == ("os:system", "x")


def test_a_parked_job_is_mended_by_a_replacement(site, store):
    site.put(trigger={"type": "sunrise"}, rev="first", max_instances="many")
    add(store, job(), replace=True)
    assert (store.get("a").parked, store.get("a").max_instances) == (None, 1)


def test_a_job_heals_when_its_code_returns(site):
    site.put()
    assert "outside the modules" in site.store(modules=()).get("a").parked
    assert site.store(modules=()).allowed is not None
    assert site.store().get("a").parked is None


def test_the_store_may_name_modules_of_its_own(site):
    site.put()
    made = site.store(modules=())
    wider = MongoDBJobStore(site.uri, database=site.database.name, modules=[HERE])
    wider.bind("default", site.clock, made.allowed)
    site.made.append(wider)
    assert (made.get("a").func, wider.get("a").func) == (None, poll)


def test_a_function_that_the_program_uses_may_be_called_though_its_module_is_not_named(site):
    store = site.store(modules=())
    add(store, job())
    store.change("a", lambda found: found.evolve(func=other, func_ref=f"{HERE}:other"))
    assert store.get("a").func is other


# -- several processes --------------------------------------------------------------------------------------------


def test_a_change_meets_another_and_both_stay(site, store):
    add(store, job())
    theirs = site.store()
    calls = []

    def change(found):
        if not calls:
            theirs.change("a", lambda found: found.evolve(name="theirs"))
        calls.append(found.rev)
        return found.evolve(tags=("ours",))

    changed = store.change("a", change)
    assert (changed.name, changed.tags, changed.rev) == ("theirs", ("ours",), NOON_MS + 2)
    assert calls == [NOON_MS, NOON_MS + 1]


def test_a_change_that_always_comes_too_late_ends_with_an_error(site, store):
    add(store, job())

    def change(found):
        site.jobs.update_one({"_id": "a"}, {"$inc": {"rev": 1}})
        return found

    with pytest.raises(StoreConflictError, match="'a'"):
        store.change("a", change)


def test_a_job_removed_while_it_is_changed_is_not_found(site, store):
    add(store, job())

    def change(found):
        site.jobs.delete_one({"_id": "a"})
        return found

    with pytest.raises(JobNotFoundError):
        store.change("a", change)


class Meddling:
    """A collection in which somebody else acts right before our first write of one kind."""

    def __init__(self, collection, verb, act):
        self._collection, self._verb, self._act = collection, verb, act

    def __getattr__(self, name):
        if name == self._verb and self._act is not None:
            act, self._act = self._act, None
            act()
        return getattr(self._collection, name)


def meddle(monkeypatch, store, verb, act):
    meddling = Meddling(store._connection.jobs(), verb, act)
    monkeypatch.setattr(store._connection, "jobs", lambda: meddling)


def test_ids_that_others_add_at_the_same_moment_are_refused_as_a_whole(site, store, monkeypatch):
    meddle(monkeypatch, store, "insert_many", lambda: add(site.store(), job("b", name="theirs")))
    with pytest.raises(JobIdConflictError, match="'b'"):
        add(store, job("a"), job("b"), job("c"))
    assert [(document["_id"], document["name"]) for document in site.jobs.find()] == [("b", "theirs")]


def test_ids_that_others_add_at_the_same_moment_are_replaced(site, store, monkeypatch):
    meddle(monkeypatch, store, "insert_many", lambda: add(site.store(), job("b", name="theirs", tags=("t",))))
    stored = add(store, job("a"), job("b"), replace=True)
    assert [(each.id, each.rev) for each in stored] == [("a", NOON_MS), ("b", NOON_MS + 1)]
    assert [(store.get(each).name, store.get(each).rev) for each in "ab"] == [("poll", NOON_MS), ("poll", NOON_MS + 1)]


def test_a_replacement_meets_a_change_and_is_decided_anew(site, store, monkeypatch):
    add(store, job("a"), job("b"))
    meddle(monkeypatch, store, "bulk_write", lambda: site.store().change("a", lambda found: found.evolve(pause=PLAIN)))
    stored = add(store, job("a", name="new"), job("b", name="new"), replace=True)
    assert [(each.id, each.rev) for each in stored] == [("a", NOON_MS + 2), ("b", NOON_MS + 1)]
    assert [each.paused for each in stored] == [True, False]
    assert stored == [store.get("a"), store.get("b")]


def test_a_replacement_that_has_happened_is_not_repeated_though_its_owner_has_run_the_job_since(
    site, store, monkeypatch
):
    add(store, job("a"), job("b"))
    theirs, later = site.store(), NOON + timedelta(hours=1)
    jobs = store._connection.jobs()
    write = jobs.bulk_write

    def write_while_others_act(*args, **options):
        theirs.change("a", lambda found: found.evolve(name="theirs"))
        written = write(*args, **options)
        site.jobs.update_one({"_id": "b"}, {"$set": {"admitted": True, "next_run_time": later, "late_until": later}})
        theirs.request_run(theirs.get("b"), "request")
        monkeypatch.setattr(jobs, "bulk_write", write)
        return written

    monkeypatch.setattr(store._connection, "jobs", lambda: jobs)
    monkeypatch.setattr(jobs, "bulk_write", write_while_others_act)
    add(store, *(job(job_id, next_run_ms=NOON_MS - 1000, name="new") for job_id in "ab"), replace=True, timed={*"ab"})
    written = site.jobs.find_one({"_id": "b"})
    assert (written["name"], written["admitted"], written["next_run_time"]) == ("new", True, later)
    assert store.get("a").name == "new"


def test_many_processes_may_prepare_at_once(site):
    program = (
        "import sys; from gsched.stores import MongoDBJobStore; from gsched.times.clock import SystemClock;"
        "from gsched.jobs.funcref import AllowedFunctions; store = MongoDBJobStore(sys.argv[1], database=sys.argv[2]);"
        "store.bind('default', SystemClock(), AllowedFunctions()); print(store.prepare()); store.close()"
    )
    command = [sys.executable, "-c", program, site.uri, site.database.name]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(4)]
    assert [(each.communicate(timeout=60)[0], each.returncode) for each in started] == [("None\n", 0)] * 4
    assert {index.document["name"] for index in JOB_INDEXES} <= set(site.jobs.index_information())


@pytest.mark.parametrize(
    ("collection", "mine", "theirs"),
    [("jobs", "tags", {"keys": "tags", "name": "our_own"}), ("jobs.runs", "expires_at", {"keys": "expires_at"})],
    ids=["another name", "another expiry"],
)
def test_another_index_in_the_place_of_one_of_ours_is_an_error_with_its_remedy(site, store, collection, mine, theirs):
    store.prepare()
    site.database[collection].drop_index(mine)
    name = site.database[collection].create_index(**{"expireAfterSeconds": 7200, "name": mine, **theirs})
    with pytest.raises(StoreError) as raised:
        store.prepare()
    assert f"in mongosh: db['{collection}'].dropIndex('{name}')" in str(raised.value)
    site.database[collection].drop_index(name)
    store.prepare()
    assert mine in site.database[collection].index_information()


def test_an_index_whose_name_is_taken_for_another_key_is_an_error(site, store):
    site.jobs.create_index([("x", 1)], name="tags")
    with pytest.raises(StoreError, match="tags"):
        store.prepare()


@pytest.mark.parametrize("collection", ["jobs", "jobs.runs"])
def test_indexes_that_others_make_at_the_same_moment_are_no_error(site, store, monkeypatch, collection):
    made = []

    def once(self, indexes, **options):
        made.append(self.name)
        if made.count(collection) == 1 and self.name == collection:
            raise driver.OperationFailure("a collection of this name is being made", 48)
        return create(self, indexes, **options)

    create = Collection.create_indexes
    monkeypatch.setattr(Collection, "create_indexes", once)
    store.prepare()
    assert made.count(collection) == 2


@pytest.mark.parametrize("given", [True, False], ids=["with a client that was given", "with clients of its own"])
def test_definitions_work_in_a_forked_child(site, given):
    store = site.store()
    if given:
        store = MongoDBJobStore(client=site.database.client, database=site.database.name)
        store.bind("default", site.clock, AllowedFunctions([HERE]))
    add(store, job())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            changed = store.change("a", lambda found: found.evolve(name="from the child"))
            os.write(writing, changed.name.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as told:
        assert told.read() == "from the child"
    os.waitpid(child, 0)
    assert store.get("a").name == "from the child"


# -- verbs --------------------------------------------------------------------------------------------------------


def test_the_verbs_work_without_start(site):
    scheduler = site.scheduler()
    handle = scheduler.add_job(poll, "interval", minutes=10, id="a")
    handle.pause()
    assert scheduler.get_job("a").state == "paused"
    handle.resume()
    handle.modify(max_instances=3, func=other, args=[])
    handle.reschedule("cron", hour=5)
    assert handle.definition == site.scheduler().get_job("a").definition
    hourly = {"func": poll, "trigger": "interval", "hours": 1}
    assert scheduler.add_jobs({"id": f"j{number}", **hourly} for number in range(1500)) == 1500
    assert len(scheduler.get_jobs(text="j1")) == 611
    handle.remove()
    assert scheduler.remove_all_jobs() == 1500


def test_the_store_is_made_by_name(site):
    table = {"type": "mongodb", "host": site.uri, "database": site.database.name, "collection": "others"}
    scheduler = GeventScheduler({"apscheduler.jobstores.default": table}, clock=site.clock)
    scheduler.add_job(poll, "interval", hours=1, id="a")
    assert site.database["others"].find_one({"_id": "a"})["func"] == f"{HERE}:poll"
    scheduler.remove_jobstore("default")


def test_jobs_that_waited_for_their_store_move_into_it(site):
    scheduler = GeventScheduler(clock=site.clock, modules=[HERE])
    scheduler.add_job(poll, "interval", hours=1, id="a", jobstore="durable")
    scheduler.add_jobstore(site.store(), "durable")
    assert site.one()["rev"] == NOON_MS


# -- the server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"uri": "mongodb://a", "host": "b"},
        {"uri": "mongodb://a", "port": 1},
        {"client": object()},
        {"client": "no_module:client"},
        {"database": ""},
        {"collection": None},
    ],
    ids=_short,
)
def test_arguments_that_cannot_be_right_are_refused(arguments):
    with pytest.raises(ConfigurationError, match="mongodb"):
        MongoDBJobStore(**arguments)


def test_a_client_excludes_other_ways(site):
    for more in ({"uri": site.uri}, {"host": "a"}, {"maxPoolSize": 5}):
        with pytest.raises(ConfigurationError):
            MongoDBJobStore(client=site.database.client, **more)


@pytest.mark.parametrize(
    "arguments",
    [
        {"uri": "nonsense://"},
        {"uri": "mongodb://a", "no_such_option": 1},
        {"no_such_option": 1},
        {"host": "a", "maxPoolSize": "many"},
        {"uri": "mongodb://a/?tls=true&tlsCAFile=/no/such/file"},
    ],
    ids=str,
)
def test_addresses_and_options_that_the_driver_refuses(arguments):
    with pytest.raises(ConfigurationError, match="mongodb"):
        MongoDBJobStore(**arguments)


@pytest.mark.parametrize(
    "named",
    [{"database": "a.b"}, {"database": "a b"}, {"uri": "mongodb://a", "database": "a$b"}, {"collection": "a$b"},
     {"collection": "a\0b"}, {"collection": "a..b"}, {"collection": ".a"}, {"collection": 5}],
)  # fmt: skip
def test_names_that_the_driver_refuses_are_refused_at_once(named):
    with pytest.raises(ConfigurationError, match=r"mongodb: database '.*', collection .*: "):
        MongoDBJobStore(**named)


@pytest.mark.parametrize(
    ("arguments", "database"),
    [
        ({"uri": "mongodb://a/app"}, "app"),
        ({"host": "mongodb://a/app"}, "app"),
        ({"uri": "mongodb://a/app", "database": "other"}, "other"),
        ({"uri": "mongodb://a/"}, "gsched"),
        ({"host": "a"}, "gsched"),
    ],
    ids=str,
)
def test_jobs_are_in_the_database_that_is_named_or_else_in_the_uris(arguments, database):
    store = MongoDBJobStore(**arguments)
    assert store._connection.jobs().database.name == database
    store.close()


@pytest.mark.parametrize(
    ("positional", "instead"),
    [
        (("app",), "'app' is no URI: write MongoDBJobStore(database='app')"),
        (("app", "jobs"), "'app' is no URI: write MongoDBJobStore(database='app', collection='jobs')"),
        (("mongodb://me:secret@a", "app"), "2 arguments without a name: write MongoDBJobStore(uri, database='app')"),
        (("localhost:27017",), "MongoDBJobStore('mongodb://HOST') to name a server"),
    ],
    ids=_short,
)
def test_positional_arguments_as_in_apscheduler_are_refused_with_what_to_write(positional, instead):
    with pytest.raises(ConfigurationError, match=re.escape(instead)) as refused:
        MongoDBJobStore(*positional)
    assert "secret" not in str(refused.value)


def test_a_protocol_for_pickles_is_refused():
    with pytest.raises(ConfigurationError, match="pickle_protocol: jobs are BSON documents, not pickles"):
        GeventScheduler(jobstores={"default": {"type": "mongodb", "pickle_protocol": 4}})


def test_a_given_client_is_used_and_stays_open(site):
    store = MongoDBJobStore(client=site.database.client, database=site.database.name)
    store.bind("default", site.clock, AllowedFunctions([HERE]))
    add(store, job())
    assert store._connection.jobs().database.client is site.database.client
    control = store._connection.control()
    assert control.client is not site.database.client
    assert control["jobs"].find_one({"_id": "a"}) is not None
    store.close()
    assert site.one() is not None


def test_looking_at_many_jobs_lets_others_have_their_turn(site):
    ids = [f"job-{n}" for n in range(5000)]
    add(site.store(), *map(job, ids))
    cluster, every, soon = site.store()._claim_database(print), range(SLOTS), NOON_MS + 7_200_000
    for look in (
        lambda: cluster.revisions(every, soon),
        lambda: cluster.due_between(every, NOON_MS, soon),
        lambda: cluster.read_jobs(ids),
    ):
        turns = 0

        def others():
            nonlocal turns
            while True:
                turns += 1
                gevent.sleep(0)

        other = gevent.spawn(others)
        found = look()
        other.kill()
        assert len(found) == 5000
        assert turns >= 3


def test_writes_wait_for_a_majority_whatever_the_address_says(site):
    store = MongoDBJobStore(f"{site.uri}&w=1&readPreference=secondary", database=site.database.name)
    jobs = store._connection.jobs()
    assert jobs.write_concern.document["w"] == "majority"
    assert jobs.read_preference.name == "Primary"
    store.close()


def test_the_users_limits_win():
    made = MongoDBJobStore("mongodb://localhost/?serverSelectionTimeoutMS=77", sockettimeoutms=88)
    limits = made._connection.jobs().database.client.options.server_selection_timeout
    assert limits == 0.077
    assert made._connection.jobs().database.client.options.pool_options.socket_timeout == 0.088
    assert made._connection.control().client.options.pool_options.max_pool_size == 4
    made.close()


def test_a_dead_server_is_an_error_of_ours_within_a_bounded_time():
    store = MongoDBJobStore("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200")
    store.bind("default", ManualClock(NOON), AllowedFunctions([HERE]))
    verbs = [
        lambda: add(store, job()), lambda: store.get("a"), lambda: list(store.find(JobQuery())),
        lambda: store.remove("a"), lambda: store.change("a", lambda found: found), store.remove_all,
        lambda: store.request_run(job(), "r"),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(StoreUnreachableError, match="next call tries again"):
            verb()
    store.close()


def test_making_a_scheduler_does_not_connect():
    store = MongoDBJobStore("mongodb://127.0.0.1:9/")
    GeventScheduler(jobstores={"default": store}).remove_jobstore("default")
    assert store._connection._made == {}


def test_errors_of_the_driver_become_ours():
    assert type(translated(driver.NetworkTimeout("x"))) is StoreUnreachableError
    assert type(translated(driver.NotPrimaryError("x"))) is StoreUnreachableError
    assert type(translated(driver.WTimeoutError("x", 64, {}))) is StoreUnreachableError
    assert type(translated(driver.OperationFailure("x", 13))) is StoreAccessError
    assert type(translated(driver.OperationFailure("x", 9))) is StoreError
    unconfirmed, refused = {"writeConcernErrors": [{}]}, {"writeErrors": [{}], "writeConcernErrors": []}
    assert type(translated(driver.BulkWriteError(unconfirmed))) is StoreUnreachableError
    assert type(translated(driver.BulkWriteError(refused))) is StoreError


@pytest.mark.parametrize(
    ("error", "cause", "may_be_written"),
    [
        (driver.AutoReconnect, OSError("connection closed"), True),
        (driver.AutoReconnect, ConnectionResetError(), True),
        (driver.NetworkTimeout, None, True),
        (driver.AutoReconnect, ConnectionRefusedError(), False),
        (driver.ServerSelectionTimeoutError, None, False),
        (driver.WaitQueueTimeoutError, None, False),
    ],
)
def test_only_of_what_was_sent_it_is_said_that_it_may_have_been_written(error, cause, may_be_written):
    failed = error("x")
    failed.__cause__ = cause
    assert ("may have happened" in str(translated(failed))) is may_be_written


def test_a_server_that_refuses_connections_has_written_nothing():
    store = MongoDBJobStore("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200")
    store.bind("default", ManualClock(NOON), AllowedFunctions([HERE]))
    with pytest.raises(StoreUnreachableError, match="next call tries again") as raised:
        add(store, job())
    assert "may have happened" not in str(raised.value)
    store.close()


def test_a_part_of_many_jobs_may_have_been_written_before_no_server_is_found(store, monkeypatch):
    insert, inserted = Collection.insert_many, []

    def insert_once(self, documents, **options):
        if inserted:
            raise driver.ServerSelectionTimeoutError("no primary")
        inserted.append(insert(self, documents, **options))

    monkeypatch.setattr(Collection, "insert_many", insert_once)
    with pytest.raises(StoreUnreachableError, match="may have happened"):
        store.add([job(f"job-{number}") for number in range(adding.BATCH + 1)], replace=False)


def test_a_search_that_cannot_be_asked_is_an_error_of_ours(store):
    with pytest.raises(StoreError):
        ids(store, text="a\x00b")


def test_importing_the_stores_does_not_import_the_driver():
    program = "import sys, gsched.stores; print('pymongo' in sys.modules, 'bson' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False False\n"


def test_a_document_whose_id_is_no_text_is_no_job(site):
    store = site.store()
    store.add([job("5")], replace=False)
    site.put(_id=5)
    assert [each.id for each in store.find(JobQuery())] == ["5"]
    with pytest.raises(JobNotFoundError):
        store.remove("int:5")
    assert store.remove("5").id == "5" and [document["_id"] for document in site.jobs.find()] == [5]
