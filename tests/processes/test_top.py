"""gsched top: what the schedulers of a store are doing, at a glance."""

from __future__ import annotations

import json
import subprocess

import pytest
from cluster.rig import ReplicaSet
from command_line import gsched
from runner_rig import GSCHED, running, write
from waiting import wait_until

from gsched.cli.commands.top_panels import top_panels
from gsched.hub.timetable import Timetable
from gsched.monitoring.activity import NodeActivity, Overview, Period, together
from gsched.monitoring.loop_shares import LoopShares
from gsched.monitoring.troubles import PastRun, groups_of, troubles_of
from gsched.runner.exit_codes import Exit
from gsched.stores.durable.publisher import Publisher
from gsched.times.clock import SystemClock

pytest_plugins = ["mongodb", "insight_rig"]


def text_before(text, first, second):
    return 0 <= text.index(first) < text.index(second)


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
    rig.wait_until(lambda: rig.scheduler.admin.get_overview().recent.runs > 100, "figures")
    rig.wait_until(lambda: rig.scheduler.admin.get_overview().troubles, "records")
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
    assert [group["tag"] for group in seen["groups"]] == ["odd.$tag"]
    assert seen["groups"][0]["error"] == "ValueError: no such thing" and seen["groups"][0]["jobs"] == 1
    assert set(seen["lateness_by_pool"]) == {"default"}
    assert seen["alarms"] == ["1 jobs are parked: gsched job list --state parked"]
    assert text_before(text, "failing", "due in 1 min")
    for word in ("due in 1 min", "runs/s", "p99", "odd.$tag", rig.node_of(node).id, "failing", "no such thing"):
        assert word in text
    dead = {"$set": {"state": "dead"}, "$currentDate": {"ended_at": True}}
    node.process.kill()
    rig.jobs.nodes.update_one({"_id": listed["id"]}, dead)
    gone = rig.json("top", "--once")
    assert (gone["running"], gone["due_soon"], gone["nodes"][0]["state"]) == (0, None, "dead")
    assert gone["alarms"][0] == "no runner is alive: nothing runs until `gsched run` is started"


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


def test_top_says_that_the_store_is_away_and_goes_on_when_it_is_back(tmp_path):
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
    rig.scheduler.admin.prepare_store()
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
            "lateness": [self.runs, 0], "late_by_pool": {"default": [self.runs, 0]}, "duration": [0, self.runs],
            "running": 1, "waiting": 0, "pool_size": 5, "due_soon": 3, "groups": [], "loop": None,
        }  # fmt: skip


class Clock(SystemClock):
    time = 0.0

    def monotonic(self):
        return self.time


def test_the_published_recent_activity_is_that_of_the_last_minute():
    hub, clock = Hub(), Clock()
    publisher = Publisher(None, clock, hub, lambda: "n", lambda: False)
    publisher._last_minute.sample()
    for second in range(2, 301, 2):
        clock.time, hub.runs = float(second), second * 10
        document = publisher._document()
    assert document["recent"]["seconds"] == 60
    assert document["recent"]["outcomes"] == {"succeeded": 600}
    assert document["recent"]["by_tag"] == [{"tag": "a", "outcomes": {"succeeded": 600}}]
    assert document["recent"]["lateness"] == [600, 0]
    assert document["totals"]["succeeded"] == 3000
    assert document["recent"]["pools"] == [{"pool": "default", "lateness": [600, 0]}]
    assert len(publisher._last_minute._samples) <= 32


def test_periods_of_several_nodes_add_up():
    one = Period(60.0, {"succeeded": 5, "failed": 1}, {"a": {"failed": 1}})
    other = Period(30.0, {"missed": 2, "coalesced": 4}, {"a": {"failed": 2}, "b": {"missed": 2}})
    both = together([one, other])
    assert (both.seconds, both.failures, both.misses, both.skips) == (60.0, 1, 2, 0)
    assert both.by_tag == {"a": {"failed": 3}, "b": {"missed": 2}}
    assert together([]).runs_per_second == 0 and together([]).late(0.5) is None


class Entry:
    due = None


def test_due_instants_are_counted_up_to_a_limit():
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


# -- trouble --------------------------------------------------------------------------------------------------------


def past(job_id, outcome, error_type=None, error=None, tag="", seconds=None):
    return PastRun(job_id, tag, outcome, error_type, error, seconds)


def test_failures_alike_are_one_group_by_tag_and_error():
    runs = [
        *(past(f"eu-{n}", "failed", "OSError", f"host 10.0.0.{n} at 0x7f{n}: 'x{n}'", "eu") for n in range(50)),
        *(past("us-1", "failed", "OSError", "host 10.0.1.1", "us") for _ in range(3)),
        *(past("slow", "skipped", None, "max_instances", "us") for _ in range(90)),
        past("good", "succeeded", seconds=9.0),
    ]
    assert [(g.tag, g.outcome, g.error, g.count, g.jobs, g.latest_job_id) for g in groups_of(runs)] == [
        ("eu", "failed", "OSError: host #.#.#.# at #: #", 50, 50, "eu-0"),
        ("us", "failed", "OSError: host #.#.#.#", 3, 1, "us-1"),
        ("us", "skipped", "max_instances", 90, 1, "slow"),
    ]


