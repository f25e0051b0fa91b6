"""Configuration: by objects, by plain values, by dotted keys, and by plugins."""

from __future__ import annotations

import sys
from datetime import UTC
from importlib.metadata import EntryPoint
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from pymongo import MongoClient

from gsched import (
    ConfigurationError,
    GeventScheduler,
    GreenletPoolExecutor,
    InvalidTriggerError,
    MemoryJobStore,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from gsched.triggers import IntervalTrigger, registry


def test_parts_may_be_objects():
    store, executor = MemoryJobStore(), GreenletPoolExecutor(5)
    scheduler = GeventScheduler(jobstores={"default": store}, executors={"default": executor}, timezone="Asia/Shanghai")
    assert scheduler.stores == {"default": store}
    assert scheduler.executors == {"default": executor}
    assert scheduler.timezone == ZoneInfo("Asia/Shanghai")


def test_parts_may_be_mappings_with_their_type():
    scheduler = GeventScheduler(
        jobstores={"default": {"type": "memory"}},
        executors={
            "default": {"type": "greenlet", "size": 7, "max_waiting": 8},
            "threads": {"type": "threadpool", "max_workers": 3},
            "processes": {"type": "processpool", "max_workers": 2},
            "path": {"type": "gsched.executors:GreenletPoolExecutor"},
            "class": {"class": "gsched.executors.thread:ThreadPoolExecutor", "max_workers": 4},
        },
    )
    executors = scheduler.executors
    assert (executors["default"].size, executors["default"].max_waiting) == (7, 8)
    assert [type(executor) for executor in executors.values()] == [
        GreenletPoolExecutor, ThreadPoolExecutor, ProcessPoolExecutor, GreenletPoolExecutor, ThreadPoolExecutor,
    ]  # fmt: skip
    assert executors["class"].size == 4


def test_settings_may_come_by_dotted_keys_as_in_apschedulers_documentation():
    scheduler = GeventScheduler(
        {
            "apscheduler.jobstores.default": {"type": "memory"},
            "apscheduler.executors.default": {"class": "gsched.executors:ThreadPoolExecutor", "max_workers": 20},
            "apscheduler.executors.pool": {"type": "processpool", "max_workers": "5"},
            "apscheduler.job_defaults.coalesce": "false",
            "apscheduler.job_defaults.max_instances": "3",
            "apscheduler.timezone": "UTC",
            "other.setting": "is not ours",
        }
    )
    assert scheduler.executors["default"].size == 20
    assert scheduler.executors["pool"].size == 5
    assert scheduler.timezone is UTC
    job = scheduler.add_job(print, "interval", hours=1)
    assert (job.coalesce, job.max_instances) == (False, 3)


@pytest.mark.parametrize(
    ("prefix", "key"), [("gsched.", "gsched.name"), ("", "name"), (None, "name"), ("a.b.", "a.b.name")]
)
def test_the_prefix_of_dotted_keys_is_the_callers_choice(prefix, key):
    assert GeventScheduler({key: "mine"}, prefix=prefix).name == "mine"


def test_dotted_keys_may_go_down_to_single_arguments():
    scheduler = GeventScheduler({"x.executors.default.type": "greenlet", "x.executors.default.size": 3}, prefix="x.")
    assert scheduler.executors["default"].size == 3


def test_options_by_name_win_over_dotted_keys():
    assert GeventScheduler({"apscheduler.name": "one"}, name="two").name == "two"


def test_without_settings_there_is_one_store_and_one_executor(bench):
    assert (list(bench.scheduler.stores), list(bench.scheduler.executors)) == (["default"], ["default"])
    assert isinstance(bench.scheduler.executors["default"], GreenletPoolExecutor)


def test_configuring_again_replaces_what_was_set():
    scheduler = GeventScheduler(executors={"old": GreenletPoolExecutor()}, name="old")
    scheduler.configure(executors={"new": GreenletPoolExecutor()})
    assert (list(scheduler.executors), scheduler.name) == (["new"], "gsched")


def test_a_configuration_that_fails_changes_nothing():
    scheduler = GeventScheduler(executors={"old": GreenletPoolExecutor()}, name="old", timezone="Asia/Shanghai")
    with pytest.raises(ConfigurationError):
        scheduler.configure(executors={"new": {"type": "greenlet", "size": 0}}, name="new", timezone="UTC")
    assert (list(scheduler.executors), scheduler.name) == (["old"], "old")
    assert scheduler.timezone == ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"job_default": {}}, "setting 'job_default' is unknown; did you mean 'job_defaults'"),
        ({"daemon": True}, "setting 'daemon': BackgroundScheduler has it"),
        ({"timezone": "Mars/Olympus"}, "timezone: 'Mars/Olympus'"),
        ({"timezone": 8}, "timezone"),
        ({"jobstores": []}, None),
        ({"jobstores": [MemoryJobStore()]}, "jobstores: expected a mapping"),
        ({"jobstores": {"default": "memory"}}, "jobstore: expected a BaseJobStore or a mapping"),
        ({"jobstores": {"default": GreenletPoolExecutor()}}, "jobstore: expected a BaseJobStore"),
        ({"jobstores": {"default": {"type": "memroy"}}}, "jobstore type 'memroy' is unknown; did you mean 'memory'"),
        ({"jobstores": {"default": {"url": "x"}}}, "jobstore: 'type' is missing"),
        ({"jobstores": {"default": {"type": "memory", "url": "x"}}}, "jobstore 'memory': .*url"),
        ({"executors": {"default": {"type": "greenlets"}}}, "did you mean 'greenlet'"),
        ({"executors": {"default": {"type": "greenlet", "size": 0}}}, "size: expected a whole number from 1, got 0"),
        ({"executors": {"default": {"type": "threadpool", "workers": 3}}}, "executor 'threadpool': .*workers"),
        ({"executors": {"default": {"type": "no.such.module:Thing"}}}, "cannot be loaded: No module named 'no'"),
        ({"executors": {"default": {"type": "os:environ"}}}, "executor 'os:environ'"),
        ({"executors": {"default": {"type": "builtins:dict"}}}, "is not a BaseExecutor"),
        ({"job_defaults": {"max_instance": 3}}, "job_defaults: .*did you mean 'max_instances'"),
        ({"job_defaults": {"max_instances": 0}}, "job_defaults: max_instances"),
        ({"job_defaults": {"misfire_grace_time": 0}}, "job_defaults: misfire_grace_time"),
        ({"job_defaults": 3}, "job_defaults: expected a mapping"),
        ({"run_events": "some"}, "run_events: expected one of all, failures, none, got 'some'"),
        ({"blocked_hub_after": 0}, "blocked_hub_after"),
        ({"blocked_hub_after": "soon"}, "blocked_hub_after"),
        ({"modules": "myapp"}, "modules: expected a list"),
        ({"modules": 3}, "modules: expected a list"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_name(settings, message):
    if message is None:
        GeventScheduler(**settings)  # an empty list is as good as nothing
        return
    with pytest.raises(ConfigurationError, match=message):
        GeventScheduler(**settings)


def test_a_dotted_key_below_a_value_is_refused():
    with pytest.raises(ConfigurationError, match="'timezone' has a value of its own already"):
        GeventScheduler({"apscheduler.timezone": "UTC", "apscheduler.timezone.name": "x"})


def test_aliases_are_taken_once(bench):
    with pytest.raises(ConfigurationError, match="the alias 'default' is taken"):
        bench.scheduler.add_executor("greenlet")
    with pytest.raises(ConfigurationError, match="the alias 'default' is taken"):
        bench.scheduler.add_jobstore("memory")
    with pytest.raises(ConfigurationError, match=r"executor 'defualt' is unknown; did you mean 'default'"):
        bench.scheduler.remove_executor("defualt")
    with pytest.raises(ConfigurationError, match=r"jobstore 'defualt' is unknown; did you mean 'default'"):
        bench.scheduler.remove_jobstore("defualt")


def test_a_store_that_a_scheduler_runs_is_nobody_elses(bench):
    store = bench.scheduler.stores["default"]
    with pytest.raises(ConfigurationError, match="this store object is in use"):
        bench.scheduler.add_jobstore(store, "other")
    with pytest.raises(ConfigurationError, match="this store object is in use"):
        GeventScheduler(jobstores={"default": store})
    bench.scheduler.shutdown()
    GeventScheduler(jobstores={"default": store})


MONGO = {"type": "mongodb", "uri": "mongodb://localhost", "database": "app"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"uri": "mongodb://127.0.0.1:27017/?appName=x"},
        {"uri": "mongodb://elsewhere,localhost/app", "database": None},
        {"uri": None, "host": "localhost", "port": 27017},
        {"uri": None, "client": MongoClient("localhost", connect=False)},
    ],
)
def test_a_scheduler_has_the_jobs_of_a_collection_in_one_store_only(change):
    with pytest.raises(ConfigurationError, match="jobstores 'first' and 'second' keep the same jobs"):
        GeventScheduler(jobstores={"first": MONGO, "second": {**MONGO, **change}})
    scheduler = GeventScheduler(jobstores={"first": MONGO})
    options = {key: value for key, value in {**MONGO, **change}.items() if key != "type"}
    with pytest.raises(ConfigurationError, match="jobstores 'first' and 'second' keep the same jobs"):
        scheduler.add_jobstore("mongodb", "second", **options)
    assert scheduler.stores.keys() == {"first"}


