"""Calls that run nothing: coroutine functions, generators, and what returns an awaitable."""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import Callable
from typing import Any

import pytest
from executor_rig import rig_of

from gsched import ConfigurationError, InvalidJobError, NothingRanError
from gsched.executors import GreenletPoolExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from gsched.jobs.outcomes import Outcome


async def poll() -> None:
    raise AssertionError("nothing awaits this")


async def polls():  # type: ignore[no-untyped-def]
    yield 1


def items():  # type: ignore[no-untyped-def]
    yield 1


class AsyncCallable:
    async def __call__(self, *_: Any) -> None:
        raise AssertionError("nothing awaits this")

    async def method(self, *_: Any) -> None:
        raise AssertionError("nothing awaits this")


class Awaitable:
    def __await__(self):  # type: ignore[no-untyped-def]
        yield


def returns_coroutine() -> Any:
    return poll()


def returns_future() -> Any:
    return asyncio.Future(loop=LOOP)


def returns_awaitable() -> Any:
    return Awaitable()


LOOP = asyncio.new_event_loop()
NOT_CALLED = [poll, polls, AsyncCallable(), AsyncCallable().method, functools.partial(poll)]
NAMES = ["coroutine function", "asynchronous generator function", "object", "method", "partial"]


@pytest.mark.parametrize("func", [returns_coroutine, returns_future, returns_awaitable])
@pytest.mark.parametrize("executor", [GreenletPoolExecutor, ThreadPoolExecutor])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_run_whose_function_returns_an_awaitable_fails_with_the_remedy(
    executor: Callable[..., Any], func: Callable[[], Any]
) -> None:
    with rig_of(executor(1)) as rig:
        result = rig.finish(func)
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, NothingRanError)
    assert "asyncio.run()" in str(result.error)


def test_a_run_in_a_worker_process_whose_function_returns_a_coroutine_fails_with_the_remedy() -> None:
    with rig_of(ProcessPoolExecutor(1)) as rig:
        result = rig.finish(returns_coroutine)
    assert isinstance(result.error, NothingRanError)
    assert "a coroutine" in str(result.error) and "asyncio.run()" in str(result.error)


def test_a_generator_as_a_result_is_warned_of_once_for_each_job(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.every(10, lambda: items(), id="a")
    bench.every(10, lambda: items(), id="b")
    bench.start()
    bench.advance(35)
    warned = bench.events("run.returned_generator")
    assert sorted(event.job_id for event in warned) == ["a", "b"]
    assert "goes through what it yields" in warned[0].reason
    assert len(bench.events("run.succeeded")) == 6


@pytest.mark.parametrize("func", NOT_CALLED, ids=NAMES)
def test_a_job_whose_call_would_run_nothing_is_refused(unstarted: Any, func: Callable[..., Any]) -> None:
    with pytest.raises(InvalidJobError, match="only makes an object and runs nothing of it"):
        unstarted.add(func)


@pytest.mark.parametrize("callback", NOT_CALLED, ids=NAMES)
def test_a_listener_whose_call_would_run_nothing_is_refused(unstarted: Any, callback: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"listener: a call of .* runs nothing of it; wrap it"):
        unstarted.scheduler.add_listener(callback)


def test_a_listener_that_returns_a_coroutine_is_reported_as_failed(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.scheduler.add_listener(lambda event: poll() if event.name == "job.added" else None)
    bench.start()
    bench.every(10)
    bench.settle()
    (failed,) = bench.events("listener.failed")
    assert failed.error_type == "NothingRanError"


@pytest.mark.parametrize(
    "call",
    [
        lambda scheduler: scheduler.add_jobs([], progress=poll),
        lambda scheduler: scheduler.export_jobs(io.StringIO(), progress=poll),
        lambda scheduler: scheduler.import_jobs(io.StringIO("[]"), progress=poll),
        lambda scheduler: scheduler.admin.purge_runs("1d", progress=poll),
        lambda scheduler: next(scheduler.admin.follow(stop=poll)),
    ],
    ids=["add_jobs", "export_jobs", "import_jobs", "purge_runs", "follow"],
)
def test_a_callback_whose_call_would_run_nothing_is_refused(bench: Any, call: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"(progress|stop): a call of poll only makes an object"):
        call(bench.scheduler)
