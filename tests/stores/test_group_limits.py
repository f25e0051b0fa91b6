"""Limits and pauses of groups: how they are set, kept and announced, with the same behaviour on every store."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest
from store_bench import StoreBench
from waiting import LONGEST_SECONDS

from gsched import (
    ConfigurationError,
    GeventScheduler,
    GroupLimit,
    GroupLimits,
    GroupNotPausedError,
    InvalidJobError,
    LimitNotFoundError,
    MemoryJobStore,
    MongoDBJobStore,
    acting,
)
from gsched.hub.store_port import LanePort
from gsched.jobs.limits import NO_LIMITS
from gsched.metrics import collector
from gsched.stores import BaseJobStore
from gsched.stores.messages import Admitted, LimitsChanged, Message

pytest_plugins = ["mongodb"]


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What stores tell the hub: limits and admitted jobs."""
    found: list[Message] = []
    post = LanePort.post

    def note(port: LanePort, message: Message) -> None:
        if isinstance(message, (LimitsChanged, Admitted)):
            found.append(message)
        post(port, message)

    monkeypatch.setattr(LanePort, "post", note)
    return found


def announced(posted: list[Message]) -> list[GroupLimits]:
    return [message.limits for message in posted if isinstance(message, LimitsChanged)]


# -- what is kept ---------------------------------------------------------------------------------------------------


def test_a_limit_comes_back_as_it_was_set(bench):
    set_ = bench.scheduler.set_limit("host:*", concurrency=4, rate="90/min", burst=10)
    assert set_ == GroupLimit("host:*", 4, 60_000 / 90, 10)
    bench.scheduler.set_limit("tenant:a", concurrency=1)
    assert bench.scheduler.get_limits() == GroupLimits([set_, GroupLimit("tenant:a", 1)])


def test_the_longest_pattern_is_a_groups_limit(bench):
    for pattern, concurrency in (("*", 9), ("host:*", 4), ("host:api*", 3), ("host:api.x", 1)):
        bench.scheduler.set_limit(pattern, concurrency=concurrency)
    limits = bench.scheduler.get_limits()
    found = {group: limits.of(group).concurrency for group in ("host:api.x", "host:api.y", "host:b", "tenant")}
    assert found == {"host:api.x": 1, "host:api.y": 3, "host:b": 4, "tenant": 9}


def test_a_limit_takes_the_place_of_the_one_with_its_pattern(bench):
    bench.scheduler.set_limit("host:*", concurrency=4, rate=10)
    bench.scheduler.set_limit("host:*", rate="2/h")
    assert bench.scheduler.get_limits() == GroupLimits([GroupLimit("host:*", None, 1_800_000)])


def test_a_removed_limit_is_gone(bench):
    bench.scheduler.set_limit("host:*", concurrency=4)
    bench.scheduler.set_limit("other", concurrency=4)
    bench.scheduler.remove_limit("host:*")
    assert list(bench.scheduler.get_limits().by_pattern) == ["other"]


def test_a_limit_that_does_not_exist_cannot_be_removed(bench):
    bench.scheduler.set_limit("host:*", concurrency=4)
    with pytest.raises(LimitNotFoundError, match=r"^there is no limit 'host:x'; get_limits\(\) and"):
        bench.scheduler.remove_limit("host:x")
    assert list(bench.scheduler.get_limits().by_pattern) == ["host:*"]


def test_limits_and_pauses_survive_a_restart(bench):
    bench.start()
    bench.scheduler.set_limit("host:*", concurrency=4)
    bench.scheduler.pause_group("host:x", reason="vendor down")
    before = bench.scheduler.get_limits()
    bench.restart()
    assert bench.scheduler.get_limits() == before != NO_LIMITS


