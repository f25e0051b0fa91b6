"""What the claim protocol relies on in a database: every operation, with each of its guards met and not met.

The same tests run on the simulation's database, on MongoDB and on SQLite: what the simulation proves, it proves of all.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from bson import ObjectId
from pymongo import errors as driver
from pymongo.collection import Collection
from simulation.cluster import Database, FormerDocument, InstantDatabase, JobDocument, RunDocument
from sqlalchemy import delete, insert, make_url, select, update

from gsched.errors import StoreUnreachableError
from gsched.jobs.document import DocumentReader
from gsched.jobs.funcref import AllowedFunctions
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.pause import PLAIN
from gsched.jobs.policy import Policy
from gsched.stores.claims.database import (
    PROTOCOL,
    Backlog,
    ClaimDatabase,
    FencedError,
    JobRecord,
    NodeRecord,
    RefusedError,
    RunRecord,
    SlotRecord,
    WaitingRun,
)
from gsched.stores.claims.partition import slot_of
from gsched.stores.claims.process_marks import mark_document, own_mark, read_mark
from gsched.stores.mongodb.claims.database import MongoClaimDatabase
from gsched.stores.mongodb.documents.jobs import new_document
from gsched.stores.mongodb.driver.connection import Connection
from gsched.stores.mongodb.jobs.former import keep_former
from gsched.stores.sql.claims.database import SqlClaims
from gsched.stores.sql.driver.connection import SqlConnection
from gsched.stores.sql.driver.tables import Tables
from gsched.stores.sql.jobs.former import keep_former as keep_sql_former
from gsched.stores.sql.rows.jobs import new_row
from gsched.stores.sql.rows.runs import waiting_row
from gsched.testing import ManualClock
from gsched.times.instants import from_ms
from gsched.triggers import IntervalTrigger

pytest_plugins = ["mongodb"]

T = 1_800_000_000_000  # some time, ms
SLOTS = 256
EVERYWHERE = range(SLOTS)
FUNC = f"{__name__}:run"


def run() -> None:
    """What the jobs call."""


class Rig(Protocol):
    """A database, what the protocol does there, and what users do."""

    cluster: ClaimDatabase

    def put(self, job: Job) -> None:
        """A user adds the job, or changes it, or its time."""

    def change_an_option(self, job_id: str) -> None:
        """The revision rises; when the job is due stays as it is."""

    def remove(self, job_id: str) -> None: ...

    def copy_schedule(self, job_id: str) -> None:
        """A user is about to end the job's schedule."""

    def request(self, job_id: str, name: str, at: int) -> None: ...

    def end_process(self, node: str) -> None:
        """The process of the node, on this machine, ends without a word."""


class SimRig:
    """The simulation's database without the simulation: every step happens at once."""

    def __init__(self) -> None:
        self._database = Database(SLOTS, 0)
        self.cluster = InstantDatabase(self._database, T)

    def put(self, job: Job) -> None:
        self._database.jobs[job.id] = JobDocument(job, schedule=job.rev, begins=job.next_run_ms)

    def change_an_option(self, job_id: str) -> None:
        document = self._database.jobs[job_id]
        document.job = document.job.evolve(tags=("changed",), rev=document.job.rev + 1)

    def remove(self, job_id: str) -> None:
        del self._database.jobs[job_id]

    def copy_schedule(self, job_id: str) -> None:
        it = self._database.jobs[job_id]
        copied = FormerDocument(it.job, it.schedule, it.begins, it.late_until)
        self._database.formers[f"{job_id}@{it.schedule}"] = copied

    def request(self, job_id: str, name: str, at: int) -> None:
        run = RunRecord(job_id, slot_of(job_id), at, 1, name)
        self._database.runs[(job_id, at, 1, name)] = RunDocument("", run, waits=True, due=at)

    def end_process(self, node: str) -> None:
        self._database.one_machine = True
        self._database.nodes[node].process = SimpleNamespace(dead=True)


class MongoRig:
    """MongoDB.

    :ivar jobs: the collection
    :ivar complaints: what was said of documents
    """

    def __init__(self, uri: str, database: str) -> None:
        self._connection = Connection(
            uri=uri, client=None, database=database, collection="jobs", address={}, options={}
        )
        allowed = AllowedFunctions([__name__])
        self.complaints: list[str] = []
        self.cluster = MongoClaimDatabase(
            self._connection,
            lambda: DocumentReader(allowed, "default", id_key="_id"),
            complain=self.complaints.append,
        )
        self.cluster.prepare()
        self.jobs = self._connection.jobs()

    def put(self, job: Job) -> None:
        self.jobs.replace_one({"_id": job.id}, new_document(job, T), upsert=True)

    def change_an_option(self, job_id: str) -> None:
        self.jobs.update_one({"_id": job_id}, {"$set": {"tags": ["changed"]}, "$inc": {"rev": 1}})

    def remove(self, job_id: str) -> None:
        self.jobs.delete_one({"_id": job_id})

    def copy_schedule(self, job_id: str) -> None:
        keep_former(self.jobs, [self.jobs.find_one({"_id": job_id})])

    def request(self, job_id: str, name: str, at: int) -> None:
        waiting = {"job_id": job_id, "slot": slot_of(job_id), "request": name, "state": "waiting", "attempt": 1}
        times = {"scheduled_at": from_ms(at), "due_at": from_ms(at)}
        self.jobs.runs.insert_one({"_id": f"{job_id}!{name}#1", **waiting, **times})

    def end_process(self, node: str) -> None:
        ended, ours = subprocess.Popen(["true"]), own_mark()
        ended.wait()
        assert ours is not None
        self.mark(node, mark_document(ours._replace(pid=ended.pid)))

    def mark(self, node: str, document: Any) -> None:
        """Say that the node is this process."""
        self.jobs.nodes.update_one({"_id": node}, {"$set": {"process": document}})

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def mongo(uri: str, emptied_database: Any) -> Iterator[MongoRig]:
    rig = MongoRig(uri, emptied_database.name)
    yield rig
    rig.close()


class SqlRig:
    """A SQL database."""

    def __init__(self, path: Any) -> None:
        self.connection = SqlConnection(make_url(f"sqlite:///{path}"), Tables("gsched_"))
        self.clock = ManualClock(T / 1000)
        allowed = AllowedFunctions([__name__])
        self.cluster = SqlClaims(
            self.connection, self.clock, lambda: DocumentReader(allowed, "default"), timedelta(days=14)
        )
        self.cluster.prepare()
        self._tables = self.connection.tables

    def _do(self, *statements: Any) -> None:
        self.connection.write(lambda connection: [connection.execute(each) for each in statements])

    def put(self, job: Job) -> None:
        jobs = self._tables.jobs
        self._do(delete(jobs).where(jobs.c.id == job.id), insert(jobs).values(new_row(job, T)))

    def change_an_option(self, job_id: str) -> None:
        jobs = self._tables.jobs
        self._do(update(jobs).where(jobs.c.id == job_id).values(rev=jobs.c.rev + 1))

    def remove(self, job_id: str) -> None:
        jobs = self._tables.jobs
        self._do(delete(jobs).where(jobs.c.id == job_id))

    def copy_schedule(self, job_id: str) -> None:
        self.connection.write(lambda connection: keep_sql_former(connection, self._tables, [job_id]))

    def request(self, job_id: str, name: str, at: int) -> None:
        waiting = WaitingRun(RunRecord(job_id, slot_of(job_id), at, 1, name), at)
        self._do(insert(self._tables.runs).values(waiting_row(waiting)))

    def end_process(self, node: str) -> None:
        ended, ours = subprocess.Popen(["true"]), own_mark()
        ended.wait()
        assert ours is not None
        nodes, mark = self._tables.nodes, json.dumps(mark_document(ours._replace(pid=ended.pid)))
        self._do(update(nodes).where(nodes.c.id == node).values(process=mark))

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqlRig]:
    rig = SqlRig(tmp_path / "jobs.sqlite")
    yield rig
    rig.close()


def standalone(request: pytest.FixtureRequest) -> Rig:
    """MongoDB on a server that has no transactions."""
    made: MongoRig = request.getfixturevalue("mongo")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setattr(made.cluster, "exclusive", True)
    patch.setattr(made.cluster, "_in_transaction", None)
    return made


