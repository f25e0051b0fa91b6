"""Arguments of runs: their own for each run of a stored job, the caller's objects in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from executor_rig import rig_of
from programs import run_program

from gsched import MemoryJobStore
from gsched.executors import ProcessPoolExecutor
from gsched.jobs.job import can_change

pytest_plugins = ["mongodb"]

seen: list[Any] = []


def change(*args: Any, **kwargs: Any) -> None:
    """Notes its arguments, and changes whatever in them can be changed."""
    seen.append(repr((args, kwargs)))
    for value in (*args, *kwargs.values()):
        _change(value)


def _change(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _change(item)
        value.append("changed")
    elif isinstance(value, dict):
        for item in value.values():
            _change(item)
        value["changed"] = True


ARGUMENTS = {
    "a list": ([[]], {}),
    "a dict": ([{}], {}),
    "nested": ([[{"a": [1]}]], {}),
    "by name": ([], {"items": [], "options": {"deep": [{}]}}),
    "nothing to change": ([1, "two"], {"three": 3.0}),
}


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


STORED = """
    from gevent import monkey; monkey.patch_all()
    import json, queue, sys
    sys.path[:0] = {folders!r}
    import test_arguments_of_runs as tested
    from gsched import EVENT_JOB_EXECUTED, GeventScheduler, GreenletPoolExecutor, MongoDBJobStore, ThreadPoolExecutor
    ended = queue.Queue()
    scheduler = GeventScheduler(
        jobstores={{"default": MongoDBJobStore({uri!r}, database={database!r}, modules=[tested.__name__])}},
        executors={{"default": GreenletPoolExecutor(), "threads": ThreadPoolExecutor(2)}}, timezone="UTC",
    )
    scheduler.add_listener(ended.put, EVENT_JOB_EXECUTED)
    scheduler.start()
    for name, (args, kwargs) in tested.ARGUMENTS.items():
        for executor in ("default", "threads"):
            tested.seen.clear()
            scheduler.add_job(tested.change, "interval", days=1, id=name + executor, args=args, kwargs=kwargs,
                              executor=executor)
            for _ in range(3):
                scheduler.run_job(name + executor)
                ended.get(timeout=20)
            print(json.dumps([name, executor, tested.seen]))
    scheduler.shutdown()
"""


def test_each_run_of_a_stored_job_has_the_arguments_that_the_document_has(uri: str, database: Any) -> None:
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    program = STORED.format(folders=folders, uri=uri, database=database.name)
    out, error, code = run_program(program, timeout=60)
    assert code == 0, error
    expected = [
        [name, executor, [repr((tuple(args), kwargs))] * 3]
        for name, (args, kwargs) in ARGUMENTS.items()
        for executor in ("default", "threads")
    ]
    assert [json.loads(line) for line in out.splitlines()] == expected


def test_runs_of_a_job_in_memory_share_the_callers_own_objects(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(jobstores={"default": MemoryJobStore()})
    shared: list[Any] = []
    bench.every(10, change, args=[shared])
    bench.start()
    bench.advance(35)
    assert shared == ["changed"] * 3
    assert seen[-1] == "((['changed', 'changed'],), {})"


def test_immutable_arguments_are_not_copied() -> None:
    assert not can_change([1, "a", None, b"b", (1, 2)])
    assert can_change([1, []]) and can_change([{}])


def test_runs_in_worker_processes_have_arguments_of_their_own() -> None:
    given: list[Any] = [[]]
    with rig_of(ProcessPoolExecutor(1)) as rig:
        rig.finish(change, given)
    assert given == [[]]
