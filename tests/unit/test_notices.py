"""Notifications: who gets messages, how often, and how broken channels are handled, on a manual clock."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gsched import GeventScheduler, IntervalTrigger
from gsched.events import (
    EVENT_JOB_EXECUTED,
    EVENT_JOB_WARNED,
    EVENT_NOTIFIER_FAILED,
    EVENT_NOTIFIER_RECOVERED,
    SchedulerEvent,
)
from gsched.events.catalogue import EVENT_NODE_DIED, EVENT_STORE_CONNECTED, EVENT_STORE_DISCONNECTED
from gsched.jobs.job import Job
from gsched.notices import Notifier, WebHook
from gsched.notices.channels.channel import Channel, PerRunChannel
from gsched.notices.message import Message, batches_of
from gsched.notices.notice import KINDS
from gsched.notices.outbox import BURST
from gsched.runner.declared_notifiers import TYPES
from gsched.runner.runner_watch import RunnerWatch
from gsched.schedulers.engine import engine_of
from gsched.schedulers.verbs.admin import AdminVerbs
from gsched.testing import Driver, ManualClock

acts: dict[str, str] = {}  # what each job's runs do: F fails; beyond the end they succeed


def play(job_id: str) -> None:
    act, acts[job_id] = acts.get(job_id, "")[:1], acts.get(job_id, "")[1:]
    if act == "F":
        raise ConnectionError("vendor down")
    if act == "V":
        raise ValueError("bad data")


class Recorder(Channel):
    """Keeps messages. While it is broken, it raises."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tries = 0
        self.broken = False

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.broken:
            raise ConnectionRefusedError("nobody listens")
        self.messages.append(message)

    def where(self) -> str:
        return "here"

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.messages]


class RunRecorder(PerRunChannel):
    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []

    def report(self, state: str, run_id: str, text: str) -> None:
        self.reports.append((state, text))

    def where(self) -> str:
        return "here"