# Another database joins with a class like SimRig and one line here.
RIGS: dict[str, Callable[[pytest.FixtureRequest], Rig]] = {
    "simulation": lambda request: SimRig(),
    "mongodb": lambda request: request.getfixturevalue("mongo"),
    "standalone": standalone,
    "sqlite": lambda request: request.getfixturevalue("sqlite"),
}


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param](request)


@pytest.fixture
def cluster(rig: Rig) -> ClaimDatabase:
    """The rig's, with the nodes a and b."""
    for node in ("a", "b"):
        rig.cluster.join(node, T)
    return rig.cluster


def node(cluster: ClaimDatabase, name: str) -> NodeRecord:
    return next(each for each in cluster.nodes() if each.id == name)


def bury(cluster: ClaimDatabase, name: str) -> NodeRecord:
    """The node, dead by the word of others."""
    assert cluster.bury(name, node(cluster, name).beat)
    return node(cluster, name)


def hold(cluster: ClaimDatabase, name: str, *numbers: int, watermark: int = T) -> dict[int, int]:
    """Have the node take the slots and attach them; their fences."""
    fences = {slot.number: slot.fence for slot in cluster.take_slots(name, numbers)}
    assert set(cluster.attach_slots(name, numbers, watermark)) == set(numbers)
    return fences


def slot(cluster: ClaimDatabase, number: int) -> SlotRecord:
    """The slot as the next one finds it who takes it."""
    (found,) = cluster.take_slots("b", [number])
    return found


def is_free(cluster: ClaimDatabase, number: int) -> bool:
    return number in cluster.free_slots("nobody")


def job(job_id: str = "job", due: int | None = T, **options: Any) -> Job:
    return Job(job_id, run, IntervalTrigger(seconds=60, timezone="UTC"), FUNC, next_run_ms=due, **options)


def read(cluster: ClaimDatabase, job_id: str = "job") -> JobRecord:
    return cluster.read_jobs([job_id])[job_id]


def admitted(rig: Rig, *jobs: Job, claimed: int = T) -> list[JobRecord]:
    """The jobs, added and admitted by a."""
    for each in jobs:
        rig.put(each)
    assert rig.cluster.admit("a", [read(rig.cluster, each.id) for each in jobs], claimed)
    return [read(rig.cluster, each.id) for each in jobs]


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_a_node_that_joins_is_alive_and_has_claimed_nothing_after_its_beginning(cluster):
    assert node(cluster, "a") == NodeRecord("a", alive=True, watermark=T, acked=T, beat=0)
    assert node(cluster, "a").protocol == PROTOCOL


def test_an_advance_raises_both_times_and_beats(cluster):
    assert cluster.advance("a", T + 100, T + 50, draining=False)
    assert node(cluster, "a") == NodeRecord("a", alive=True, watermark=T + 100, acked=T + 50, beat=1)
    assert node(cluster, "b").beat == 0


@pytest.mark.parametrize(("watermark", "acked"), [(T + 10, T + 50), (T + 100, T + 5), (T + 10, T + 5)])
def test_an_advance_that_arrives_late_lowers_neither_time(cluster, watermark, acked):
    cluster.advance("a", T + 100, T + 50, draining=False)
    assert cluster.advance("a", watermark, acked, draining=False)
    assert node(cluster, "a")[1:4] == (True, T + 100, T + 50)


def test_an_advance_says_whether_the_node_gives_its_slots_away(cluster):
    for draining in (True, False):
        assert cluster.advance("a", T, T, draining)
        assert node(cluster, "a").draining is draining


def test_a_node_that_is_dead_cannot_advance(cluster):
    dead = bury(cluster, "a")
    assert not cluster.advance("a", T + 100, T + 50, draining=False)
    assert node(cluster, "a") == dead


def test_a_node_is_buried_if_its_beat_is_still_the_one_that_was_seen(cluster):
    cluster.advance("a", T, T, draining=False)
    assert not cluster.bury("a", 0)
    assert node(cluster, "a").alive
    assert cluster.bury("a", 1)
    assert not node(cluster, "a").alive and node(cluster, "b").alive


def test_a_node_is_known_to_have_ended_when_its_process_has(rig, cluster):
    assert not node(cluster, "a").ended and not node(cluster, "b").ended
    rig.end_process("a")
    assert (node(cluster, "a").alive, node(cluster, "a").ended, node(cluster, "b").ended) == (True, True, False)
    bury(cluster, "a")
    assert not node(cluster, "a").ended, "it is dead, and that is enough"


def test_a_node_that_joins_says_which_process_it_is(mongo):
    mongo.cluster.join("a", T)
    assert read_mark(mongo.jobs.nodes.find_one("a")["process"]) == own_mark()


@pytest.mark.parametrize("field", ["boot", "pids", "times", "pid", "started"])
@pytest.mark.parametrize("value", [None, "x", -1, {}, 10**12])
def test_a_node_whose_process_is_not_named_as_this_machine_would_has_not_ended(mongo, field, value):
    mongo.cluster.join("a", T)
    mongo.end_process("a")
    told = mongo.jobs.nodes.find_one("a")["process"]
    assert node(mongo.cluster, "a").ended
    mongo.mark("a", {**told, field: value})
    still = field == "started" and value == 10**12  # no such process either
    assert node(mongo.cluster, "a").ended is still
    for strange in (None, "rubbish", []):
        mongo.mark("a", strange)
        assert not node(mongo.cluster, "a").ended


def test_a_node_that_leaves_is_dead_and_says_until_when_all_has_ended(cluster):
    cluster.advance("a", T + 100, T + 50, draining=True)
    cluster.leave("a", T + 80)
    assert node(cluster, "a")[1:4] == (False, T + 100, T + 80)


def test_a_node_that_others_buried_leaves_nothing_behind_when_it_leaves(cluster):
    dead = bury(cluster, "a")
    cluster.leave("a", T + 80)
    assert node(cluster, "a") == dead


# -- slots ------------------------------------------------------------------------------------------------------------


def test_at_first_every_slot_is_free(cluster):
    assert set(cluster.free_slots("a")) == set(EVERYWHERE)


def test_a_taken_slot_is_free_to_its_owner_only_until_it_is_attached(cluster):
    cluster.take_slots("a", [1])
    assert 1 in cluster.free_slots("a") and 1 not in cluster.free_slots("b")
    cluster.attach_slots("a", [1], T)
    assert 1 not in cluster.free_slots("a") and 1 not in cluster.free_slots("b")


def test_a_free_slot_is_taken_once_and_its_fence_rises_each_time(cluster):
    assert [(each.number, each.fence) for each in cluster.take_slots("a", [1, 2])] == [(1, 1), (2, 1)]
    assert [(each.number, each.fence) for each in cluster.take_slots("a", [1, 2])] == [(1, 1), (2, 1)]
    assert [each.number for each in cluster.take_slots("b", [1, 2, 3])] == [3]
    cluster.give_back_slots("a", [1])
    assert slot(cluster, 1).fence == 2


def test_slots_that_are_attached_are_not_taken_again(cluster):
    hold(cluster, "a", 1)
    assert not cluster.take_slots("a", [1]) and not cluster.take_slots("b", [1])


def test_only_slots_that_a_node_owns_are_attached(cluster):
    cluster.take_slots("a", [1])
    cluster.take_slots("b", [2])
    assert set(cluster.attach_slots("a", [1, 2, 3], T)) == {1}
    assert {2} <= set(cluster.free_slots("b")) and is_free(cluster, 3)
    assert set(cluster.attach_slots("a", [1], T)) == {1}, "an attempt that is made again finds them attached"


def test_attaching_raises_a_slots_watermark_and_never_lowers_it(cluster):
    cluster.release_slots("a", hold(cluster, "a", 1, watermark=T + 100), T)
    assert slot(cluster, 1).watermark == T + 100
    cluster.give_back_slots("b", [1])
    cluster.release_slots("a", hold(cluster, "a", 1, watermark=T + 50), T)
    assert slot(cluster, 1).watermark == T + 100


def test_a_slot_is_given_up_with_its_fence_and_what_was_claimed(cluster):
    fences = hold(cluster, "a", 1)
    cluster.release_slots("a", fences, T + 100)
    assert slot(cluster, 1)[2:] == (T + 100, T + 100)


def test_a_release_with_another_fence_or_by_another_node_changes_nothing(cluster):
    fences = hold(cluster, "a", 1)
    cluster.release_slots("a", {1: fences[1] - 1}, T + 100)
    cluster.release_slots("a", {1: fences[1] + 1}, T + 100)
    cluster.release_slots("b", fences, T + 100)
    assert not is_free(cluster, 1)