BAD_LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "no group": ({"pattern": "", "rate": 1}, "pattern: a group is a text of 1 to 200 bytes"),
    "too long": ({"pattern": "ä" * 101, "rate": 1}, "pattern: a group is a text of 1 to 200 bytes"),
    "no text": ({"pattern": 5, "rate": 1}, "pattern: a group is a text of 1 to 200 bytes"),
    "star inside": ({"pattern": "host:*:x", "rate": 1}, r"pattern: '\*' stands at the end of a pattern only"),
    "two stars": ({"pattern": "host:**", "rate": 1}, r"pattern: '\*' stands at the end of a pattern only"),
    "space": ({"pattern": " host", "rate": 1}, "without spaces at its ends"),
    "nothing": ({"pattern": "x"}, "limit 'x': give concurrency=, rate= or both; remove_limit"),
    "zero": ({"pattern": "x", "concurrency": 0}, r"concurrency: expected a whole number from 1; pause_group\(\)"),
    "negative": ({"pattern": "x", "concurrency": -1}, "concurrency: expected a whole number from 1, got -1"),
    "true": ({"pattern": "x", "concurrency": True}, "concurrency: expected a whole number from 1, got True"),
    "no rate": ({"pattern": "x", "rate": 0}, "rate: expected more than zero"),
    "negative rate": ({"pattern": "x", "rate": -1.5}, "rate: expected more than zero"),
    "endless": ({"pattern": "x", "rate": float("inf")}, "rate: expected more than zero"),
    "no number": ({"pattern": "x", "rate": float("nan")}, "rate: expected more than zero"),
    "unknown unit": ({"pattern": "x", "rate": "10/fortnight"}, "rate: expected text such as '10/s', '600/min'"),
    "too rare": ({"pattern": "x", "rate": "0.5/day"}, "at least one a day"),
    "no burst": ({"pattern": "x", "rate": 1, "burst": 0}, "burst: expected a whole number from 1, got 0"),
    "burst alone": ({"pattern": "x", "concurrency": 1, "burst": 2}, "burst: it needs a rate"),
}


@pytest.mark.parametrize("name", BAD_LIMITS)
def test_a_limit_that_cannot_be_right_is_refused_and_nothing_changes(bench, name):
    arguments, message = BAD_LIMITS[name]
    bench.scheduler.set_limit("x", concurrency=7)
    with pytest.raises(ConfigurationError, match=message):
        bench.scheduler.set_limit(**arguments)
    assert bench.scheduler.get_limits() == GroupLimits([GroupLimit("x", 7)])


# -- pauses of groups -----------------------------------------------------------------------------------------------


def test_a_pause_of_a_group_keeps_its_reason_its_end_and_who_decided_it(bench):
    pause = bench.scheduler.pause_group("host:*", reason="vendor down", until="2h", by="ops")
    assert pause.words() == "paused by ops until 2026-03-02 14:00:00+00:00: vendor down"
    limits = bench.scheduler.get_limits()
    assert dict(limits.pauses) == {"host:*": pause}
    assert limits.pause_of("host:x", bench.at(0)) == pause
    assert limits.pause_of("host:x", bench.at(7200)) is limits.pause_of("other", bench.at(0)) is None


def test_who_acts_names_the_pause_of_a_group_and_gives_its_reason(bench):
    with acting("ops", reason="upgrade"):
        pause = bench.scheduler.pause_group("host:x")
    assert (pause.by, pause.reason, pause.until) == ("ops", "upgrade", None)


def test_a_group_that_is_paused_again_keeps_what_is_not_given_anew(bench):
    first = bench.scheduler.pause_group("host:x", reason="vendor down", by="ops")
    assert bench.scheduler.pause_group("host:x") == first
    longer = bench.scheduler.pause_group("host:x", until="1h", by="boss")
    assert (longer.reason, longer.by, longer.until_ms) == ("vendor down", "boss", bench.at(3600))
    assert bench.scheduler.get_limits().pauses["host:x"] == longer


def test_a_resumed_group_is_not_paused_any_more(bench):
    bench.scheduler.pause_group("host:x")
    bench.scheduler.pause_group("host:y")
    bench.scheduler.resume_group("host:x")
    assert list(bench.scheduler.get_limits().pauses) == ["host:y"]


def test_a_group_that_is_not_paused_itself_cannot_be_resumed(bench):
    bench.scheduler.pause_group("host:*")
    with pytest.raises(GroupNotPausedError, match="'host:x' is not paused; a pause of 'host:\\*' is ended by"):
        bench.scheduler.resume_group("host:x")
    assert list(bench.scheduler.get_limits().pauses) == ["host:*"]