@pytest.mark.parametrize("change", [{"collection": "other"}, {"database": "other"}, {"uri": "mongodb://elsewhere"}])
def test_stores_in_different_places_go_together(change):
    scheduler = GeventScheduler(jobstores={"first": MONGO, "second": {**MONGO, **change}})
    assert scheduler.stores.keys() == {"first", "second"}
    scheduler.remove_jobstore("first")
    scheduler.add_jobstore("mongodb", "first", **{key: value for key, value in MONGO.items() if key != "type"})


def test_a_store_has_one_alias():
    store = MemoryJobStore()
    with pytest.raises(ConfigurationError, match="jobstores 'first' and 'second' keep the same jobs"):
        GeventScheduler(jobstores={"first": store, "second": store})


def test_a_store_that_was_given_to_two_schedulers_is_run_by_the_first():
    store, ran = MemoryJobStore(), []
    first, second = GeventScheduler(jobstores={"default": store}), GeventScheduler(jobstores={"default": store})
    first.start()
    with pytest.raises(ConfigurationError, match="jobstore 'default': this store object is in use"):
        second.start()
    first.add_job(ran.append, args=[1])
    first.shutdown()
    assert ran == [1]
    second.start()
    second.shutdown()


# -- plugins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def plugin(monkeypatch):
    """Offers the classes of a module under names, as an installed package does by its entry points."""
    module = ModuleType("a_plugin")
    monkeypatch.setitem(sys.modules, "a_plugin", module)

    def offer(group: str, name: str, made: object) -> None:
        module.Offered = made
        found = {group: [EntryPoint(name, "a_plugin:Offered", group)]}
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found.get(group, []))
        registry._plugins.cache_clear()

    yield offer
    registry._plugins.cache_clear()