def test_a_release_does_not_lower_a_watermark(cluster):
    cluster.release_slots("a", hold(cluster, "a", 1, watermark=T + 100), T)
    assert slot(cluster, 1)[2:] == (T + 100, T + 100)


def test_a_slot_that_was_not_attached_is_released_as_it_was(cluster):
    fences = {each.number: each.fence for each in cluster.take_slots("a", [1])}
    before = cluster.take_slots("a", [1])[0]
    cluster.release_slots("a", fences, T + 100)
    assert slot(cluster, 1)[2:] == before[2:]


def test_only_slots_that_are_not_attached_are_given_back_and_only_by_their_owner(cluster):
    hold(cluster, "a", 1)
    cluster.take_slots("a", [2, 3])
    cluster.give_back_slots("a", [1, 2])
    cluster.give_back_slots("b", [3])
    assert [is_free(cluster, number) for number in (1, 2, 3)] == [False, True, False]


def test_the_slots_of_a_dead_node_are_freed_with_its_last_word(cluster):
    hold(cluster, "a", 1)
    cluster.close_slots("a", [1])
    hold(cluster, "b", 2)
    cluster.advance("a", T + 100, T + 50, draining=False)
    cluster.free_slots_of(bury(cluster, "a"))
    assert slot(cluster, 1)[2:] == (T + 100, T + 50)
    assert not is_free(cluster, 2)


def test_a_slot_that_the_dead_node_had_not_attached_is_as_it_was(cluster):
    before = cluster.take_slots("a", [1])[0]
    cluster.advance("a", T + 100, T + 50, draining=False)
    cluster.free_slots_of(bury(cluster, "a"))
    assert slot(cluster, 1)[2:] == before[2:]


def test_a_slot_is_open_from_where_its_last_owner_had_ended_until_it_is_closed(cluster):
    hold(cluster, "a", 1, 2)
    cluster.close_slots("a", [1, 2])
    cluster.advance("a", T + 100, T + 50, draining=False)
    cluster.free_slots_of(bury(cluster, "a"))
    hold(cluster, "b", 1, 2, watermark=T + 200)
    cluster.close_slots("a", [1])  # not its own any more
    cluster.close_slots("b", [2])
    cluster.advance("b", T + 300, T + 250, draining=False)
    cluster.join("c", T)
    cluster.free_slots_of(bury(cluster, "b"))
    freed = {each.number: each[2:] for each in cluster.take_slots("c", [1, 2])}
    assert freed == {1: (T + 300, T + 50), 2: (T + 300, T + 250)}


def test_a_slot_has_ended_at_least_until_its_own_watermark(cluster):
    hold(cluster, "a", 1, watermark=T + 80)
    cluster.close_slots("a", [1])
    cluster.advance("a", T + 100, T + 50, draining=False)
    cluster.free_slots_of(bury(cluster, "a"))
    assert slot(cluster, 1)[2:] == (T + 100, T + 80)


def test_owners_are_all_that_own_a_slot_attached_or_not(cluster):
    hold(cluster, "a", 1, 2)
    cluster.take_slots("b", [3])
    assert sorted(cluster.owners()) == ["a", "b"]
    cluster.give_back_slots("b", [3])
    assert list(cluster.owners()) == ["a"]


def test_only_what_is_dead_is_settled(cluster):
    bury(cluster, "a")
    cluster.note_settled(["a", "b"])
    assert {each.id: each.settled for each in cluster.nodes(["a"])} == {"a": True, "b": False}


def test_nodes_that_are_settled_are_left_out_unless_they_are_asked_for_and_counted(cluster):
    bury(cluster, "a")
    assert (node(cluster, "a").settled, cluster.count_dead()) == (False, 1)
    cluster.note_settled(["a"])
    assert [each.id for each in cluster.nodes()] == [each.id for each in cluster.nodes(["nobody"])] == ["b"]
    assert {each.id for each in cluster.nodes(["a"])} == {"a", "b"}
    assert cluster.count_dead() == 1


def test_a_node_that_ended_by_itself_is_not_among_the_dead(mongo):
    mongo.cluster.join("a", T)
    mongo.cluster.leave("a", T)
    assert mongo.cluster.count_dead() == 0


# -- jobs -------------------------------------------------------------------------------------------------------------


def ids_in(cluster: ClaimDatabase, numbers: Any, until: int) -> set[str]:
    return {record.job.id for batch in cluster.jobs_in(numbers, until) for record in batch}


def test_jobs_are_found_that_are_due_by_then_or_never_and_not_paused(rig):
    for each in (job("now"), job("later", T + 1), job("over", None), job("paused", pause=PLAIN)):
        rig.put(each)
    assert ids_in(rig.cluster, EVERYWHERE, T) == {"now", "over"}
    assert ids_in(rig.cluster, EVERYWHERE, T + 1) == {"now", "over", "later"}
    assert set(rig.cluster.revisions(EVERYWHERE, T)) == {"now", "over"}


def test_jobs_are_found_in_the_slots_that_are_asked_for(rig):
    rig.put(job())
    rig.request("job", "please", T)
    own = read(rig.cluster).slot
    others = set(EVERYWHERE) - {own}
    for numbers, found in (([own], {"job"}), (others, set())):
        assert ids_in(rig.cluster, numbers, T) == found
        assert set(rig.cluster.revisions(numbers, T)) == found
        assert set(rig.cluster.waiting_in(numbers, T - 1, T)) == found
        assert set(rig.cluster.due_between(numbers, T - 1, T)) == found


@pytest.mark.parametrize(("after", "until", "is_found"), [(-1, 0, True), (0, 1, False), (-2, -1, False)])
def test_jobs_are_found_that_are_due_in_a_period_which_ends_with_its_last_instant(rig, after, until, is_found):
    rig.put(job())
    assert ("job" in rig.cluster.due_between(EVERYWHERE, T + after, T + until)) is is_found


def test_jobs_are_read_as_they_are_now_and_what_is_not_there_is_left_out(rig):
    rig.put(job(rev=3))
    rig.request("job", "please", T + 5)
    found = rig.cluster.read_jobs(["job", "no such job"])
    assert found.keys() == {"job"}
    record = found["job"]
    assert (record.job.rev, record.job.next_run_ms, record.job.parked) == (3, T, None)
    assert (record.admitted, record.late_until) == (False, -1)
    assert rig.cluster.revisions(EVERYWHERE, T) == {"job": 3}


def test_jobs_are_admitted_and_those_that_are_due_already_are_late(rig, cluster):
    late, early = admitted(rig, job("late", T), job("early", T + 1), claimed=T)
    assert (late.admitted, late.late_until) == (True, T)
    assert (early.admitted, early.late_until) == (True, -1)


def test_a_dead_node_admits_nothing(rig, cluster):
    rig.put(job())
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.admit("a", [read(cluster)], T)
    assert not read(cluster).admitted


@pytest.mark.parametrize("what", ["changed", "admitted", "removed"])
def test_no_job_is_admitted_if_one_of_them_has_changed(rig, cluster, what):
    rig.put(job("same"))
    rig.put(job())
    given = [read(cluster, "same"), read(cluster)]
    if what == "changed":
        rig.put(job(rev=2))
    elif what == "admitted":
        cluster.admit("b", given[1:], T)
    else:
        rig.remove("job")
    assert not cluster.admit("a", given, T)
    assert read(cluster, "same").admitted == cluster.exclusive  # without transactions, as after an answer that was lost


def is_running(cluster: ClaimDatabase, job_id: str = "job") -> bool:
    return cluster.is_running(job_id, slot_of(job_id))


def test_a_former_schedule_tells_when_the_job_was_due_and_what_of_that_was_late(rig, cluster):
    admitted(rig, job(due=T - 5, rev=7), claimed=T + 100)
    before = read(cluster)
    rig.copy_schedule("job")
    rig.put(job(due=T + 900, rev=8))
    (former,) = cluster.formers_of(["job", "gone"])
    assert [*cluster.formers_in([before.slot])] == [former] and not cluster.formers_in([before.slot + 1])
    assert former.record[1:] == before._replace(was_parked=None)[1:] and former.until is None
    assert (former.record.schedule, former.record.begins, read(cluster).schedule) == (7, T - 5, 8)
    assert former.record.job.trigger.same_schedule(before.job.trigger) and former.record.job.next_run_ms == T - 5
    assert former.record.job.parked and not former.record.job.recover, "what it did then is not kept"