def test_a_pause_that_has_ended_is_not_there_any_more(bench):
    bench.scheduler.pause_group("host:x", until="1m")
    bench.clock.skip(60_000)
    assert bench.scheduler.get_limits() == NO_LIMITS
    with pytest.raises(GroupNotPausedError):
        bench.scheduler.resume_group("host:x")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"group": ""}, ConfigurationError, "group: a group is a text of 1 to 200 bytes"),
        ({"group": "x*y"}, ConfigurationError, r"group: '\*' stands at the end of a pattern only"),
        ({"group": "x", "until": "2020-01-01"}, InvalidJobError, "until: must be ahead"),
        ({"group": "x", "reason": ""}, InvalidJobError, "reason: expected a text that is not empty"),
        ({"group": "x", "by": "x" * 201}, InvalidJobError, "by: expected at most 200 characters"),
    ],
)
def test_a_pause_of_a_group_that_cannot_be_meant_is_refused(bench, arguments, error, message):
    with pytest.raises(error, match=message):
        bench.scheduler.pause_group(**arguments)
    assert bench.scheduler.get_limits() == NO_LIMITS


# -- events and the audit ---------------------------------------------------------------------------------------------


def test_changes_of_limits_and_pauses_are_events_once_each(bench):
    bench.start()
    with acting("ops"):
        bench.scheduler.set_limit("host:*", concurrency=4, rate="10/s", burst=2)
        bench.scheduler.set_limit("host:*", concurrency=4, rate=10, burst=2)  # changes nothing
        bench.scheduler.remove_limit("host:*")
        bench.scheduler.pause_group("host:x", reason="vendor down", until="1h")
        bench.scheduler.pause_group("host:x")  # changes nothing
        bench.scheduler.resume_group("host:x")
    bench.settle()
    changed, removed = (event.fields() for event in bench.named("limit.changed"))
    assert changed == {
        "alias": "default", "pattern": "host:*", "concurrency": 4, "rate": "10/s", "burst": 2, "by": "ops"
    }  # fmt: skip
    assert removed == {**changed, "removed": True}
    (paused,), (resumed,) = bench.named("group.paused"), bench.named("group.resumed")
    about = {"alias": "default", "group": "host:x", "reason": "vendor down", "by": "ops"}
    assert paused.fields() == {**about, "until": "2026-03-02T13:00:00.000+00:00"} == resumed.fields()


def test_the_audit_has_who_changed_a_limit_and_how(monkeypatch):
    bench = StoreBench(MemoryJobStore(), monkeypatch)
    changes: list[Callable[[], Any]] = [
        lambda: bench.scheduler.set_limit("host:*", concurrency=4),
        lambda: bench.scheduler.set_limit("host:*", rate="600/min", burst=5),
        lambda: bench.scheduler.remove_limit("host:*"),
        lambda: bench.scheduler.pause_group("host:x", reason="vendor down"),
        lambda: bench.scheduler.resume_group("host:x", by="boss"),
    ]
    with acting("ops", via="api"):
        for change in changes:
            change()
            bench.clock.skip(1)
    page = bench.scheduler.admin.audit()
    entries = [(e.action, e.target, e.actor, dict(e.before), dict(e.after)) for e in page.entries]
    assert entries[::-1] == [
        ("limit.set", "host:*", "ops", {}, {"limit": "4 at once"}),
        ("limit.set", "host:*", "ops", {"limit": "4 at once"}, {"limit": "10/s in bursts of 5"}),
        ("limit.remove", "host:*", "ops", {"limit": "10/s in bursts of 5"}, {}),
        ("group.pause", "host:x", "ops", {}, {}),
        ("group.resume", "host:x", "boss", {}, {}),
    ]


# -- what the hub is told ---------------------------------------------------------------------------------------------


def test_a_scheduler_knows_the_limits_before_its_first_job(bench, posted):
    bench.scheduler.set_limit("host:*", concurrency=4)
    bench.scheduler.pause_group("host:x")
    bench.add("job", "interval", seconds=10, group="host:x")
    bench.start()
    bench.until(lambda: any(isinstance(message, Admitted) for message in posted))
    assert isinstance(posted[0], LimitsChanged)
    assert posted[0].limits == bench.scheduler.get_limits()


def test_without_limits_a_scheduler_is_told_nothing(bench, posted):
    bench.add("job", "interval", seconds=10, group="host:x")
    bench.start()
    bench.until(lambda: posted)
    assert announced(posted) == []


def test_each_change_of_a_scheduler_reaches_its_hub_without_waiting_for_the_clock(bench, posted):
    bench.start()
    changes: list[Callable[[], Any]] = [
        lambda: bench.scheduler.set_limit("host:*", concurrency=4),
        lambda: bench.scheduler.pause_group("host:x"),
        lambda: bench.scheduler.remove_limit("host:*"),
        lambda: bench.scheduler.resume_group("host:x"),
    ]
    for number, change in enumerate(changes, 1):
        change()
        with gevent.Timeout(LONGEST_SECONDS):
            while len(announced(posted)) < number:
                bench.settle()
        assert announced(posted)[-1] == bench.scheduler.get_limits()
    assert announced(posted)[-1] == NO_LIMITS


