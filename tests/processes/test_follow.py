"""Following what happens: gsched events, gsched runs tail, and the verb behind them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime

import pytest
from cluster.rig import Mongod, ReplicaSet
from waiting import wait_until

from gsched import ConfigurationError, GeventScheduler, MongoDBJobStore
from gsched.errors import StoreUnreachableError
from gsched.monitoring.cluster_events import STORE_EVENTS
from gsched.stores.mongodb.driver import connection
from gsched.stores.mongodb.driver.streams import opened

pytest_plugins = ["mongodb", "insight_rig"]


def told(follower, *texts):
    """The next line with these texts, as an object."""
    return json.loads(follower.wait_for(*texts))


# -- jobs -----------------------------------------------------------------------------------------------------------


def test_changes_of_jobs_by_others_are_shown_as_they_happen(rig):
    rig.scheduler.admin.prepare_store()
    events = rig.follow("events", "--follow", "-o", "jsonl")
    rig.add("a")
    added = told(events, "a")
    assert added["event"] == "job.added" and added["at"].endswith("+00:00")
    rig.scheduler.modify_job("a", name="other")
    assert told(events)["event"] == "job.changed"
    rig.scheduler.pause_job("a")
    assert told(events)["event"] == "job.paused"
    rig.scheduler.resume_job("a")
    assert told(events)["event"] == "job.resumed"
    rig.scheduler.run_job("a")
    assert told(events)["event"] == "run.requested"
    rig.add("a", "fail", replace_existing=True)
    assert told(events)["event"] == "job.changed"
    rig.scheduler.remove_job("a")
    assert told(events) == {**told_fields("a"), "event": "job.removed", "at": told_at(events)}


def told_fields(job_id):
    return {"job_id": job_id, "node": None, "slot": None, "details": {}}


def told_at(events):
    return json.loads(events.seen[-1])["at"]


def test_jobs_that_cannot_be_run_are_told_with_the_reason(rig):
    rig.node()
    events = rig.follow("events", "-f", "-o", "jsonl", "--event", "job.*")
    rig.add("lost")
    assert told(events)["event"] == "job.added"
    by_hand = {"$set": {"func": "nowhere:function", "admitted": False}, "$inc": {"rev": 1}}
    rig.jobs.update_one({"_id": "lost"}, by_hand)
    assert told(events)["event"] == "job.changed"
    parked = told(events)
    assert parked["event"] == "job.parked" and "nowhere" in parked["details"]["reason"]


def test_strange_ids_stay_on_their_line(rig):
    rig.scheduler.admin.prepare_store()
    events = rig.follow("events", "-f", "-o", "plain")
    strange = ["line\nbreak", "\x1b[2J", "tab\there", "ünï*[", "a" * 300]
    for job_id in strange:
        rig.add(job_id)
    for _ in strange:
        cells = events.wait_for("job.added").split("\t")
        assert len(cells) == 6 and all(cell.isprintable() for cell in cells)
    assert len(events.seen) == len(strange)


def test_events_that_were_not_asked_for_are_not_shown(rig):
    rig.scheduler.admin.prepare_store()
    rig.add("wanted")
    events = rig.follow("events", "-f", "-o", "jsonl", "--job", "want", "--event", "job.*")
    rig.add("other")
    rig.scheduler.run_job("wanted")
    rig.scheduler.pause_job("wanted")
    assert told(events)["event"] == "job.paused"
    assert len(events.seen) == 1


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool_size", [1, 2])
@pytest.mark.parametrize("followers", [1, 2, 5])
def test_followers_take_no_connection_that_others_need(uri, database, pool_size, followers):
    few = uri + ("&" if "?" in uri else "?") + f"maxPoolSize={pool_size}"
    store = MongoDBJobStore(few, database=database.name)
    scheduler = GeventScheduler(jobstores={"default": store}, modules=["insight_jobs"])
    scheduler.admin.prepare_store()
    told, over = [], threading.Event()

    def listen():
        told.append([fact.name for fact in scheduler.admin.follow(stop=over.is_set)])

    listening = [threading.Thread(target=listen) for _ in range(followers)]
    for each in listening:
        each.start()
    try:
        scheduler.add_job("insight_jobs:succeed", "interval", hours=1, id="a")
        scheduler.modify_job("a", name="other")
        scheduler.run_job("a")
        assert [job.id for job in scheduler.get_jobs()] == ["a"] and len(scheduler.get_runs()) == 1
        scheduler.remove_job("a")
    finally:
        over.set()
        for each in listening:
            each.join(10)
        scheduler.remove_jobstore("default")
    assert len(told) == followers and all(names[0] == "feed.opened" for names in told)


def test_a_connection_that_does_not_get_free_is_a_documented_error(uri, database, monkeypatch):
    monkeypatch.setitem(connection._BULK_LIMITS, "waitQueueTimeoutMS", 50)
    few = uri + ("&" if "?" in uri else "?") + "maxPoolSize=1"
    store = MongoDBJobStore(few, database=database.name)
    scheduler, over = GeventScheduler(jobstores={"default": store}), threading.Event()

    def keep_the_connection():
        with opened(store._connection.jobs(), []) as stream:
            while not over.is_set():
                stream.try_next()

    def is_refused():
        try:
            scheduler.get_jobs()
        except StoreUnreachableError as error:
            return "WaitQueueTimeoutError" in str(error)
        return False

    scheduler.admin.prepare_store()
    keeping = threading.Thread(target=keep_the_connection)
    keeping.start()
    try:
        wait_until(is_refused, "the limit to be reached")
    finally:
        over.set()
        keeping.join(10)
        store.close()


# -- runs -----------------------------------------------------------------------------------------------------------


def test_runs_are_told_as_the_history_records_them(rig):
    rig.node()
    events = rig.follow("events", "-f", "-o", "jsonl", "--event", "run.*")
    tail = rig.follow("runs", "tail", "-o", "jsonl", "--outcome", "failed")
    rig.add("quiet", trigger={"trigger": "interval", "seconds": 0.2})
    rig.add("failing", "fail", {"trigger": "interval", "seconds": 0.3})
    rig.add("asked")
    rig.scheduler.run_job("asked")
    failed = told(events, "run.failed")
    assert (failed["job_id"], failed["details"]["error"]) == ("failing", "no such thing")
    due = datetime.fromisoformat(failed["details"]["run_id"].partition("@")[2])
    assert (datetime.fromisoformat(failed["at"]) - due).total_seconds() < 1
    run = told(tail, "failing")
    assert (run["outcome"], run["error_type"]) == ("failed", "ValueError")
    if not any("run.succeeded" in line for line in events.seen):
        events.wait_for("run.succeeded")
    assert not any("quiet" in line for line in events.seen)  # its successes are not recorded
    assert all(json.loads(line)["outcome"] == "failed" for line in tail.seen)


def test_a_run_that_lasts_is_told_twice_and_whole(rig):
    rig.node()
    events = rig.follow("events", "-f", "-o", "jsonl", "--event", "run.*")
    rig.add("long", "sleep", {"trigger": "date"}, args=[3.3])
    assert told(events)["event"] == "run.running"
    ended = told(events)
    assert (ended["event"], ended["job_id"]) == ("run.succeeded", "long")


@pytest.mark.parametrize("command", [("events", "-f"), ("events",), ("runs", "tail"), ("runs", "list")])
def test_a_job_that_there_never_was_is_not_waited_for(rig, command):
    rig.add("nightly")
    assert "Did you mean 'nightly'?" in rig.run(*command, "--job", "nihgtly", code=5)[1]


def test_a_job_that_is_gone_is_followed_if_there_are_runs_of_it(rig):
    rig.node()
    rig.add("gone", "fail", {"trigger": "date"})
    rig.wait_until(lambda: rig.scheduler.get_runs("gone") and not rig.scheduler.get_job("gone"), "its end")
    assert rig.follow("runs", "tail", "--job", "gone", "-o", "plain").wait_for("gone@")


def test_tail_begins_with_the_last_ones_on_record(rig):
    rig.node()
    rig.add("failing", "fail", {"trigger": "interval", "seconds": 0.2})
    rig.wait_until(lambda: len(rig.scheduler.get_runs(outcome="failed")) > 5, "failures")
    rig.scheduler.pause_job("failing")
    tail = rig.follow("runs", "tail", "-n", "3", "--job", "fail", "-o", "plain")
    for _ in range(3):
        tail.wait_for("failing@")
    times = [line.split("\t")[2] for line in tail.seen]
    assert times == sorted(times)
    assert "did you mean" in rig.run("runs", "tail", "--outcome", "faild", code=2)[1]


# -- nodes and slots ------------------------------------------------------------------------------------------------


def test_nodes_that_come_and_go_are_told_with_their_slots(rig):
    rig.scheduler.admin.prepare_store()
    events = rig.follow("events", "-f", "-o", "jsonl", "--event", "node.*", "--event", "slot.*")
    ends = rig.node()
    node_id = told(events)["node"]
    taken = {told(events, "slot.taken")["slot"] for _ in range(256)}
    assert taken == set(range(256))
    assert told_at(events) and json.loads(events.seen[-1])["node"] == node_id
    rig.scheduler.admin.drain_node(node_id)
    assert told(events)["event"] == "node.drain_requested"
    assert told(events, "node.draining")["node"] == node_id
    assert {told(events, "slot.released")["slot"] for _ in range(256)} == taken
    assert told(events)["event"] == "node.left"
    assert ends.wait() == 0
    dies, stays = rig.node(), rig.node()
    rig.wait_until(lambda: rig.node_of(stays).slots, "slots")
    dies.end(signal.SIGKILL)
    assert told(events, "node.died")["node"] == rig.node_of(dies).id


def test_without_follow_the_past_is_told_and_the_command_ends(rig):
    node = rig.node()
    rig.add("failing", "fail", {"trigger": "date"})
    rig.wait_until(lambda: rig.scheduler.get_runs(), "a record")
    node.end()
    past = [each["event"] for each in rig.json("events")]
    assert past == ["node.joined", "run.failed", "node.left"]
    assert [each["event"] for each in rig.json("events", "--limit", "1")] == ["node.left"]
    assert [each["event"] for each in rig.json("events", "--event", "run.*")] == ["run.failed"]


# -- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("events", "-f"), ("runs", "tail")])
def test_ctrl_c_ends_it_quietly(rig, command):
    follower = rig.follow(*command)
    assert follower.end(signal.SIGINT) == 130
    assert "".join(follower.errors[1:]).strip() == ""


def test_following_ends_when_its_reader_is_gone_though_no_event_comes(rig):
    rig.scheduler.admin.prepare_store()
    reading, writing = os.pipe()
    follower = subprocess.Popen(rig.command("events", "-f"), stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert "following" in follower.stderr.readline()
    os.close(reading)
    try:
        assert follower.wait(10) == 0
        assert follower.stderr.read() == ""
    finally:
        follower.kill()


def test_on_a_terminal_lines_are_aligned(rig):
    rig.scheduler.admin.prepare_store()
    terminal = rig.on_terminal("events", "-f")
    rig.wait_until(lambda: "following" in terminal.text, "the beginning")
    rig.add("a")
    terminal.wait_for("job.added  a")
    assert terminal.interrupt() == 130


# -- without change streams, and when they break ----------------------------------------------------------------------


@pytest.fixture
def make_rig(tmp_path):
    """Makes rigs on servers of the test's own."""
    from insight_rig import Rig

    made = []

    def make(server):
        made.append((server, Rig(server.uri, "own", tmp_path)))
        return made[-1][1]

    yield make
    for server, rig in made:
        rig.close()
        server.end_at_once()