def test_a_schedule_that_is_copied_again_is_as_it_is_now(rig, cluster):
    admitted(rig, job(due=T - 5), claimed=T + 100)
    rig.copy_schedule("job")
    cluster.close_late(["job"], T + 100)
    rig.copy_schedule("job")
    assert [each.record.late_until for each in cluster.formers_of(["job"])] == [-1]


def test_a_job_that_is_not_admitted_may_begin_later_and_never_earlier(rig, cluster):
    rig.put(job(due=T, rev=7))
    later, earlier = read(cluster), read(cluster)
    later = later._replace(job=later.job.evolve(next_run_ms=T + 900), begins=T + 900)
    cluster.begin_later([later])
    cluster.begin_later([earlier])
    assert read(cluster) == later
    assert cluster.admit("a", [later], T + 100) and read(cluster).late_until == -1


def test_a_later_beginning_that_is_announced_keeps_a_node_from_admitting_the_job_as_it_was(rig, cluster):
    rig.put(job(due=T, rev=7))
    found = read(cluster)
    cluster.begin_later([found._replace(job=found.job.evolve(next_run_ms=T + 900))], announce=True)
    assert (read(cluster).job.rev, read(cluster).job.next_run_ms) == (8, T + 900)
    assert not cluster.admit("a", [found], T + 100) and cluster.admit("a", [read(cluster)], T + 100)


def test_jobs_of_a_group_share_a_slot_and_former_schedules_stay_in_the_slot_of_their_group(rig, cluster):
    grouped = [job(each, policy=Policy(group="host:a")) for each in ("one", "two")]
    number = slot_of("host:a")
    for each in grouped:
        rig.put(each)
    assert {record.job.id: record.slot for some in cluster.jobs_in([number], T) for record in some} == {
        "one": number, "two": number,
    }  # fmt: skip
    cluster.admit("a", [read(cluster, "one")], T)
    rig.copy_schedule("one")
    rig.put(job("one", rev=2, policy=Policy(group="host:b")))
    assert read(cluster, "one").slot == slot_of("host:b") != number
    assert [each.record.slot for each in cluster.formers_in([number])] == [number]
    assert not cluster.formers_in([slot_of("host:b")])


@pytest.mark.parametrize("is_admitted", [False, True])
def test_a_job_that_is_not_admitted_may_be_never_due_again(rig, cluster, is_admitted):
    rig.put(job(due=T, rev=7))
    found = read(cluster)
    if is_admitted:
        cluster.admit("a", [found], T)
    cluster.begin_later([found._replace(job=found.job.evolve(next_run_ms=None), begins=None)])
    assert read(cluster).job.next_run_ms == (T if is_admitted else None)


@pytest.mark.parametrize("what", ["changed", "admitted", "removed"])
def test_one_that_is_not_as_it_was_begins_when_it_did(rig, cluster, what):
    rig.put(job(due=T))
    later = read(cluster)._replace(job=job(due=T + 900), begins=T + 900)
    if what == "changed":
        rig.put(job(due=T, rev=2))
    elif what == "admitted":
        cluster.admit("a", [read(cluster)], T)
    else:
        rig.remove("job")
    cluster.begin_later([later])
    if what == "removed":
        assert not cluster.read_jobs(["job"])
    else:
        assert (read(cluster).job.next_run_ms, read(cluster).begins) == (T, T)


def test_the_first_bound_of_a_former_schedule_stays(rig, cluster):
    admitted(rig, job(rev=7))
    rig.copy_schedule("job")
    cluster.bound_formers({"job@7": T + 100, "gone@7": T})
    cluster.bound_formers({"job@7": T + 900})
    assert [each.until for each in cluster.formers_of(["job"])] == [T + 100]


def test_a_former_schedule_is_forgotten_by_its_name(rig, cluster):
    admitted(rig, job("a", rev=7), job("b", rev=7))
    for each in "ab":
        rig.copy_schedule(each)
    cluster.forget_formers(["a@7"])
    cluster.forget_formers(["a@7"])
    assert [each.id for each in cluster.formers_of(["a", "b"])] == ["b@7"]


def test_a_later_time_is_written_back_and_an_earlier_one_is_not(rig, cluster):
    admitted(rig, job("later"), job("earlier"))
    written = cluster.write_back({"later": (1, T + 10), "earlier": (1, T - 10)})
    assert set(written) == {"later", "earlier"}
    assert [read(cluster, each).job.next_run_ms for each in ("later", "earlier")] == [T + 10, T]


def test_nothing_is_written_back_to_a_job_that_was_changed_or_is_not_admitted_or_gone(rig, cluster):
    admitted(rig, job("changed"))
    rig.put(job("new"))
    wanted = {"changed": (2, T + 10), "new": (1, T + 10), "gone": (1, T + 10)}
    assert not cluster.write_back(wanted)
    assert [read(cluster, each).job.next_run_ms for each in ("changed", "new")] == [T, T]


def test_late_instants_are_closed_as_they_were_set(rig, cluster):
    admitted(rig, job("as set"), job("otherwise"), claimed=T + 5)
    admitted(rig, job("later"), claimed=T + 10)
    cluster.close_late(["as set", "later", "gone"], T + 5)
    found = {each: read(cluster, each).late_until for each in ("as set", "otherwise", "later")}
    assert found == {"as set": -1, "otherwise": T + 5, "later": T + 10}


def test_a_backlog_is_noted_where_the_revision_is_still_the_same_and_closed_by_what_it_says(rig, cluster):
    admitted(rig, job(due=T + 100, rev=3), job("other", due=T + 100, rev=4))
    backlogs = {"job": Backlog(3, T + 200, T + 500), "other": Backlog(3, T + 200, T + 500), "none": Backlog(1, T, T)}
    assert list(cluster.note_backlogs("a", backlogs)) == ["job"]
    assert (read(cluster).job.next_run_ms, read(cluster).late_until) == (T + 200, T + 500)
    assert (read(cluster, "other").job.next_run_ms, read(cluster, "other").late_until) == (T + 100, -1)
    assert list(cluster.note_backlogs("a", {"job": Backlog(3, T + 150, T + 400)})) == []  # it lowers nothing
    assert (read(cluster).job.next_run_ms, read(cluster).late_until) == (T + 200, T + 500)
    cluster.close_late(["job"], T + 400)
    assert read(cluster).is_late
    cluster.close_late(["job"], T + 500)
    assert not read(cluster).is_late


def test_a_backlog_noted_by_an_earlier_attempt_is_known_after_the_job_has_changed(rig, cluster):
    admitted(rig, job(due=T + 100))
    backlog = {"job": Backlog(1, T + 200, T + 500)}
    cluster.note_backlogs("a", backlog)  # the answer is lost
    rig.change_an_option("job")
    assert list(cluster.note_backlogs("a", backlog)) == ["job"]
    assert (read(cluster).job.next_run_ms, read(cluster).late_until) == (T + 200, T + 500)


def test_a_dead_node_notes_no_backlog(rig, cluster):
    admitted(rig, job(due=T + 100))
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.note_backlogs("a", {"job": Backlog(1, T + 200, T + 500)})
    assert read(cluster).late_until == -1


def test_a_job_that_is_not_admitted_has_no_backlog(rig, cluster):
    rig.put(job(due=T, rev=1))
    assert list(cluster.note_backlogs("a", {"job": Backlog(1, T + 200, T + 500)})) == []
    assert read(cluster).late_until == -1


def test_a_job_that_is_set_down_is_to_be_admitted_again_from_when_it_is_due(rig, cluster):
    admitted(rig, job(due=T + 100, rev=3))
    cluster.note_backlogs("a", {"job": Backlog(3, T + 200, T + 500)})
    parked = job(rev=3).evolve(parked="no code")
    assert not cluster.set_down("a", [parked.evolve(rev=2, next_run_ms=T + 900)])
    assert read(cluster).admitted
    assert cluster.set_down("a", [parked.evolve(next_run_ms=T + 900)])
    assert not read(cluster).admitted
    assert (read(cluster).job.next_run_ms, read(cluster).late_until) == (T + 900, -1)
    assert (read(cluster).was_parked, read(cluster).job.rev) == ("no code", 4)
    assert not cluster.set_down("a", [parked.evolve(next_run_ms=T + 800)])
    assert not cluster.set_down("a", [parked.evolve(id="none", next_run_ms=T + 800)])
    assert read(cluster).job.next_run_ms == T + 900