class Mine:
    pass


def test_a_plugin_offers_a_store(plugin):
    class MyStore(MemoryJobStore):
        def __init__(self, url):
            super().__init__()
            self.url = url

    plugin("gsched.jobstores", "mine", MyStore)
    scheduler = GeventScheduler(jobstores={"default": {"type": "mine", "url": "x://"}})
    assert scheduler.stores["default"].url == "x://"
    with pytest.raises(ConfigurationError, match="did you mean 'mine'"):
        GeventScheduler(jobstores={"default": {"type": "mien"}})


def test_a_plugin_offers_an_executor(plugin, bench):
    class MyExecutor(GreenletPoolExecutor):
        pass

    plugin("gsched.executors", "mine", MyExecutor)
    bench.scheduler.add_executor("mine", "other", size=2)
    bench.every(10, executor="other")
    bench.advance(10)
    assert bench.ran == [10]


def test_a_plugin_offers_a_trigger(plugin, bench):
    class MyTrigger(IntervalTrigger):
        alias = "mine"

    plugin("gsched.triggers", "mine", MyTrigger)
    bench.add(None, "mine", seconds=7)
    bench.advance(7)
    assert bench.ran == [7]


@pytest.mark.parametrize("group", ["gsched.jobstores", "gsched.executors"])
def test_a_plugin_that_is_something_else_is_refused(plugin, group):
    plugin(group, "mine", Mine)
    with pytest.raises(ConfigurationError, match=r"'mine'.* is not a Base"):
        GeventScheduler(**{group.partition(".")[2]: {"default": {"type": "mine"}}})


def test_a_trigger_plugin_that_is_something_else_is_refused(plugin, bench):
    plugin("gsched.triggers", "mine", Mine)
    with pytest.raises(InvalidTriggerError, match="is not a BaseTrigger"):
        bench.add(None, "mine")


def test_a_misspelt_option_of_a_job_is_named_though_unknown_arguments_are_the_triggers():
    with pytest.raises(InvalidTriggerError, match="the argument 'retires' is unknown; did you mean 'retries'"):
        GeventScheduler().add_job(print, "interval", seconds=1, retires=3)