def test_on_a_standalone_server_the_store_is_looked_at_every_second(make_rig, tmp_path):
    server = Mongod(tmp_path / "standalone")
    rig = make_rig(server)
    server.wait_until_up()
    events = rig.follow("events", "-f", "-o", "jsonl")
    assert "a look every second" in events.errors[0]
    rig.add("a")
    assert told(events)["event"] == "job.added"
    rig.scheduler.pause_job("a")
    assert told(events)["event"] == "job.paused"
    rig.add("failing", "fail", {"trigger": "date"})
    assert told(events)["event"] == "job.added"
    node = rig.node()
    assert told(events, "node.joined")["node"] == rig.node_of(node).id
    assert told(events, "run.")["details"]["error"] == "no such thing"
    assert sum("slot.taken" in line for line in events.seen) == 256
    node.end()
    events.wait_for("node.left")


def test_a_stream_that_breaks_is_opened_anew_and_that_is_said(make_rig, tmp_path):
    server = ReplicaSet(tmp_path / "set")
    rig = make_rig(server)
    rig.scheduler.admin.prepare_store()
    events = rig.follow("events", "-f", "-o", "jsonl")
    with server.client() as client:
        lost = {"failCommands": ["getMore"], "errorCode": 286}
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": lost})
    events.wait_for_error("events until it is back are not shown")
    events.wait_for_error("following again")
    rig.add("a")
    assert told(events)["event"] == "job.added"