def test_jobs_are_set_down_together(rig, cluster):
    admitted(rig, job("one", due=T + 100), job("two", due=T + 100))
    parked = [job(name, due=T + 200).evolve(parked=f"{name} has no code") for name in ("one", "two")]
    assert cluster.set_down("a", parked)
    found = [read(cluster, each.id) for each in parked]
    assert [record.was_parked for record in found] == ["one has no code", "two has no code"]
    assert [(record.admitted, record.job.next_run_ms) for record in found] == [(False, T + 200)] * 2


def test_no_job_is_set_down_if_one_of_them_has_changed(rig, cluster):
    admitted(rig, job("one", due=T + 100), job("two", due=T + 100))
    one, two = (job(name, due=T + 200).evolve(parked="no code") for name in ("one", "two"))
    assert not cluster.set_down("a", [one, two.evolve(rev=7)])
    assert read(cluster, "two").admitted
    assert read(cluster, "one").admitted != cluster.exclusive  # without transactions, as after an answer that was lost


def test_no_attempt_to_set_a_job_down_takes_effect_after_another_one(rig, cluster):
    admitted(rig, job(due=T + 100))
    parked = job().evolve(parked="no code")
    assert cluster.set_down("a", [parked.evolve(next_run_ms=T + 200)])
    assert cluster.admit("a", [read(cluster)], T)
    assert not cluster.set_down("a", [parked.evolve(next_run_ms=T + 200)])
    assert read(cluster).admitted


def test_a_dead_node_sets_no_job_down(rig, cluster):
    admitted(rig, job(due=T + 100))
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.set_down("a", [job().evolve(parked="no code", next_run_ms=T + 200)])
    assert read(cluster).admitted


def test_a_reason_is_noted_at_the_revision_that_it_is_of(rig, cluster):
    rig.put(job(rev=2))
    cluster.park([job(rev=1).evolve(parked="of an older one")])
    assert read(cluster).was_parked is None
    cluster.park([job(rev=2).evolve(parked="no such module")])
    assert read(cluster).was_parked == "no such module"
    cluster.park([job(rev=2)])
    assert read(cluster).was_parked is None


# -- runs that wait ---------------------------------------------------------------------------------------------------

SLOT = slot_of("job")
FIRST = RunRecord("job", SLOT, T)
SECOND = FIRST._replace(attempt=2, tries=1, is_retry=True)
RETRY = WaitingRun(SECOND, T + 500, schedule=7)
REQUEST = WaitingRun(RunRecord("job", SLOT, T, request="please"), T + 900)
OTHERS = WaitingRun(RunRecord("other", slot_of("other"), T, 4, tries=1, recoveries=2, is_retry=True), T + 100)
FAR = T + 10**9


def waiting(cluster: ClaimDatabase, *job_ids: str) -> list[WaitingRun]:
    return [*cluster.waiting_of(job_ids or ["job"], 10)]


def asked_for(rig: Rig, *names: str) -> list[RunRecord]:
    for number, name in enumerate(names):
        rig.request("job", name, T + number)
    return [RunRecord("job", SLOT, T + number, 1, name) for number, name in enumerate(names)]


def runs(found: Iterable[WaitingRun]) -> list[RunRecord]:
    return [each.run for each in found]


def test_a_run_on_request_waits_for_any_schedule_of_its_job_and_is_due_at_once(rig, cluster):
    (run,) = asked_for(rig, "please")
    assert waiting(cluster) == [WaitingRun(run, T)]


def test_runs_that_wait_are_found_the_earliest_first_up_to_a_limit(rig, cluster):
    found = asked_for(rig, "c", "b", "a")
    assert runs(cluster.waiting_of(["job", "other"], 2)) == found[:2]
    assert not cluster.waiting_of(["other"], 2)


@pytest.mark.parametrize(("after", "until", "is_found"), [(-1, 0, True), (0, 1, False), (-2, -1, False)])
def test_jobs_with_waiting_runs_are_found_by_a_period_that_includes_its_last_instant(
    rig, cluster, after, until, is_found
):
    asked_for(rig, "please")
    assert ("job" in cluster.waiting_in(EVERYWHERE, T + after, T + until)) is is_found


def test_of_each_job_the_earliest_time_in_the_period_is_given_whether_there_is_such_a_job_or_not(cluster):
    cluster.add_waiting("a", [REQUEST, RETRY, OTHERS], [])
    assert cluster.waiting_in(EVERYWHERE, T, FAR) == {"job": T + 500, "other": T + 100}
    assert cluster.waiting_in(EVERYWHERE, T + 500, FAR) == {"job": T + 900}
    assert cluster.waiting_in([OTHERS.run.slot], T, FAR) == {"other": T + 100}


def test_runs_that_are_added_wait_as_they_are_and_nobody_has_them(cluster):
    assert {*cluster.add_waiting("a", [REQUEST, RETRY, OTHERS], [])} == {REQUEST.run, SECOND, OTHERS.run}
    assert waiting(cluster, "job", "other") == [OTHERS, RETRY, REQUEST]
    assert is_running(cluster) and not cluster.runs_of(["a", "b", ""], EVERYWHERE)


def test_an_attempt_that_waits_already_is_not_added_again_and_stays_as_it_is(cluster):
    cluster.add_waiting("a", [RETRY], [])
    again = WaitingRun(SECOND._replace(tries=9), T + 9000, schedule=9)
    assert len(cluster.add_waiting("b", [again, OTHERS], [])) == 2
    assert waiting(cluster, "job", "other") == [OTHERS, RETRY]


def test_an_attempt_in_progress_does_not_wait_again_when_it_is_added_again(cluster):
    cluster.add_waiting("a", [RETRY], [])
    cluster.begin_waiting("a", [SECOND])
    assert [*cluster.add_waiting("a", [RETRY], [])] == [SECOND], "it is there"
    assert not waiting(cluster) and [*cluster.runs_of(["a"], EVERYWHERE)] == [SECOND]


def test_an_attempt_that_has_ended_does_not_wait_again_when_it_is_added_again(cluster):
    cluster.record_runs("a", [SECOND])
    cluster.end_runs([SECOND], Outcome.LOST)
    assert [*cluster.add_waiting("a", [RETRY], [])] == [SECOND], "it is there"
    assert not waiting(cluster) and not is_running(cluster)


def test_jobs_that_are_announced_get_another_revision_and_others_keep_theirs(rig, cluster):
    for each in ("job", "other"):
        rig.put(job(each, rev=3))
    cluster.add_waiting("a", [RETRY, OTHERS, WaitingRun(FIRST._replace(job_id="gone"), T)], ["job", "gone"])
    assert cluster.revisions(EVERYWHERE, T) == {"job": 4, "other": 3}


def test_a_dead_node_adds_no_run_and_announces_no_job(rig, cluster):
    rig.put(job(rev=3))
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.add_waiting("a", [RETRY], ["job"])
    assert not waiting(cluster) and read(cluster).job.rev == 3


def test_a_run_that_waits_begins_on_one_node_and_whoever_asks_again_hears_so(rig, cluster):
    found = asked_for(rig, "a", "b")
    assert [*cluster.begin_waiting("a", found[:1])] == found[:1]
    assert [*cluster.begin_waiting("a", found[:1])] == found[:1]
    assert [*cluster.begin_waiting("b", found)] == found[1:]
    assert not waiting(cluster) and not cluster.waiting_in(EVERYWHERE, 0, FAR)
    assert [*cluster.runs_of(["a"], EVERYWHERE)] == found[:1]


def test_a_run_that_begins_keeps_how_often_it_was_tried(cluster):
    cluster.add_waiting("a", [OTHERS], [])
    cluster.begin_waiting("a", [OTHERS.run])
    assert [*cluster.runs_of(["a"], EVERYWHERE)] == [OTHERS.run]


def test_a_dead_node_begins_no_run_that_waits(rig, cluster):
    found = asked_for(rig, "a")
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.begin_waiting("a", found)
    assert runs(waiting(cluster)) == found


def test_a_run_that_is_put_back_waits_as_it_did(cluster):
    cluster.add_waiting("a", [RETRY, REQUEST], [])
    cluster.begin_waiting("a", [SECOND, REQUEST.run])
    for _ in range(2):
        cluster.put_back("a", [SECOND])
        assert waiting(cluster) == [RETRY] and [*cluster.runs_of(["a"], EVERYWHERE)] == [REQUEST.run]
    assert [*cluster.begin_waiting("b", [SECOND])] == [SECOND]


