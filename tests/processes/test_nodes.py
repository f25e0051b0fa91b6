"""Nodes as operators see them: gsched node list, show, drain, and the verbs behind them."""

from __future__ import annotations

import signal

import pytest

from gsched import GeventScheduler, NodeNotFoundError

pytest_plugins = ["mongodb", "insight_rig"]


def test_a_living_node_is_listed_with_its_slots_and_its_ages(rig):
    node = rig.node()
    rig.wait_for_slots(node, 256)
    [listed] = rig.json("node", "list")
    assert (listed["state"], listed["pid"], listed["slots"]) == ("alive", node.process.pid, 256)
    assert -0.5 < listed["watermark_age"] < 1
    assert 0 <= listed["beat_age"] < 1
    assert listed["ended_at"] is None and listed["left"] is False
    assert rig.json("node", "show", listed["id"][:-2])["id"] == listed["id"]
    assert rig.json("node", "list", "--state", "dead") == []


def test_a_node_that_ends_has_left_and_one_that_is_killed_has_died(rig):
    ends, dies, stays = rig.node(), rig.node(), rig.node()
    rig.wait_until(lambda: all(rig.node_of(node).slots for node in (ends, dies, stays)), "slots for all")
    assert ends.end() == 0
    dies.end(signal.SIGKILL)
    rig.wait_until(lambda: rig.node_of(dies).state == "dead", "the burial")
    rig.wait_until(lambda: rig.node_of(stays).slots == 256, "the takeover")
    by_pid = {each["pid"]: each for each in rig.json("node", "list")}
    assert by_pid[ends.process.pid]["left"] is True
    assert by_pid[dies.process.pid]["left"] is False
    assert by_pid[dies.process.pid]["ended_at"] is not None
    rig.wait_until(lambda: rig.node_of(dies).watermark_age > 0, "the time that was claimed ahead to pass")


def test_a_job_that_no_node_has_the_executor_for_stays_parked_whoever_takes_it_over(rig):
    rig.add("lonely", trigger={"trigger": "interval", "seconds": 1}, executor="nowhere")
    events = rig.follow("events", "--follow")
    first = rig.node()
    events.wait_for("job.parked", "lonely")
    other = rig.node()
    assert first.end() == 0
    rig.wait_for_slots(other, 256)
    assert rig.scheduler.get_job("lonely").parked == "unknown executor 'nowhere'"


def test_the_beat_of_a_node_that_was_killed_grows_old(rig):
    node = rig.node()
    node.end(signal.SIGKILL)
    rig.wait_until(lambda: rig.node_of(node).beat_age > 1.5, "silence")
    assert rig.node_of(node).state == "alive"  # nobody has declared it dead


def test_drain_has_a_node_hand_over_and_end_whoever_asks(rig):
    drained, other = rig.node(), rig.node()
    rig.wait_until(lambda: rig.node_of(drained).slots and rig.node_of(other).slots, "slots for both")
    node_id = rig.node_of(drained).id
    out, said = rig.run("node", "drain", node_id, "--wait")
    assert out == "" and f"{node_id} has ended" in said
    assert drained.wait() == 0
    assert rig.node_of(drained).left and rig.node_of(drained).drain_requested is not None
    rig.wait_for_slots(other, 256)
    assert rig.node_of(other).state == "alive"
    assert "has ended already" in rig.run("node", "drain", node_id)[1]


def test_a_runner_drains_when_it_is_asked_to(rig):
    runner = rig.start("run", "--drain-timeout", "1s")
    rig.add("long", "sleep", {"trigger": "date"}, args=[60])
    node = rig.wait_until(lambda: rig.node_of(runner), "the runner")
    rig.wait_until(lambda: rig.json("top", "--once")["running"] == 1, "the run")
    rig.run("node", "drain", node.id, "--wait")
    assert runner.wait() == 8  # a run was cut
    assert rig.node_of(runner).left


def test_a_node_hears_once_that_it_is_asked_to_drain(rig):
    deaf = rig.node("deaf")
    node = rig.node_of(deaf)
    assert rig.scheduler.admin.drain_node(node.id).id == node.id
    deaf.wait_for("asked to drain")
    rig.scheduler.admin.drain_node(node.id)
    rig.wait_for_slots(deaf, 256)
    beats = rig.node_of(deaf).watermark
    rig.wait_until(lambda: (rig.node_of(deaf).watermark - beats).total_seconds() > 1.5, "more looks at the nodes")
    assert deaf.end() == 0
    assert deaf._lines.empty()


def test_waiting_for_a_node_that_does_not_drain_ends_with_exit_code_8(rig):
    deaf = rig.node("deaf")
    said = rig.run("node", "drain", rig.node_of(deaf).id, "--wait", "--timeout", "1s", code=8)[1]
    assert "has not begun to" in said
    assert deaf.process.poll() is None


def test_a_node_that_dies_while_it_is_waited_for_is_not_drained(rig):
    deaf, other = rig.node("deaf"), rig.node()
    rig.wait_until(lambda: rig.node_of(other).slots, "slots")
    waiting = rig.start("node", "drain", rig.node_of(deaf).id, "--wait")
    deaf.wait_for("asked to drain")
    deaf.end(signal.SIGKILL)
    assert waiting.wait() == 1
    assert "died before" in waiting.errors[-1]


def test_nodes_are_found_by_what_no_other_has_in_its_id(rig):
    ids = [rig.pretend_node("17-web1-4711-ab"), rig.pretend_node("17-web2-4712-cd")]
    assert "no node has the id 'nonsense'" in rig.run("node", "drain", "nonsense", code=5)[1]
    said = rig.run("node", "show", "17", code=6)[1]
    assert all(node_id in said for node_id in ids)
    rig.run("node", "drain", "web1")
    asked = {node.id: node.drain_requested is not None for node in rig.scheduler.admin.get_nodes()}
    assert asked == {ids[0]: True, ids[1]: False}


def test_a_name_that_is_no_node_cannot_be_drained(rig):
    with pytest.raises(NodeNotFoundError, match="no node has the id 'x'"):
        rig.scheduler.admin.drain_node("x")
    with pytest.raises(NodeNotFoundError, match="no node has the id 'x'"):  # it may have gone since it was looked for
        rig.scheduler.stores["default"].request_drain("x")
    dead = rig.pretend_node("17-web1-4711-ab", state="dead")
    rig.scheduler.stores["default"].request_drain(dead)


def test_a_memory_store_has_no_nodes():
    scheduler = GeventScheduler()
    assert scheduler.admin.get_nodes() == []
    with pytest.raises(NodeNotFoundError):
        scheduler.admin.drain_node("x")
