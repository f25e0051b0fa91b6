"""gsched top: what the schedulers of a store are doing, at a glance."""

from __future__ import annotations

import pytest
from cluster.rig import ReplicaSet

from gsched.activity import Period, together
from gsched.clock import SystemClock
from gsched.stores.mongodb.activity import Publisher
from gsched.timetable import Timetable

pytest_plugins = ["mongodb", "insight_rig"]


def busy(rig):
    """A node with jobs of every kind, that has published what it does."""
    node = rig.node()
    for number in range(5):
        rig.add(f"quick-{number}", trigger={"trigger": "interval", "seconds": 0.1}, tags=["quick", "x"])
    rig.add("failing", "fail", {"trigger": "interval", "seconds": 0.5}, tags=["odd.$tag"])
    rig.add("asleep", "sleep", {"trigger": "date"}, args=[60])
    rig.add("later")
    rig.add("paused")
    rig.scheduler.pause_job("paused")
    by_hand = {"$set": {"func": "nowhere:f", "admitted": False}, "$inc": {"rev": 1}}
    rig.add("parked")
    rig.jobs.update_one({"_id": "parked"}, by_hand)
    rig.wait_until(lambda: rig.scheduler.get_overview().recent.runs > 100, "figures")
    rig.wait_until(lambda: rig.scheduler.get_overview().troubles, "records")
    return node


def test_one_picture_has_the_figures_of_all_parts(rig):
    node = busy(rig)
    seen = rig.json("top", "--once")
    assert seen["jobs"] == {"total": 10, "scheduled": 8, "paused": 1, "parked": 1}
    assert 5 <= seen["due_soon"] <= 7  # those that recur; not what runs once, or in a year
    assert (seen["running"], seen["waiting"], seen["pool_size"]) == (1, 0, 10_000)
    assert 20 < seen["runs_per_second"] < 60
    assert seen["failures"] >= 2
    assert 0 < seen["lateness"]["p50"] <= seen["lateness"]["p95"] <= seen["lateness"]["p99"]
    assert set(seen["tags"]) == {"quick", "odd.$tag"}
    assert seen["tags"]["odd.$tag"]["failed"] == seen["failures"]
    [listed] = seen["nodes"]
    assert (listed["id"], listed["slots"], listed["paused"]) == (rig.node_of(node).id, 256, False)
    assert seen["troubles"][0]["job_id"] == "failing" and seen["troubles"][0]["last_error"] == "no such thing"
    text = rig.run("top", "--once")[0]
    for word in ("due in 1 min", "runs/s", "p99", "odd.$tag", rig.node_of(node).id, "failing", "no such thing"):
        assert word in text
    dead = {"$set": {"state": "dead"}, "$currentDate": {"ended_at": True}}
    node.process.kill()
    rig.jobs.nodes.update_one({"_id": listed["id"]}, dead)
    gone = rig.json("top", "--once")
    assert (gone["running"], gone["due_soon"], gone["nodes"][0]["state"]) == (0, None, "dead")


@pytest.mark.parametrize("fake", ["", "raise ImportError"], ids=["rich", "without rich"])
def test_on_a_terminal_it_refreshes_until_ctrl_c(rig, tmp_path, fake):
    if fake:
        (tmp_path / "rich").mkdir()
        (tmp_path / "rich" / "__init__.py").write_text(fake)
    terminal = rig.on_terminal("top", "--interval", "0.5", PYTHONPATH=str(tmp_path) if fake else "")
    terminal.wait_for("scheduled")
    node_id = rig.pretend_node("17-web1-4711-ab")
    terminal.wait_for(node_id)
    assert terminal.interrupt() == 130
    assert "Traceback" not in terminal.text


def test_it_says_that_the_store_is_away_and_goes_on_when_it_is_back(tmp_path):
    from insight_rig import Rig

    server = ReplicaSet(tmp_path / "set")
    rig = Rig(f"{server.uri}&serverSelectionTimeoutMS=500", "own", tmp_path)
    try:
        terminal = rig.on_terminal("top", "--interval", "0.5")
        terminal.wait_for("scheduled")
        server.members[0].kill()
        terminal.wait_for("does not answer")
        server.members[0].start_again()
        rig.wait_until(server.primary, "a primary")
        rig.pretend_node("17-web1-4711-ab")
        terminal.wait_for("17-web1-4711-ab")
        assert terminal.interrupt() == 130
    finally:
        rig.close()
        server.end_at_once()


def test_an_empty_store_has_a_picture_too(rig):
    assert rig.json("top", "--once")["jobs"] == {"total": 0, "scheduled": 0, "paused": 0, "parked": 0}
    assert "scheduled" in rig.run("top", "--once")[0]


def test_counting_uses_indexes_however_many_jobs_there_are(rig):
    rig.scheduler.prepare_store()
    for wanted in ({"paused": True}, {"parked": {"$type": "string"}}):
        plan = rig.jobs.database.command(
            "explain", {"count": rig.jobs.name, "query": wanted}, verbosity="queryPlanner"
        )["queryPlanner"]["winningPlan"]
        assert "COLLSCAN" not in str(plan)


# -- what is published ----------------------------------------------------------------------------------------------


class Hub:
    """A hub that says what it is told."""

    def __init__(self):
        self.runs = 0

    def activity(self):
        return {
            "outcomes": {"succeeded": self.runs, "failed": 0}, "by_tag": {"a": {"succeeded": self.runs}},
            "lateness": [self.runs, 0], "duration": [0, self.runs],
            "running": 1, "waiting": 0, "pool_size": 5, "due_soon": 3,
        }  # fmt: skip


class Clock(SystemClock):
    time = 0.0

    def monotonic(self):
        return self.time


def test_what_is_published_as_recent_is_of_the_last_minute():
    hub, clock = Hub(), Clock()
    publisher = Publisher(None, clock, hub, lambda: "n", lambda: False)
    publisher._sample()
    for second in range(2, 301, 2):
        clock.time, hub.runs = float(second), second * 10
        document = publisher._document()
    assert document["recent"]["seconds"] == 60
    assert document["recent"]["outcomes"] == {"succeeded": 600}
    assert document["recent"]["by_tag"] == [{"tag": "a", "outcomes": {"succeeded": 600}}]
    assert document["recent"]["lateness"] == [600, 0]
    assert document["totals"]["succeeded"] == 3000
    assert len(publisher._samples) <= 32


def test_periods_of_several_nodes_add_up():
    one = Period(60.0, {"succeeded": 5, "failed": 1}, {"a": {"failed": 1}})
    other = Period(30.0, {"missed": 2, "coalesced": 4}, {"a": {"failed": 2}, "b": {"missed": 2}})
    both = together([one, other])
    assert (both.seconds, both.failures) == (60.0, 3)
    assert both.by_tag == {"a": {"failed": 3}, "b": {"missed": 2}}
    assert together([]).runs_per_second == 0 and together([]).late(0.5) is None


class Entry:
    due = None


def test_what_is_due_until_then_is_counted_up_to_a_limit():
    timetable = Timetable()
    entries = [Entry() for _ in range(300)]
    for number, entry in enumerate(entries):
        timetable.add(entry, number // 3 * 10)
    assert timetable.count_until(-1, 100) == 0
    assert timetable.count_until(0, 100) == 3
    assert timetable.count_until(99, 1000) == 30
    assert timetable.count_until(10_000, 1000) == 300
    assert timetable.count_until(10_000, 50) == 50
    timetable.remove(entries[0])
    assert timetable.count_until(5, 100) == 2
    timetable.pop(5)
    assert timetable.count_until(5, 100) == 1