def test_a_run_that_has_not_waited_before_it_is_put_back_is_due_at_its_instant(cluster):
    cluster.record_runs("a", [SECOND])
    cluster.put_back("a", [SECOND])
    assert waiting(cluster) == [WaitingRun(SECOND, T)]


def test_only_runs_that_are_in_progress_on_this_node_are_put_back(cluster):
    ended = FIRST._replace(attempt=5)
    cluster.record_runs("a", [ended])
    cluster.end_runs([ended], Outcome.LOST)
    cluster.record_runs("b", [SECOND])
    cluster.put_back("a", [ended, SECOND, FIRST])
    assert not waiting(cluster) and [*cluster.runs_of(["b"], EVERYWHERE)] == [SECOND]


def test_a_dead_node_puts_no_run_back(cluster):
    cluster.record_runs("a", [SECOND])
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.put_back("a", [SECOND])
    assert not waiting(cluster) and [*cluster.runs_of(["a"], EVERYWHERE)] == [SECOND]


# -- runs that are written down --------------------------------------------------------------------------------------


RUNS = [RunRecord("job", 7, T), RunRecord("job", 7, T, attempt=2), RunRecord("other", 8, T, request="please")]


def test_runs_in_progress_are_written_down_and_found_when_their_node_is_dead(cluster):
    cluster.record_runs("a", RUNS)
    cluster.record_runs("a", RUNS)
    assert set(cluster.runs_of(["a"], EVERYWHERE)) == set(RUNS) and len(cluster.runs_of(["a"], EVERYWHERE)) == 3
    assert cluster.runs_of(["a"], [8]) == RUNS[2:]
    assert not cluster.runs_of(["b"], EVERYWHERE)
    assert set(cluster.runs_of_others(["b"], EVERYWHERE)) == set(RUNS)
    assert cluster.runs_of_others(["b"], [8]) == RUNS[2:]
    assert not cluster.runs_of_others(["a", "b"], EVERYWHERE)


def test_a_dead_node_writes_nothing_down(cluster):
    bury(cluster, "a")
    with pytest.raises(FencedError):
        cluster.record_runs("a", RUNS)
    assert not cluster.runs_of(["a"], EVERYWHERE)


def test_a_run_is_its_successors_that_wrote_it_down_last(cluster):
    cluster.record_runs("a", [OTHERS.run])
    bury(cluster, "a")
    cluster.record_runs("b", [OTHERS.run])
    assert list(cluster.runs_of(["b"], EVERYWHERE)) == [OTHERS.run]
    assert not cluster.runs_of(["a"], EVERYWHERE)


def test_a_run_that_waits_goes_on_waiting_when_it_is_written_down(cluster):
    cluster.add_waiting("a", [RETRY], [])
    cluster.record_runs("a", [SECOND])
    assert waiting(cluster) == [RETRY] and not cluster.runs_of(["a"], EVERYWHERE)


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.RETRIED])
def test_runs_that_are_ended_are_over_and_are_not_written_down_again(cluster, outcome):
    cluster.record_runs("a", [FIRST])
    assert is_running(cluster) and not is_running(cluster, "other")
    cluster.end_runs([FIRST], outcome)
    cluster.record_runs("a", [FIRST])
    assert not is_running(cluster) and not cluster.runs_of(["a"], EVERYWHERE)
    assert [*cluster.ended_runs(["job"], T)] == [FIRST] and not [*cluster.ended_runs(["job"], T + 1)]


def test_runs_that_wait_are_not_ended_by_what_becomes_of_runs_in_progress(cluster):
    cluster.add_waiting("a", [RETRY], [])
    cluster.end_runs([SECOND, FIRST], Outcome.LOST)
    assert waiting(cluster) == [RETRY] and not [*cluster.ended_runs(["job"], T)]


@pytest.mark.parametrize("state", ["waiting", "running", "ended"])
def test_attempts_after_the_first_are_found_in_each_state(cluster, state):
    cluster.record_runs("a", [FIRST])
    cluster.add_waiting("a", [RETRY], [])
    if state != "waiting":
        cluster.begin_waiting("a", [SECOND])
    if state == "ended":
        cluster.end_runs([SECOND], Outcome.LOST)
    assert [*cluster.later_attempts(EVERYWHERE, T)] == [SECOND]


def test_attempts_after_the_first_are_found_in_slots_and_from_an_instant_on(cluster):
    cluster.add_waiting("a", [RETRY, OTHERS], [])
    assert [*cluster.later_attempts([SLOT], T)] == [SECOND]
    assert {*cluster.later_attempts([SLOT, OTHERS.run.slot], T)} == {SECOND, OTHERS.run}
    assert not cluster.later_attempts(EVERYWHERE, T + 1)


# -- what people write into MongoDB -----------------------------------------------------------------------------------


MISSING = "missing"


def set_by_hand(mongo: MongoRig, field: str, value: Any) -> None:
    change = {"$unset": {field: ""}} if value == MISSING else {"$set": {field: value}}
    mongo.jobs.update_one({"_id": "job"}, change)


@pytest.mark.parametrize("value", [MISSING, None, False, 0, 1, "true"])
def test_a_job_whose_mark_is_not_true_is_not_admitted_and_can_be(mongo, value):
    mongo.cluster.join("a", T)
    mongo.put(job())
    set_by_hand(mongo, "admitted", value)
    assert not mongo.cluster.write_back({"job": (1, T + 10)})
    record = read(mongo.cluster)
    assert not record.admitted and record.job.next_run_ms == T
    assert mongo.cluster.admit("a", [record], T)
    assert read(mongo.cluster).admitted


@pytest.mark.parametrize("value", [MISSING, None])
def test_a_job_without_a_revision_or_a_slot_gets_one(mongo, value):
    mongo.cluster.join("a", T)
    mongo.put(job())
    own = read(mongo.cluster).slot
    for field in ("rev", "slot"):
        set_by_hand(mongo, field, value)
    record = read(mongo.cluster)
    assert (record.job.rev, record.slot) == (1, own)
    assert mongo.cluster.admit("a", [record], T)


def test_a_copy_that_has_the_slot_of_another_job_is_not_among_the_jobs_of_that_slot(mongo):
    mongo.put(job())
    own = read(mongo.cluster).slot
    set_by_hand(mongo, "slot", own + 1)
    assert ids_in(mongo.cluster, [own + 1], T) == set()
    assert read(mongo.cluster).slot == own and ids_in(mongo.cluster, [own], T) == {"job"}


@pytest.mark.parametrize(("value", "rev"), [(3.0, 3), (1.5, 1), (float("nan"), 1), (1e300, 1), ("first", 1)])
def test_a_revision_that_is_no_whole_number_is_made_one_so_that_writes_match_it(mongo, value, rev):
    mongo.put(job())
    set_by_hand(mongo, "rev", value)
    record = read(mongo.cluster)
    assert (record.job.rev, record.job.parked) == (rev, None)
    mongo.cluster.park([job(rev=rev).evolve(parked="no executor")])
    assert read(mongo.cluster).was_parked == "no executor"


@pytest.mark.parametrize("value", [MISSING, None, True, "paused", 1])
def test_only_a_job_that_is_paused_is_left_out(mongo, value):
    mongo.put(job())
    set_by_hand(mongo, "paused", value)
    assert bool(ids_in(mongo.cluster, EVERYWHERE, T)) is (value is not True)


@pytest.mark.parametrize("value", [MISSING, None, "soon", 17])
def test_a_job_whose_time_is_none_is_looked_at(mongo, value):
    mongo.put(job())
    set_by_hand(mongo, "next_run_time", value)
    assert ids_in(mongo.cluster, EVERYWHERE, T) == {"job"}


@pytest.mark.parametrize("value", [MISSING, None, "soon", T])
def test_a_mark_of_lateness_that_is_no_date_is_none(mongo, value):
    mongo.cluster.join("a", T)
    admitted(mongo, job())
    set_by_hand(mongo, "late_until", value)
    assert read(mongo.cluster).late_until == -1