# -- several schedulers -----------------------------------------------------------------------------------------------


@pytest.fixture
def two(make_store: Callable[[], BaseJobStore]) -> Iterator[tuple[GeventScheduler, GeventScheduler]]:
    """A scheduler that runs, and never looks at everything by itself, and another one with the same database."""
    stores: list[Any] = [make_store(), make_store()]
    stores[0].intervals = replace(stores[0].intervals, rescan=3600.0)
    made = [GeventScheduler(jobstores={"default": store}, timezone="UTC") for store in stores]
    made[0].start()
    yield made[0], made[1]
    made[0].shutdown()
    made[1].close()


def wait_until(condition: Callable[[], Any]) -> None:
    with gevent.Timeout(LONGEST_SECONDS):
        while not condition():
            gevent.sleep(0.01)


def test_changes_by_another_process_are_told_by_the_feed(two, posted):
    running, other = two
    wait_until(lambda: running.status().stores["default"].feed == "connected")
    wait_until(lambda: running.status().stores["default"].slots)
    other.set_limit("host:*", concurrency=4)
    wait_until(lambda: announced(posted))
    other.pause_group("host:x", reason="vendor down")
    wait_until(lambda: len(announced(posted)) == 2)
    assert announced(posted)[-1] == running.get_limits() == other.get_limits()
    other.remove_limit("host:*")
    other.resume_group("host:x")
    wait_until(lambda: announced(posted)[-1] == NO_LIMITS)


def test_the_rescan_finds_what_the_feed_has_missed(two, posted, monkeypatch):
    monkeypatch.setattr("gsched.stores.durable.change_feed.ChangeFeed._pass_on", lambda feed, change: None)
    running, other = two
    wait_until(lambda: running.status().stores["default"].slots)  # it has read the limits by then
    other.set_limit("host:*", concurrency=4)
    running._engine.store("default")._ownership.rescan()  # as it is due every 20 s
    wait_until(lambda: announced(posted) == [other.get_limits()])


def test_a_malformed_document_is_reported_and_hides_no_other(uri, database):
    bad, good = {"_id": "bad", "concurrency": "x"}, {"_id": "good", "concurrency": 2, "burst": 1}
    database.jobs.limits.insert_many([bad, good])
    scheduler = GeventScheduler(jobstores={"default": MongoDBJobStore(uri, database=database.name)})
    failed: list[str] = []
    scheduler.add_listener(lambda event: failed.append(getattr(event, "error_message", "")))
    told: list[GroupLimits] = []
    post = LanePort.post

    def note(port: LanePort, message: Message) -> None:
        told.extend([message.limits] if isinstance(message, LimitsChanged) else [])
        post(port, message)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(LanePort, "post", note)
        scheduler.start()
        wait_until(lambda: told and any("malformed" in message for message in failed))
        scheduler.shutdown()
    assert told == [GroupLimits([GroupLimit("good", 2)])]


# -- jobs of a group --------------------------------------------------------------------------------------------------


@pytest.fixture
def grouped(bench: StoreBench) -> StoreBench:
    """Three jobs, two of them in one group."""
    for job_id, group in (("a", "host:x"), ("b", "host:y"), ("c", "host:x"), ("d", None)):
        bench.add(job_id, "interval", seconds=10, group=group)
    return bench


def test_jobs_of_a_group_are_listed(grouped):
    assert [job.id for job in grouped.scheduler.get_jobs(group="host:x")] == ["a", "c"]
    assert [job.id for job in grouped.scheduler.iter_jobs(group="host:y")] == ["b"]
    assert grouped.scheduler.get_jobs(group="host:z") == []


def test_jobs_of_a_group_are_listed_from_many(grouped, monkeypatch):
    for place in ("mongodb", "sql"):
        monkeypatch.setattr(f"gsched.stores.{place}.jobs.list.EXACT", 1)
    assert [job.id for job in grouped.scheduler.iter_jobs(group="host:x", skip=1)] == ["c"]
    assert [job.id for job in grouped.scheduler.iter_jobs(group="host:x", state="scheduled", limit=1)] == ["a"]