def test_failures_skips_and_misses_of_a_job_are_counted_apart_and_failures_come_first():
    runs = [
        *(past("skips", "skipped", None, "max_instances") for _ in range(9)),
        past("fails", "timed_out", None, None, seconds=5.0),
        past("fails", "missed"),
        past("slow", "succeeded", seconds=60.0),
    ]
    assert [(t.job_id, t.failures, t.skips, t.misses, t.longest) for t in troubles_of(runs)] == [
        ("fails", 1, 0, 1, 5.0), ("skips", 0, 9, 0, None), ("slow", 0, 0, 0, 60.0),
    ]  # fmt: skip


def test_the_tag_in_trouble_comes_before_the_busiest():
    by_tag = {f"busy-{n}": {"succeeded": 1000 - n} for n in range(99)}
    recent = Period(60.0, {}, {**by_tag, "rare": {"failed": 1}, "skips": {"skipped": 5}})
    overview = Overview({}, (), (activity(recent),), ())
    (tags,) = [panel for panel in top_panels(overview) if panel.title.startswith("tags")]
    assert [row[0] for row in tags.rows[:3]] == ["rare", "skips", "busy-0"]
    assert tags.rows[0] == ("rare", "1", "1", "0", "0") and tags.rows[-1] == ("and 89 more",)


def activity(recent, **what):
    known = {"running": 0, "waiting": 0, "pool_size": 1, "due_soon": 0, "paused": False, "age": 0.0}
    return NodeActivity(node="n", recent=recent, totals={}, **{**known, **what})


def test_lateness_is_shown_for_each_pool():
    slow = (0,) * 9 + (10,) + (0,) * 7
    fast = (10,) + (0,) * 16
    recent = Period(60.0, {}, {}, slow, fast, {"threads": slow, "default": fast})
    overview = Overview({}, (), (activity(recent),), ())
    (times,) = [panel for panel in top_panels(overview) if panel.title.startswith("sec")]
    assert times.rows[:2] == [
        ("late in default", "<=0.001", "<=0.001", "<=0.001"), ("late in threads", "<=1.000", "<=1.000", "<=1.000"),
    ]  # fmt: skip


def test_the_jobs_that_hold_the_event_loop_are_named():
    loop = LoopShares(0.3, 0.05, 0.1, {"report": 0.25, "poll": 0.04, "tiny": 0.0004})
    overview = Overview({}, (), (activity(Period(60.0, {}, {}), loop=loop),), ())
    (holders,) = [panel for panel in top_panels(overview) if "event loop" in panel.title]
    assert holders.rows == [("n", "30.0%", "5.0%", "10.0%", "report 25.0%, poll 4.0%")]


def test_who_holds_the_event_loop_of_a_node_is_published(rig):
    rig.node()
    rig.add("works", "succeed", {"trigger": "interval", "seconds": 0.1})
    rig.wait_until(lambda: any(each["by_job"] for each in rig.json("top", "--once")["loops"]), "a window with the job")
    (loop,) = rig.json("top", "--once")["loops"]
    assert [each["job_id"] for each in loop["by_job"]] == ["works"]
    assert 0 < loop["jobs"] + loop["gsched"] < 1


def test_runs_that_last_are_shown_with_their_node(rig):
    rig.node()
    rig.add("hangs", "sleep", {"trigger": "date"}, args=[60])
    rig.wait_until(lambda: rig.json("top", "--once")["in_progress"], "the run in progress")
    (run,) = rig.json("top", "--once")["in_progress"]
    assert (run["job_id"], run["run_id"].partition("@")[0]) == ("hangs", "hangs") and run["node"]


# -- over the probe port --------------------------------------------------------------------------------------------


def test_a_runner_with_a_memory_store_is_looked_at_over_its_probe_port(tmp_path):
    application = """
        import gevent
        from gsched import GeventScheduler
        executors = {"default": {"type": "greenlet", "size": 1}, "more": {"type": "greenlet"}}
        scheduler = GeventScheduler(executors=executors)
        def fail(): raise ValueError("no 17")
        scheduler.add_job(fail, "interval", seconds=0.05, id="fails", tags=["t"], executor="more")
        scheduler.add_job(gevent.sleep, "date", args=[60], id="hangs")
        scheduler.add_job(gevent.sleep, "date", args=[60], id="waits")
        """
    write(tmp_path / "app.py", application)
    with running(tmp_path, "-A", "app", "--memory", "--probe", "0", until="probe.opened") as runner:
        (opened,) = runner.lines("probe.opened")
        command = [*GSCHED, "top", "--once", "--probe", opened["address"]]

        def look(*more):
            return subprocess.run([*command, *more], capture_output=True, text=True, timeout=30, check=True).stdout

        def calm():
            """What is seen while no run of the job that fails waits for a worker, as each does for a moment."""
            seen = json.loads(look("-o", "json"))
            return seen if seen["groups"] and seen["waiting"] == 1 else None

        seen = wait_until(calm, "failures")
        (group,) = seen["groups"]
        assert (group["tag"], group["error"], group["latest_job_id"]) == ("t", "ValueError: no #", "fails")
        assert seen["troubles"][0]["job_id"] == "fails"
        assert {run["job_id"] for run in seen["in_progress"]} >= {"hangs", "waits"}
        assert set(seen["lateness_by_pool"]) == {"more"}  # of the other, no run has ended
        assert seen["alarms"] == ["gsched: 1 runs wait for a worker"]
        assert text_before(look(), "ValueError: no #", "due in 1 min")


def test_top_says_that_no_runner_listens(tmp_path):
    done = gsched("top", "--once", "--memory", directory=tmp_path)
    assert (done.out, done.code) == ("", Exit.UNHEALTHY) and "nobody answers at 127.0.0.1:8788" in done.err