def test_many_jobs_are_read_some_at_a_time(mongo, monkeypatch):
    for name in "abcde":
        mongo.put(job(name))
    monkeypatch.setattr("gsched.stores.mongodb.claims.jobs._FETCH", 2)
    find, asked = Collection.find, []

    def noted(self, wanted, *fields, **options):
        asked.append(wanted["_id"]["$in"])
        return find(self, wanted, *fields, **options)

    monkeypatch.setattr(Collection, "find", noted)
    assert mongo.cluster.read_jobs(list("abcdef")).keys() == set("abcde")
    assert asked == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_outcomes_of_ended_runs_are_read_without_tracebacks(mongo, monkeypatch):
    mongo.cluster.join("a", T)
    mongo.cluster.record_runs("a", RUNS)
    mongo.jobs.runs.update_many({}, {"$set": {"state": "ended", "traceback": "x" * 8000}})
    read: list[dict[str, Any]] = []
    monkeypatch.setattr("gsched.stores.mongodb.claims.runs.run_record", read.append)
    assert len(list(mongo.cluster.ended_runs(["job", "other"], T))) == 3
    assert all(document.keys() == {"_id", "job_id", "slot", "scheduled_at", "attempt", "request"} for document in read)


STRANGE_SLOTS = [("epoch", MISSING), ("epoch", "x"), ("epoch", [1]), ("epoch", True), ("epoch", 1.5)]
STRANGE_SLOTS += [(field, value) for field in ("watermark", "acked") for value in (MISSING, None, "x", 5)]
STRANGE_SLOTS += [("attached", MISSING), ("attached", 1), ("open_from", 5), ("owner", 5), ("owner", ["a"])]


@pytest.mark.parametrize(("field", "value"), STRANGE_SLOTS)
def test_a_strange_slot_keeps_no_other_from_being_taken(mongo, field, value):
    mongo.cluster.join("a", T)
    change_slot(mongo, 5, field, value)
    assert not mongo.cluster.owners()
    assert {4, 6} <= {each.number for each in mongo.cluster.take_slots("a", [4, 5, 6])}


@pytest.mark.parametrize(("field", "value"), STRANGE_SLOTS)
def test_a_strange_slot_is_complained_of_once_with_the_command_that_has_it_made_anew(mongo, field, value):
    mongo.cluster.join("a", T)
    change_slot(mongo, 5, field, value)
    for _ in range(2):
        mongo.cluster.prepare()
    (said,) = mongo.complaints
    assert "jobs in slot 5 are not run" in said and "db['jobs.slots'].deleteOne({_id: 5})" in said
    mongo.jobs.slots.delete_one({"_id": 5})
    mongo.cluster.advance("a", T + 5000, T + 5000, draining=False)
    mongo.cluster.prepare()
    assert mongo.cluster.take_slots("a", [5]) == [SlotRecord(5, 1, T + 5000, T + 5000)]


def test_missing_slots_are_made_though_another_is_strange(mongo):
    mongo.cluster.join("a", T)
    change_slot(mongo, 5, "watermark", "x")
    mongo.jobs.slots.delete_one({"_id": 6})
    mongo.cluster.prepare()
    assert {each.number for each in mongo.cluster.take_slots("a", [4, 5, 6])} == {4, 6}


def test_documents_among_the_slots_that_are_none_are_left_alone(mongo):
    strange = [{"_id": value} for value in ("x", {"y": 1}, 256, -1, True)]
    mongo.jobs.slots.insert_many(strange)
    mongo.cluster.prepare()
    assert set(mongo.cluster.free_slots("a")) == set(EVERYWHERE)
    assert mongo.jobs.slots.count_documents({}) == SLOTS + len(strange) and not mongo.complaints


def change_slot(mongo: MongoRig, number: int, field: str, value: Any) -> None:
    change = {"$unset": {field: ""}} if value == MISSING else {"$set": {field: value}}
    mongo.jobs.slots.update_one({"_id": number}, change)


@pytest.mark.parametrize(("field", "value"), [("attempt", None), ("attempt", "x"), ("request", []), ("request", 5)])
def test_a_strange_run_of_a_dead_node_is_left_out_and_said_once(mongo, field, value):
    mongo.cluster.join("a", T)
    mongo.cluster.record_runs("a", RUNS)
    mongo.jobs.runs.update_one({"job_id": "other"}, {"$set": {field: value}})
    for _ in range(2):
        assert set(mongo.cluster.runs_of(["a"], EVERYWHERE)) == set(RUNS[:2])
    assert len(mongo.complaints) == 1


@pytest.mark.parametrize(("field", "value"), [("job_id", 5), ("trigger", "soon"), ("until", "late"), ("slot", "first")])
def test_a_strange_former_schedule_keeps_no_other_from_being_read(mongo, field, value):
    mongo.cluster.join("a", T)
    admitted(mongo, job("a"), job("b"))
    for each in "ab":
        mongo.copy_schedule(each)
    mongo.jobs.former.update_one({"_id": "a@1"}, {"$set": {field: value}})
    assert "b@1" in [each.id for each in mongo.cluster.formers_in(EVERYWHERE)]



@pytest.fixture
def refusing(mongo: MongoRig) -> MongoRig:
    """A MongoDB with the jobs "old" and "job", both late: any change of "old" is refused."""
    mongo.cluster.join("a", T)
    admitted(mongo, job("old"), job(), claimed=T + 5)
    mongo.jobs.database.command("collMod", "jobs", validator={"_id": {"$ne": "old"}})
    return mongo


def test_a_job_that_the_database_refuses_to_change_is_not_written_back_and_the_others_are(refusing):
    due = {"old": (1, T + 10), "job": (1, T + 10), "gone": (1, T + 10)}
    for _ in range(2):
        assert list(refusing.cluster.write_back(due)) == ["job"]
    assert {each: read(refusing.cluster, each).job.next_run_ms for each in ("old", "job")} == {"old": T, "job": T + 10}
    (said,) = refusing.complaints
    assert "refuses to change the document of job 'old': Document failed validation" in said


def test_a_job_that_the_database_refuses_to_change_does_not_keep_backlogs_of_others_from_being_noted(refusing):
    backlog = Backlog(1, T + 10, T + 20)
    assert list(refusing.cluster.note_backlogs("a", {"old": backlog, "job": backlog})) == ["job"]
    assert {each: read(refusing.cluster, each).late_until for each in ("old", "job")} == {"old": T + 5, "job": T + 20}
    assert len(refusing.complaints) == 1


def test_a_job_that_the_database_refuses_to_change_does_not_keep_others_from_being_closed(refusing):
    refusing.cluster.close_late(["old", "job"], T + 5)
    assert {each: read(refusing.cluster, each).late_until for each in ("old", "job")} == {"old": T + 5, "job": -1}
    assert len(refusing.complaints) == 1


def test_jobs_of_which_the_database_refuses_one_are_not_set_down_together(refusing):
    jobs = [read(refusing.cluster, name).job.evolve(parked="no code") for name in ("job", "old")]
    with pytest.raises(RefusedError, match="refuses to change its document: Document failed validation"):
        refusing.cluster.set_down("a", jobs)
    assert all(read(refusing.cluster, each.id).admitted for each in jobs)
    assert refusing.cluster.set_down("a", jobs[:1])


def test_the_reasons_of_other_jobs_are_noted_though_the_database_refuses_one(refusing):
    jobs = [read(refusing.cluster, name).job.evolve(parked="no code") for name in ("old", "job")]
    (refused,) = refusing.cluster.park(jobs).items()
    assert refused[0] == "old" and "Document failed validation" in refused[1]
    assert read(refusing.cluster, "job").was_parked == "no code"


def refuse(mongo, **rule):
    mongo.jobs.database.command("collMod", "jobs.runs", validator={"$nor": [rule]})


def test_a_validator_that_refuses_runs_in_progress_stops_no_node_and_is_reported_once_for_each_job(mongo):
    mongo.cluster.join("a", T)
    refuse(mongo, state="running")
    for _ in range(2):
        mongo.cluster.record_runs("a", RUNS)
    assert list(mongo.cluster.runs_of(["a"], EVERYWHERE)) == []
    assert len(mongo.complaints) == 2 and "to record in jobs.runs that runs of job 'job' wait" in mongo.complaints[0]
    mongo.cluster.leave("a", T)
    with pytest.raises(FencedError):
        mongo.cluster.record_runs("a", RUNS[:1])


def test_a_run_that_the_database_refuses_keeps_no_other_from_being_written_down(mongo):
    mongo.cluster.join("a", T)
    refuse(mongo, job_id="other")
    mongo.cluster.record_runs("a", RUNS)
    assert set(mongo.cluster.runs_of(["a"], EVERYWHERE)) == set(RUNS[:2])