def test_jobs_of_a_group_are_paused_and_resumed_together(grouped):
    assert grouped.scheduler.pause_jobs(group="host:x", reason="vendor down") == 2
    assert [job.id for job in grouped.scheduler.get_jobs(state="paused")] == ["a", "c"]
    assert grouped.scheduler.resume_jobs(group="host:x") == 2
    assert grouped.scheduler.get_jobs(state="paused") == []


def test_a_jobs_group_cannot_be_changed(grouped):
    for group in ("host:y", None, ""):
        with pytest.raises(InvalidJobError, match=r"^group: cannot be changed.*; replace the job: remove it and add"):
            grouped.scheduler.modify_job("a", group=group)
    assert grouped.scheduler.modify_job("a", group="host:x", name="same").policy["group"] == "host:x"


@pytest.mark.parametrize("group", ["", "x" * 201, "ä" * 101, "host:*", " host", "host\n", 5])
def test_a_group_that_cannot_be_one_is_refused(bench, group):
    with pytest.raises(InvalidJobError, match=r"^group: "):
        bench.add("job", "interval", seconds=10, group=group)
    assert bench.scheduler.get_jobs() == []


# -- export and import ------------------------------------------------------------------------------------------------


def exported(scheduler: GeventScheduler) -> str:
    out = io.StringIO()
    scheduler.export_jobs(out)
    return out.getvalue()


def test_an_export_has_limits_and_pauses_before_the_jobs_and_an_import_sets_them(bench, monkeypatch):
    other = StoreBench(MemoryJobStore(), monkeypatch)
    bench.add("job", "interval", seconds=10, group="host:x")
    bench.scheduler.set_limit("host:*", concurrency=4, rate="90/min", burst=10)
    bench.scheduler.pause_group("host:x", reason="vendor down", until="2h", by="ops")
    bench.scheduler.pause_group("host:y")
    assert other.scheduler.import_jobs(io.StringIO(exported(bench.scheduler))) == 1
    assert other.scheduler.get_limits() == bench.scheduler.get_limits()
    assert other.scheduler.get_job("job").policy["group"] == "host:x"


def test_an_import_replaces_limits_and_pauses_only_if_it_may(bench):
    bench.scheduler.set_limit("host:*", concurrency=4)
    bench.scheduler.pause_group("host:x", reason="as exported")
    text, before = exported(bench.scheduler), bench.scheduler.get_limits()
    bench.scheduler.set_limit("host:*", concurrency=9)
    bench.scheduler.pause_group("host:x", reason="since then")
    since = bench.scheduler.get_limits()
    bench.scheduler.import_jobs(io.StringIO(text))
    assert bench.scheduler.get_limits() == since
    bench.scheduler.import_jobs(io.StringIO(text), replace_existing=True)
    assert bench.scheduler.get_limits() == before


def test_a_pause_that_ended_since_the_export_is_not_imported(bench):
    bench.scheduler.pause_group("host:x", until="1m")
    text = exported(bench.scheduler)
    bench.clock.skip(60_000)
    bench.scheduler.import_jobs(io.StringIO(text))
    assert bench.scheduler.get_limits() == NO_LIMITS


HEADER = '{"format": "gsched jobs", "version": 1}\n'
JOB = '{"id": "a", "func": "store_bench:play", "args": ["a"], "trigger": {"type": "interval", "seconds": 10}}\n'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"limit": "x"}', "line 2 of the import: limit 'x': give concurrency="),
        ('{"limit": "x*y", "concurrency": 1}', r"line 2 of the import: pattern: '\*' stands"),
        ('{"limit": "x", "period_ms": -1}', "line 2 of the import: limit 'x': period_ms: expected a number above 0"),
        ('{"limit": "x", "concurrency": 1, "declared_by": 5}', "limit 'x': declared_by: expected a name"),
        ('{"paused_group": 7}', "line 2 of the import: paused_group: a group is a text"),
        ('{"paused_group": "x", "until": "soon"}', "line 2 of the import: Invalid isoformat string: 'soon'"),
        (JOB + '{"limit": "x", "concurrency": 1}', "line 3 of the import: limits and pauses of groups stand before"),
    ],
)
def test_an_import_of_a_limit_that_cannot_be_one_is_refused_whole(bench, lines, message):
    bench.scheduler._engine.allow_modules(["store_bench"])
    with pytest.raises(InvalidJobError, match=message):
        bench.scheduler.import_jobs(io.StringIO(HEADER + lines))
    assert (bench.scheduler.get_jobs(), bench.scheduler.get_limits()) == ([], NO_LIMITS)


