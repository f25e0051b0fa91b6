"""gsched doctor: every fault that a store can have is found, with what to do; and a healthy one has none."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cluster.rig import Mongod, ReplicaSet
from pymongo import MongoClient

from gsched import MongoDBJobStore
from gsched.jobs.funcref import UnresolvedFunctions
from gsched.monitoring import doctor
from gsched.stores.durable import node_checks
from gsched.stores.mongodb.operations import doctor as diagnosis
from gsched.times.clock import SystemClock

pytest_plugins = ["mongodb", "insight_rig"]


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch):
    """Nothing changes hands while these tests look."""
    monkeypatch.setattr(node_checks, "_LOOK_AGAIN_SECONDS", 0)


@pytest.fixture
def prepared(rig):
    """A rig whose store has its collections, and a node that owns all slots."""
    rig.scheduler.admin.prepare_store()
    rig.pretend_node("17-web1-4711-ab")
    rig.jobs.slots.update_many({}, {"$set": {"owner": "17-web1-4711-ab", "attached": True}})
    return rig


def troubles(rig):
    """What is not well, by the check."""
    found = [finding for finding in rig.scheduler.admin.diagnose() if finding.verdict != doctor.OK]
    assert all(finding.remedy for finding in found)
    return {finding.check: finding for finding in found}


def change_node(rig, **fields):
    rig.jobs.nodes.update_one({}, {"$set": fields})


def ago(seconds):
    return datetime.now(UTC) - timedelta(seconds=seconds)


# -- the command ----------------------------------------------------------------------------------------------------


def test_a_healthy_store_with_a_node_that_runs_has_no_troubles(rig):
    node = rig.node()
    rig.wait_for_slots(node, 256)
    findings = rig.json("doctor")
    assert {finding["verdict"] for finding in findings} == {"ok"}
    assert not any(finding["remedy"] for finding in findings)
    checks = [finding["check"] for finding in findings]
    assert checks == [
        *("versions", "patching", "resolver", "embedded MongoDB", "file rights", "server", "replica set"),
        *("change streams", "clock skew", "indexes", "parked jobs", "paused jobs", "nodes", "slots"),
        *("overdue jobs", "retries", "overlap", "group rates", "group sizes", "notifiers"),
    ]


def test_a_problem_gives_exit_code_1_and_a_warning_0(prepared):
    assert prepared.json("doctor")
    change_node(prepared, drain_requested=ago(60))
    assert any(finding["verdict"] == "warning" for finding in prepared.json("doctor"))
    prepared.jobs.drop_index("listing")
    out, _ = prepared.run("doctor", code=1)
    assert "indexes\tproblem\tmissing: jobs.listing\trun `gsched store init`" in out
    prepared.run("store", "init")
    prepared.run("doctor")


def test_a_store_that_has_never_been_used_has_no_troubles(rig):
    assert troubles(rig) == {}


def test_a_store_that_does_not_answer_is_a_problem_and_the_rest_is_said(rig):
    rig.file.write_text('[store]\nurl = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300"\n')
    findings = rig.json("doctor", code=1)
    assert [finding["check"] for finding in findings if finding["verdict"] == "problem"] == ["server"]
    assert findings[0]["check"] == "versions"


def test_without_a_store_in_reach_the_machine_is_looked_at(tmp_path):
    command = [sys.executable, "-m", "gsched", "doctor", "--memory", "-o", "plain"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "versions\tok\tPython 3" in done.stdout
    assert "store\twarning\tnot looked at: a memory store" in done.stdout


# -- nodes and slots --------------------------------------------------------------------------------------------------


def test_slots_without_an_owner_are_a_problem_while_nodes_live(prepared):
    prepared.jobs.slots.update_many({"_id": {"$lt": 3}}, {"$set": {"owner": None}})
    assert "3 of 256 have no owner" in troubles(prepared)["slots"].found
    change_node(prepared, state="dead", left=True)
    prepared.jobs.slots.update_many({}, {"$set": {"owner": None}})
    assert troubles(prepared) == {}


def test_a_slot_whose_owner_is_not_even_null_has_none(prepared):
    prepared.jobs.slots.update_one({"_id": 5}, {"$unset": {"owner": ""}})
    assert troubles(prepared)["slots"].found.startswith("1 of 256 have no owner")


def test_slots_that_only_change_hands_are_no_problem(prepared, monkeypatch):
    first, second = {1: None, 2: None, 3: "a"}, {1: "a", 2: "a", 3: None}
    looks = [node_checks.Owners(owners, {"a"}) for owners in (first, second)]
    monkeypatch.setattr(diagnosis, "_owners", lambda jobs: looks.pop(0))
    assert troubles(prepared) == {}


def test_slots_of_nobody_who_is_known_are_a_problem(prepared):
    prepared.jobs.slots.update_one({"_id": 7}, {"$set": {"owner": "13-gone"}})
    found = troubles(prepared)["slots"]
    assert "1 of 256 belong to nodes that are not known: 13-gone" in found.found
    assert "updateMany({owner: {$in: ['13-gone']}}" in found.remedy


def test_a_watermark_that_stands_still_while_the_node_beats_is_a_problem(prepared):
    change_node(prepared, watermark=ago(42))
    found = troubles(prepared)["nodes"]
    assert found.verdict == doctor.PROBLEM and re.search(r"stood still for [45]\d s", found.found)


def test_a_node_that_is_paused_is_a_warning(prepared):
    change_node(prepared, watermark=ago(42))
    prepared.jobs.activity.insert_one({"_id": "17-web1-4711-ab", "paused": True})
    found = troubles(prepared)["nodes"]
    assert found.verdict == doctor.WARNING and re.search(r"has been paused for [45]\d s", found.found)


def test_a_node_that_drains_for_long_is_a_warning(prepared):
    change_node(prepared, draining=True, watermark=ago(100))
    assert re.search(r"has been draining for 1\d\d s", troubles(prepared)["nodes"].found)
    change_node(prepared, draining=True, watermark=ago(10))
    assert "nodes" not in troubles(prepared)


def test_a_node_that_does_not_listen_to_drain_is_a_warning(prepared):
    change_node(prepared, drain_requested=ago(30))
    assert "was asked to drain at" in troubles(prepared)["nodes"].found


def test_a_node_that_is_silent_is_a_warning(prepared):
    change_node(prepared, beat_at=ago(30), watermark=ago(30))
    found = troubles(prepared)["nodes"]
    assert re.search("has sent no heartbeat for 3[0-9] s", found.found) and "start a node" in found.remedy


def test_dead_nodes_that_still_own_slots_are_a_problem_if_others_live(prepared):
    change_node(prepared, state="dead")
    found = troubles(prepared)["nodes"]
    assert found.verdict == doctor.WARNING and "still owns 256 slots" in found.found
    prepared.pretend_node("18-web2-4712-cd")
    assert troubles(prepared)["nodes"].verdict == doctor.PROBLEM


def test_a_node_that_was_killed_alone_is_found(rig):
    node = rig.node()
    rig.wait_for_slots(node, 256)
    node.end(signal.SIGKILL)
    rig.wait_until(lambda: rig.node_of(node).beat_age > 2, "silence")
    assert set(troubles(rig)) == {"nodes"}


# -- jobs and indexes -------------------------------------------------------------------------------------------------


def test_parked_jobs_are_a_problem_with_their_reasons(prepared):
    for number in range(7):
        prepared.add(f"job-{number}")
    prepared.jobs.update_many({}, {"$set": {"parked": "no module named 'x'"}})
    found = troubles(prepared)["parked jobs"]
    assert found.verdict == doctor.PROBLEM
    assert "7 cannot be run: job-" in found.found and "no module named 'x'" in found.found


@pytest.mark.parametrize(
    ("collection", "index"),
    [("jobs", "slot_next_run_time"), ("jobs", "parked"), ("jobs.runs", "expires_at"), ("jobs.nodes", "settled_at")],
)
def test_missing_indexes_are_a_problem(prepared, collection, index):
    prepared.jobs.database[collection].drop_index(index)
    assert troubles(prepared)["indexes"].found == f"missing: {collection}.{index}"


@pytest.mark.parametrize(
    ("index", "expiry"), [({"expireAfterSeconds": 7200}, "after 7200 s"), ({"name": "our_own"}, "never")]
)
def test_documents_that_expire_otherwise_are_a_problem(prepared, index, expiry):
    prepared.jobs.runs.drop_index("expires_at")
    prepared.jobs.runs.create_index("expires_at", **index)
    found = troubles(prepared)["indexes"]
    assert found.verdict == doctor.PROBLEM
    assert found.found == f"documents expire otherwise: jobs.runs.expires_at ({expiry}, not after 0 s)"


def test_documents_whose_id_is_no_text_are_a_warning_and_found_by_the_index(prepared):
    prepared.add("5")
    prepared.jobs.insert_one({"_id": 5})
    found = troubles(prepared)["ids of jobs"]
    assert (found.verdict, found.found) == (doctor.WARNING, "documents in jobs whose _id is no text are ignored: 5")
    plan = {"explain": {"find": "jobs", "filter": dict(diagnosis._UNNAMED)}, "verbosity": "executionStats"}
    assert prepared.jobs.database.command(plan)["executionStats"]["totalDocsExamined"] == 1


# -- the server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("off", "direction"), [(7.0, "7.0 s ahead of"), (-90.0, "90.0 s behind")])
def test_clock_skew_is_a_warning(prepared, off, direction):
    class Wrong(SystemClock):
        def now_ms(self):
            return super().now_ms() + int(off * 1000)

    prepared.store.bind("default", Wrong(), UnresolvedFunctions())
    found = troubles(prepared)["clock skew"]
    assert found.verdict == doctor.WARNING and direction in found.found


def test_a_standalone_server_is_a_warning(tmp_path):
    server = Mongod(tmp_path / "standalone")
    try:
        server.wait_until_up()
        with_troubles = findings_of(server.uri)
        assert {check for check, finding in with_troubles.items() if finding.verdict != doctor.OK} == {
            "replica set", "change streams",
        }  # fmt: skip
        assert "--replSet" in with_troubles["replica set"].remedy
    finally:
        server.end_at_once()


def test_change_streams_that_cannot_be_opened_are_found(tmp_path):
    server = ReplicaSet(tmp_path / "set")
    try:
        with server.client() as client:
            broken = {"failCommands": ["aggregate"], "errorCode": 286, "namespace": "own.$cmd.aggregate"}
            client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": broken})
            found = findings_of(server.uri)["change streams"]
            assert found.verdict == doctor.PROBLEM and "286" in found.found
            denied = {**broken, "errorCode": 13}
            client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": denied})
            found = findings_of(server.uri)["change streams"]
            assert found.verdict == doctor.WARNING and "privilege" in found.remedy
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
            assert findings_of(server.uri)["change streams"].verdict == doctor.OK
    finally:
        server.end_at_once()


def test_a_part_that_cannot_be_looked_at_is_a_problem_and_the_others_are_looked_at(tmp_path):
    server = ReplicaSet(tmp_path / "set")
    try:
        with server.client() as client:
            denied = {"failCommands": ["listCollections"], "errorCode": 13}
            client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": denied})
            found = findings_of(server.uri)
        assert found["indexes"].verdict == doctor.PROBLEM and "could not be looked at" in found["indexes"].found
        assert found["slots"].verdict == doctor.OK
    finally:
        server.end_at_once()


def findings_of(uri):
    store = MongoDBJobStore(client=MongoClient(uri), database="own")
    store.bind("default", SystemClock(), UnresolvedFunctions())
    try:
        return {finding.check: finding for finding in store.diagnose()}
    finally:
        store.close()


# -- this process -----------------------------------------------------------------------------------------------------


def test_a_process_that_runs_jobs_and_is_not_patched_has_a_problem():
    patching = [finding for finding in doctor.environment_findings(runs_jobs=True) if finding.check == "patching"]
    assert patching[0].verdict == doctor.PROBLEM and "patch_all" in patching[0].remedy


def test_old_packages_are_a_problem(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda package: {"pymongo": "4.9.1"}.get(package, "99.0"))
    versions = next(doctor.environment_findings(runs_jobs=False))
    assert versions.verdict == doctor.PROBLEM and versions.remedy == "upgrade: at least pymongo 4.20"


def test_a_resolver_that_blocks_is_a_warning():
    program = "from gsched.monitoring import doctor; print([f.verdict for f in doctor.environment_findings(False)][2])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"GEVENT_RESOLVER": "block"}
    )
    assert done.stdout == "warning\n"


def test_the_doctor_says_that_there_is_no_mongod(monkeypatch, tmp_path):
    monkeypatch.setenv("GSCHED_MONGOD", str(tmp_path / "missing"))
    embedded = list(doctor.environment_findings(runs_jobs=False))[3]
    assert embedded.verdict == doctor.OK and "gsched[embedded-mongodb]" in embedded.found