def test_a_run_that_the_database_refuses_to_call_lost_keeps_no_other_from_being_lost(mongo):
    mongo.cluster.join("a", T)
    mongo.cluster.record_runs("a", RUNS)
    refuse(mongo, job_id="job", attempt=1, outcome="lost")
    for _ in range(2):
        mongo.cluster.end_runs(RUNS, Outcome.LOST)
    assert set(mongo.cluster.runs_of(["a"], EVERYWHERE)) == set(RUNS[:1])
    assert len(mongo.complaints) == 1


def test_a_run_whose_begin_the_database_refuses_waits_and_is_reported_once(mongo):
    mongo.cluster.join("a", T)
    found = asked_for(mongo, "a")
    refuse(mongo, state="running")
    for _ in range(2):
        assert not mongo.cluster.begin_waiting("a", found)
    assert runs(waiting(mongo.cluster)) == found and len(mongo.complaints) == 1


def test_a_run_that_the_database_does_not_let_begin_keeps_no_other_from_beginning(mongo):
    mongo.cluster.join("a", T)
    found = asked_for(mongo, "a", "b", "c")
    refuse(mongo, state="running", request="b")
    assert {*mongo.cluster.begin_waiting("a", found)} == {found[0], found[2]}
    assert runs(waiting(mongo.cluster)) == [found[1]]


def test_a_waiting_run_that_the_database_refuses_is_reported_once_and_holds_up_no_other(mongo):
    mongo.cluster.join("a", T)
    refuse(mongo, state="waiting", job_id="job")
    for _ in range(2):
        assert [*mongo.cluster.add_waiting("a", [RETRY, OTHERS], [])] == [OTHERS.run]
    assert waiting(mongo.cluster, "job", "other") == [OTHERS] and len(mongo.complaints) == 1
    bury(mongo.cluster, "a")
    with pytest.raises(FencedError):
        mongo.cluster.add_waiting("a", [RETRY], [])


def test_a_run_whose_job_cannot_be_announced_keeps_no_other_from_waiting(refusing):
    third = RunRecord("old", slot_of("old"), T, 2, is_retry=True)
    added = refusing.cluster.add_waiting("a", [RETRY, WaitingRun(third, T)], ["job", "old"])
    assert [*added] == [SECOND] and waiting(refusing.cluster, "job", "old") == [RETRY]
    assert {each: read(refusing.cluster, each).job.rev for each in ("old", "job")} == {"old": 1, "job": 2}
    assert len(refusing.complaints) == 1


@pytest.mark.parametrize("value", [MISSING, None, "first"])
def test_a_job_whose_revision_is_none_keeps_no_run_from_waiting(mongo, value):
    mongo.cluster.join("a", T)
    mongo.put(job())
    set_by_hand(mongo, "rev", value)
    assert [*mongo.cluster.add_waiting("a", [RETRY], ["job"])] == [SECOND]


def test_a_run_that_waits_does_not_expire_and_has_only_the_fields_that_it_needs(mongo):
    mongo.cluster.join("a", T)
    mongo.cluster.add_waiting("a", [RETRY, REQUEST], [])
    retry, request = mongo.jobs.runs.find(sort=[("due_at", 1)])
    fields = {"_id", "state", "job_id", "slot", "scheduled_at", "attempt", "request", "due_at", "cause"}
    assert retry.keys() == fields | {"schedule", "tries", "is_retry"} and request.keys() == fields
    assert (retry["cause"], request["cause"], retry["slot"]) == ("retry", "request", SLOT)


@pytest.mark.parametrize("field", ["tries", "recoveries", "is_retry", "schedule"])
def test_a_malformed_waiting_run_is_reported_once_and_hides_no_other(mongo, field):
    mongo.cluster.join("a", T)
    mongo.cluster.add_waiting("a", [RETRY, REQUEST], [])
    mongo.jobs.runs.update_one({"attempt": 2}, {"$set": {field: "x"}})
    for _ in range(2):
        assert waiting(mongo.cluster) == [REQUEST]
    assert len(mongo.complaints) == 1


def test_what_waits_and_later_attempts_are_found_by_an_index_without_reading_the_history(mongo, monkeypatch):
    ended = {"state": "ended", "job_id": "job", "slot": SLOT, "scheduled_at": from_ms(T), "due_at": from_ms(T)}
    mongo.jobs.runs.insert_many([{"_id": number, "attempt": 1, **ended} for number in range(300)])
    mongo.cluster.join("a", T)
    mongo.cluster.add_waiting("a", [RETRY, OTHERS], [])
    asked: list[dict[str, Any]] = []
    find, aggregate = Collection.find, Collection.aggregate

    def noted_find(self, wanted, *fields, **options):
        by = {"sort": dict(options["sort"])} if "sort" in options else {}
        asked.append({"find": "jobs.runs", "filter": wanted, **by})
        return find(self, wanted, *fields, **options)

    def noted_aggregate(self, pipeline, **options):
        asked.append({"aggregate": "jobs.runs", "pipeline": pipeline, "cursor": {}})
        return aggregate(self, pipeline, **options)

    monkeypatch.setattr(Collection, "find", noted_find)
    monkeypatch.setattr(Collection, "aggregate", noted_aggregate)
    assert mongo.cluster.waiting_in(EVERYWHERE, T, FAR).keys() == {"job", "other"}
    assert len(mongo.cluster.waiting_of(["job", "other"], 10)) == 2
    assert len(mongo.cluster.later_attempts(EVERYWHERE, T)) == 2
    for command, index in zip(asked, ("waiting_slot", "waiting", "attempts"), strict=True):
        plan = mongo.jobs.database.command("explain", command, verbosity="executionStats")
        assert f"'indexName': '{index}'" in str(plan) and "COLLSCAN" not in str(plan), plan
        assert plan.get("executionStats", plan)["totalDocsExamined"] <= 2, plan


def test_a_node_whose_document_has_no_protocol_speaks_the_first_one(mongo):
    mongo.cluster.join("a", T)
    mongo.jobs.nodes.update_one({"_id": "a"}, {"$unset": {"protocol": ""}})
    assert node(mongo.cluster, "a").protocol == 1


def test_other_processes_learn_from_sqlite_of_jobs_whose_runs_wait(sqlite):
    sqlite.cluster.join("a", T)
    sqlite.cluster.add_waiting("a", [RETRY, OTHERS], ["job"])
    changes = sqlite.connection.tables.changes
    assert sqlite.connection.read(lambda line: line.execute(select(changes.c.job_id)).all()) == [("job",)]


def test_a_database_that_fails_altogether_is_an_error(refusing, monkeypatch):
    def fail(*args: Any, **options: Any) -> None:
        raise driver.BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting"}]})

    monkeypatch.setattr("pymongo.collection.Collection.bulk_write", fail)
    with pytest.raises(StoreUnreachableError):
        refusing.cluster.write_back({"job": (1, T + 10)})


def test_a_node_that_was_killed_in_a_transaction_is_buried_at_once_and_its_jobs_are_free(
    mongo: MongoRig, uri: str, emptied_database: Any
) -> None:
    killed = MongoRig(uri, emptied_database.name)
    mongo.put(job())
    killed.cluster.join("a", T)
    mongo.cluster.join("b", T)
    session = killed.cluster._session
    session.start_transaction()
    killed.cluster._jobs.update_one({"_id": "job"}, {"$set": {"admitted": True}}, session=session)
    killed.cluster._nodes.update_one({"_id": "a"}, {"$inc": {"transactions": 1}}, session=session)
    assert mongo.cluster.bury("a", 0)
    assert mongo.cluster.admit("b", [mongo.cluster.read_jobs(["job"])["job"]], T)
    killed.close()


def test_a_document_whose_id_is_no_text_is_no_job_and_stays_as_it_is(mongo):
    mongo.put(job())
    strange = [{"_id": each, "mine": 1} for each in (5, 5.5, None, True, ObjectId(), {"a": 1}, b"x")]
    mongo.jobs.insert_many(strange)
    assert ids_in(mongo.cluster, EVERYWHERE, T) == {"job"}
    assert set(mongo.cluster.revisions(EVERYWHERE, T)) == {"job"}
    assert [mongo.jobs.find_one({"_id": {"$eq": each["_id"]}}) for each in strange] == strange