# -- what waits, in words ---------------------------------------------------------------------------------------------


@pytest.fixture
def held(bench: StoreBench, monkeypatch: pytest.MonkeyPatch) -> StoreBench:
    """One job runs, another one of its group waits for its turn."""
    monkeypatch.setattr("gsched.stores.durable.publisher._EVERY_SECONDS", 0.02)
    bench.start()
    bench.scheduler.set_limit("host:*", concurrency=1)
    bench.add("first", "interval", hours=1, acts="W", group="host:x", next_run_time="now")
    bench.until(lambda: bench.began("first"))
    bench.add("second", "date", group="host:x")
    bench.until(lambda: [group.waiting for group in bench.store.group_activities()] == [1])
    return bench


def test_a_job_that_waits_for_its_turn_is_explained(held):
    bench = held
    due = bench.scheduler.get_job("second").trigger.run_date

    def told() -> Any:
        found = bench.scheduler.explain("second", due)
        return found if found.outcome == "waiting" else None

    found = bench.until(told)
    assert "and waiting for its turn: group host:x has 1 of 1 runs in progress, and 1 job waits." in str(found)


def test_a_job_whose_group_is_paused_is_explained(bench, monkeypatch):
    monkeypatch.setattr("gsched.stores.durable.publisher._EVERY_SECONDS", 0.02)
    bench.start()
    bench.scheduler.pause_group("host:*", reason="vendor down", by="ops")
    bench.add("job", "date", group="host:x")
    due = bench.scheduler.get_job("job").trigger.run_date

    def told() -> Any:
        found = bench.scheduler.explain("job", due)
        return found if found.outcome == "waiting" else None

    assert "waiting for its turn: group host:x is paused by ops: vendor down." in str(bench.until(told))
    assert bench.began("job") == []


def test_operators_see_what_a_group_is_doing(held):
    (group,) = held.scheduler.admin.get_groups()
    assert (group.name, group.jobs, group.limit, group.pause) == ("host:x", 2, GroupLimit("host:*", 1), None)
    assert (group.activity.running, group.activity.waiting, group.activity.starts) == (1, 1, 1)
    assert group.activity.held_since is not None


def test_metrics_have_the_groups_with_limits(held):
    held.scheduler.set_limit("other", concurrency=1)
    found = {}
    for family in collector(held.scheduler).collect():
        if family.name.startswith("gsched_group"):
            found |= {family.name: [(sample.labels, sample.value) for sample in family.samples]}
    host = {"group": "host:x"}
    assert found == {
        "gsched_group_runs_in_progress": [(host, 1)],
        "gsched_group_waiting": [(host, 1)],
        "gsched_group_starts_per_minute": [(host, 1)],
    }


# -- settings ---------------------------------------------------------------------------------------------------------


def test_a_scheduler_sets_the_limits_of_its_settings_when_it_starts(any_store):
    settings = {"x.limits.host:*": {"concurrency": "4", "rate": "2.5", "burst": "3"}}
    scheduler = GeventScheduler(settings, "x.", jobstores={"default": any_store})
    scheduler.set_limit("other", concurrency=1)
    scheduler.start(paused=True)
    assert scheduler.get_limits() == GroupLimits([GroupLimit("other", 1), GroupLimit("host:*", 4, 400.0, 3)])
    scheduler.shutdown()


def test_limits_and_pauses_that_are_set_before_a_store_is_added_reach_it(any_store):
    scheduler = GeventScheduler(limits={"tenant": {"concurrency": 1}})
    scheduler.set_limit("host:*", concurrency=4)
    scheduler.pause_group("host:x")
    before = scheduler.get_limits()
    scheduler.add_jobstore(any_store)
    assert scheduler.get_limits() == before != NO_LIMITS
    scheduler.close()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"x": 4}, "limits: 'x': expected a mapping with concurrency, rate, burst, got 4"),
        ({"x": {"concurency": 4}}, "limits: 'x': 'concurency' is unknown; did you mean 'concurrency'?"),
        ({"x": {"rate": "10/fortnight"}}, "limit 'x': rate: expected text such as '10/s'"),
        (["x"], "limits: expected a mapping"),
    ],
)
def test_settings_of_limits_that_cannot_be_right_are_refused(limits, message):
    with pytest.raises(ConfigurationError, match=message):
        GeventScheduler(limits=limits)