def test_a_store_that_is_not_there_is_an_error_at_once(rig, tmp_path):
    rig.file.write_text('[store]\nurl = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300"\n')
    assert "the store does not answer" in rig.run("events", "-f", code=4)[1]


def test_a_memory_store_cannot_be_followed():
    with pytest.raises(ConfigurationError, match="there is no store"):
        next(GeventScheduler().admin.follow())
    scheduler = GeventScheduler(jobstores={"default": {"type": "memory"}})
    with pytest.raises(ConfigurationError, match="listen to the scheduler's events"):
        next(scheduler.admin.follow())


def test_every_fact_that_is_told_is_in_the_list(rig):
    from gsched.events import CATALOGUE, code_of
    from gsched.jobs.outcomes import Outcome

    assert {CATALOGUE[code_of(outcome)].name for outcome in Outcome} <= set(STORE_EVENTS)
    facts = rig.scheduler.admin.follow(stop=lambda: False)
    assert next(facts).name == "feed.opened"
    rig.add("a")
    assert next(fact for fact in facts if fact.job_id == "a").name in STORE_EVENTS
    facts.close()


def test_importing_the_command_imports_no_driver():
    program = "import sys; from gsched.cli.commands import doctor, events, node, runs_tail, top\n"
    program += "print([name for name in ('gevent', 'pymongo', 'rich') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