@pytest.fixture(autouse=True)
def in_greenlets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The channels of these tests do not block, so their calls need no threads."""
    monkeypatch.setattr("gsched.notices.sending.is_module_patched", lambda module: True)
    acts.clear()
    yield


class Rig:
    """A scheduler with notifiers on a manual clock."""

    def __init__(self, *notifiers: Notifier) -> None:
        self.clock = ManualClock("2026-03-02 12:00")
        self.scheduler = GeventScheduler(
            clock=self.clock, timezone="UTC", notifiers=notifiers, blocked_hub_after=None, run_events="none",
            modules=[__name__],
        )  # fmt: skip
        self.driver = Driver(self.scheduler, self.clock)

    def add(self, job_id: str, script: str, seconds: float = 60, **options: Any) -> None:
        acts[job_id] = script
        self.scheduler.add_job(play, "interval", args=[job_id], id=job_id, seconds=seconds, **options)


# -- who gets messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "abcd"),
        ({"jobs": ["a"]}, "ad"),
        ({"jobs": ["?"], "all_jobs": False}, "abcd"),
        ({"tags": ["prod", "x"]}, "bd"),
        ({"groups": ["host:*"]}, "cd"),
        ({"all_jobs": False}, "d"),
        ({"jobs": ["a"], "tags": ["prod"]}, "abd"),
    ],
)
def test_a_notifier_is_for_the_jobs_that_it_names_and_for_those_that_name_it(options, told):
    trigger, channel = IntervalTrigger(minutes=1, timezone="UTC"), Recorder()
    notifier = Notifier("ops", channel, **options)
    jobs = [Job(name, play, trigger, "x:y", next_run_ms=0) for name in "abcd"]
    jobs[1] = jobs[1].evolve(tags=("prod",))
    jobs[2] = jobs[2].evolve(policy=jobs[2].policy.with_changes(group="host:a"))
    jobs[3] = jobs[3].evolve(policy=jobs[3].policy.with_changes(notify=("other", "ops")))
    assert "".join(job.id for job in jobs if notifier.is_for(job)) == told


def test_only_final_failures_and_chosen_events_are_reported():
    everything, failures = Recorder(), Recorder()
    rig = Rig(Notifier("all", everything), Notifier("failures", failures, events=["failed"], jobs=["r*"]))
    with rig.driver as driver:
        rig.add("retried", "FF", retries=2, retry_delay=1)
        rig.add("given-up", "FFFF", retries=1, retry_delay=1, max_consecutive_failures=1)
        rig.add("r", "V")
        driver.advance(minutes=3)
    assert everything.subjects == [
        "r failed: ValueError: bad data",
        "given-up failed: ConnectionError: vendor down",
        "given-up was paused after too many failures: 1 failure; last: ConnectionError: vendor down",
        "r works again",
    ]
    assert failures.subjects == ["r failed: ValueError: bad data"]


def test_notifiers_for_all_jobs_report_events_about_no_job():
    everything, one = Recorder(), Recorder()
    rig = Rig(Notifier("all", everything), Notifier("one", one, jobs=["a"]))
    with rig.driver as driver:
        bus = engine_of(rig.scheduler).bus
        bus.emit(SchedulerEvent(EVENT_NODE_DIED, "default", node="n1"))
        bus.emit(SchedulerEvent(EVENT_STORE_DISCONNECTED, "short", error_message="x"))
        bus.emit(SchedulerEvent(EVENT_STORE_DISCONNECTED, "long", error_message="no server"))
        driver.advance(seconds=20)
        bus.emit(SchedulerEvent(EVENT_STORE_CONNECTED, "short"))
        driver.advance(seconds=20)
        bus.emit(SchedulerEvent(EVENT_STORE_CONNECTED, "long"))
        driver.advance(seconds=20)
    assert everything.subjects == [
        "The node n1 died", "The store long does not answer: no server", "The store long works again",
    ]  # fmt: skip
    assert one.messages == []


# -- how often --------------------------------------------------------------------------------------------------------


def test_failures_and_recoveries_of_a_job_are_reported_in_order():
    channel = Recorder()
    rig = Rig(Notifier("ops", channel, every="5m"))
    with rig.driver as driver:
        rig.add("job", "F-FV-")
        driver.advance(minutes=20)
    assert channel.subjects == [
        "job failed: ConnectionError: vendor down",
        "job works again",
        "job failed: ValueError: bad data",
        "job failed 1 more time: ConnectionError: vendor down",
        "job works again",
    ]


def test_ten_thousand_failures_in_a_minute_make_few_messages_and_all_are_counted():
    channel = Recorder()
    rig = Rig(Notifier("ops", channel, every="10m"))
    with rig.driver as driver:
        rig.scheduler.pause()
        for number in range(1000):
            rig.add(f"job-{number}", "F" * 10, seconds=6)
        rig.scheduler.resume()
        driver.advance(minutes=1)
        rig.scheduler.pause()
        in_a_minute = len(channel.messages)
        driver.advance(minutes=30)
    counted = [notice for message in channel.messages for notice in message.notices if notice["event"] == "failed"]
    assert in_a_minute <= BURST + 1
    assert sum(notice["count"] for notice in counted) == 10_000
    assert len({notice["job_id"] for notice in counted}) == 201  # of the rest there is one number
    assert len(channel.messages) <= BURST + BURST * 3.1


@pytest.mark.parametrize(
    ("due", "tokens", "sizes"),
    [(0, 5, []), (1, 5, [1]), (3, 5, [1, 1, 1]), (4, 5, [4]), (3, 2.9, [3]), (1, 1, [1]), (9, 0.9, [])],
)
def test_a_few_notices_have_a_message_each_and_many_share_one(due, tokens, sizes):
    assert [len(batch) for batch in batches_of([object()] * due, tokens)] == sizes  # type: ignore[list-item]


# -- channels that do not work ----------------------------------------------------------------------------------------


def test_a_channel_that_is_dead_for_an_hour_is_tried_again_until_all_is_sent():
    dead, alive = Recorder(), Recorder()
    dead.broken = True
    rig = Rig(Notifier("dead", dead, events=["failed"]), Notifier("alive", alive, events=["notifier_failed"]))
    with rig.driver as driver:
        rig.add("a", "F" * 60)
        rig.add("b", "V" * 60)
        driver.advance(hours=1)
        assert dead.messages == [] and 8 <= dead.tries <= 13
        assert alive.subjects == ["The notifier dead does not get through: ConnectionRefusedError: nobody listens"]
        assert len(driver.of(EVENT_NOTIFIER_FAILED)) == 1 and driver.of(EVENT_NOTIFIER_FAILED)[0].notifier == "dead"
        assert [finding.found for finding in rig.scheduler.admin.diagnose_stores() if finding.check == "notifiers"] == [
            "dead: no message was sent for 59 min (ConnectionRefusedError: nobody listens)"
        ]
        states = {status.name: status for status in rig.scheduler.admin.get_notifiers()}
        assert (states["dead"].sent_at, states["dead"].waiting, states["alive"].error) == (None, 2, None)
        dead.broken = False
        driver.advance(minutes=30)
    assert len(driver.of(EVENT_NOTIFIER_RECOVERED)) == 1
    told = [(notice["job_id"], notice["count"]) for message in dead.messages for notice in message.notices]
    assert sorted(told) == [("a", 60), ("b", 60)] and len(dead.messages) <= 2


def test_a_per_run_channel_reports_each_run():
    runs, rig_channel = RunRecorder(), Recorder()
    rig = Rig(Notifier("check", runs, jobs=["job"]), Notifier("ops", rig_channel, events=["failed"]))
    with rig.driver as driver:
        rig.add("job", "-F")
        rig.add("other", "F")
        driver.advance(minutes=2.5)
    assert runs.reports == [("started", ""), ("succeeded", ""), ("started", ""), ("failed", "vendor down")]


def test_a_failure_right_before_a_shutdown_is_reported_before_it_ends():
    channel = Recorder()
    rig = Rig(Notifier("ops", channel))
    with rig.driver as driver:
        rig.add("job", "F")
        driver.advance(minutes=1)
        assert channel.messages == []
    assert channel.subjects == ["job failed: ConnectionError: vendor down"]


def test_successful_runs_are_listened_to_only_while_a_recovery_is_awaited():
    rig = Rig(Notifier("ops", Recorder(), every="5m"))
    bus = engine_of(rig.scheduler).bus
    plain = Rig()
    plain.driver.scheduler.remove_listener(plain.driver._record)
    rig.scheduler.remove_listener(rig.driver._record)
    plain.scheduler.start()
    assert not engine_of(plain.scheduler).bus.mask & EVENT_JOB_EXECUTED
    plain.scheduler.shutdown()
    with rig.driver as driver:
        rig.add("job", "-F-")
        assert not bus.mask & EVENT_JOB_EXECUTED
        driver.advance(minutes=2)
        assert bus.mask & EVENT_JOB_EXECUTED
        driver.advance(minutes=2)
        assert not bus.mask & EVENT_JOB_EXECUTED


# -- no runner --------------------------------------------------------------------------------------------------------


def test_a_missing_runner_is_reported_once_after_a_minute_and_so_is_its_return(monkeypatch):
    alive, clock, channel = [True], ManualClock(), Recorder()
    nodes = lambda verbs, jobstore: [SimpleNamespace(runs_jobs=each) for each in (False, *alive)]
    monkeypatch.setattr(AdminVerbs, "get_nodes", nodes)
    scheduler = GeventScheduler(clock=clock, jobstores={"default": {"type": "memory"}})
    watch = RunnerWatch(scheduler, {"ops": Notifier("ops", channel)})
    watch.start()

    def pass_by(seconds: int) -> None:
        for _ in range(2 * seconds):
            clock.skip(500)
            while clock.step(0) is not None:
                pass
            gevent.sleep(0)
            gevent.sleep(0)

    pass_by(100)
    alive[0] = False
    pass_by(50)
    assert channel.subjects == []
    pass_by(100)
    assert channel.subjects == ["No runner is alive: nothing runs"]
    alive[0] = True
    pass_by(60)
    assert channel.subjects == ["No runner is alive: nothing runs", "A runner is alive again"]
    stopping = gevent.spawn(watch.stop)
    while not stopping.ready():
        pass_by(1)
    stopping.get()


def test_the_page_has_each_event_and_each_key_of_each_channel():
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` | " not in page] == []
    keys = {name for make in TYPES.values() for name in signature(make).parameters} - {"clock"}
    assert [key for key in keys if f"`{key}" not in page and f"`{key}_file`" not in page] == []
    assert [kind for kind in TYPES if f'type = "{kind}"' not in page] == []


def test_a_job_that_names_a_notifier_which_the_scheduler_has_not_is_warned_of_when_it_is_added_or_changed():
    warned = []
    scheduler = GeventScheduler(notifiers=[Notifier("ops", WebHook("http://127.0.0.1:1/"))])
    scheduler.add_listener(warned.append, EVENT_JOB_WARNED)
    scheduler.start(paused=True)
    scheduler.add_job(print, "interval", hours=1, id="known", notify=["ops"])
    scheduler.add_job(print, "interval", hours=1, id="misspelt", notify=["opps"])
    scheduler.modify_job("known", notify=["ops", "dba"])
    scheduler.shutdown()
    told = [(event.job_id, event.reason, event.remedy) for event in warned]
    assert told == [
        (job_id, f"notify: no notifier of this scheduler has the name '{name}'", "the notifiers here are ops")
        for job_id, name in (("misspelt", "opps"), ("known", "dba"))
    ]


def test_a_scheduler_without_notifiers_may_add_jobs_for_others_that_have_them():
    warned = []
    scheduler = GeventScheduler()
    scheduler.add_listener(warned.append, EVENT_JOB_WARNED)
    scheduler.start(paused=True)
    scheduler.add_job(print, "interval", hours=1, notify=["ops"])
    scheduler.shutdown()
    assert warned == []
