"""The process executor: real processes, their deaths, and a hub that never waits for them."""

from __future__ import annotations

import functools
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import process_jobs as jobs
import pytest
from executor_rig import WAIT_SECONDS, Rig, rig_of
from gevent.fileobject import FileObjectThread

from gsched.errors import (
    ConfigurationError,
    FuncRefError,
    Retry,
    RunCancelled,
    RunTimedOut,
    WorkerDiedError,
    error_names,
)
from gsched.executors import ProcessPoolExecutor, RemoteError, process
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def warm() -> Iterator[Rig]:
    """One worker for many tests, for a process takes its time to start."""
    with rig_of(ProcessPoolExecutor(max_workers=1, max_waiting=10)) as rig:
        yield rig


@pytest.fixture
def rig(warm: Rig) -> Rig:
    warm.started, warm.steps, warm.results, warm.finished = [], [], {}, []
    return warm


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A fifo that a function opens when it has begun."""
    path = tmp_path / "begun"
    os.mkfifo(path)
    return path


def heard(fifo: Path) -> str:
    """What comes through the fifo, read in a thread so that the hub goes on."""
    with FileObjectThread(gevent.get_hub().threadpool.apply(open, (fifo,))) as file:
        return str(file.read())


def told(fifo: Path, text: str) -> None:
    gevent.get_hub().threadpool.apply(fifo.write_text, (text,))


def begin_and_hear(rig: Rig, func: Callable[..., Any], begun: Path, *args: Any, **options: Any) -> Run:
    """A run whose function has begun to do its work."""
    run = rig.submit(func, str(begun), *args, **options)
    assert heard(begun) == "begun"
    return run


def pid_of(rig: Rig) -> int:
    return int(rig.finish(os.getpid).value)


def has_ended(pid: int) -> bool:
    """Whether the process is gone; one that only waits to be collected by somebody else counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for_end(pid: int) -> None:
    with gevent.Timeout(WAIT_SECONDS):
        while not has_ended(pid):
            gevent.sleep(0.005)


def children() -> set[int]:
    """Our child processes, zombies included."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


# -- results --------------------------------------------------------------------------------------------------


def test_a_process_run_returns_what_its_function_returned(rig: Rig) -> None:
    result = rig.finish(jobs.add, 1, kwargs={"b": 2})
    assert (result.outcome, result.value) == (Outcome.SUCCEEDED, 3)


def test_functions_run_in_another_process_which_is_used_again(rig: Rig) -> None:
    assert pid_of(rig) != os.getpid()
    assert pid_of(rig) == pid_of(rig)


def test_a_function_without_a_reference_travels_by_pickle(rig: Rig) -> None:
    run = rig.submit(functools.partial(jobs.add, 40), 2)
    assert run.job.func_ref is None
    assert rig.result(run).value == 42


def test_megabytes_travel_both_ways(rig: Rig) -> None:
    blob = os.urandom(5_000_000)
    assert rig.finish(bytes.__add__, blob, b"!").value == blob + b"!"


def test_current_run_tells_the_essentials_there(rig: Rig) -> None:
    run = rig.submit(jobs.describe, timeout_seconds=60.0)
    assert rig.result(run).value == {
        "id": run.id,
        "job_id": run.job_id,
        "scheduled_at": run.scheduled_at,
        "started_at": run.started_at,
        "attempt": run.attempt,
        "fence": run.fence,
        "cancelled": False,
    }


def test_each_run_has_a_context_of_its_own(rig: Rig) -> None:
    rig.finish(jobs.remember, "something")
    assert rig.finish(jobs.recall).value == "nothing"


def test_an_exception_comes_back_with_the_traceback_from_there(rig: Rig) -> None:
    result = rig.finish(jobs.fail, ValueError, "no good")
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, ValueError)
    assert result.error.args == ("no good",)
    assert "raise error(*args)" in str(result.error.__cause__)
    assert "raise error(*args)" in (result.traceback or "")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_base_exception_ends_the_run_only(rig: Rig, error: type[BaseException]) -> None:
    pid = pid_of(rig)
    result = rig.finish(jobs.fail, error)
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, error)
    assert pid_of(rig) == pid


def failure(result: Result) -> tuple[type[BaseException], str]:
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    return type(result.error), str(result.error)


def test_a_value_that_cannot_be_pickled_fails_the_run_clearly_and_the_worker_survives(rig: Rig) -> None:
    pid = pid_of(rig)
    kind, text = failure(rig.finish(jobs.add, jobs.generator()))
    assert (kind, "arguments cannot be sent" in text, "generator" in text) == (pickle.PicklingError, True, True)
    kind, text = failure(rig.finish(lambda: None))
    assert (kind, "function" in text, "lambda" in text) == (pickle.PicklingError, True, True)
    kind, text = failure(rig.finish(jobs.add, jobs.LoadsBadly()))
    assert (kind, "arguments cannot be loaded" in text) == (pickle.UnpicklingError, True)
    kind, text = failure(rig.finish(jobs.generator))
    assert (kind, "the result, a generator, cannot be sent" in text) == (pickle.PicklingError, True)
    kind, text = failure(rig.finish(jobs.badly))
    assert (kind, "the result cannot be loaded" in text) == (pickle.UnpicklingError, True)
    assert pid_of(rig) == pid


@pytest.mark.parametrize(
    ("error", "args", "text"),
    [
        (jobs.WantsTwo, (1, 2), "process_jobs.WantsTwo: 1 and 2"),
        (jobs.Unpicklable, ("x",), "process_jobs.Unpicklable: x"),
    ],
)
def test_an_exception_that_cannot_travel_is_described(rig: Rig, error: Any, args: Any, text: str) -> None:
    pid = pid_of(rig)
    result = rig.finish(jobs.fail, error, *args)
    assert failure(result) == (RemoteError, text)
    assert "raise error(*args)" in (result.traceback or "")
    assert error_names(result.error) >= {error.__name__, f"process_jobs.{error.__name__}", "Exception"}
    assert pid_of(rig) == pid


def test_a_retry_that_a_worker_raises_arrives_as_it_was(rig: Rig) -> None:
    error = rig.finish(jobs.fail, Retry, 30, None, False).error
    assert isinstance(error, Retry) and (error.delay, error.count) == (30, False)


def test_a_reference_that_leads_nowhere_there_fails_the_run(rig: Rig) -> None:
    run = rig.run_of(jobs.add, 1)
    run.job = run.job.evolve(func_ref="process_jobs:gone")
    rig.executor.submit(run)
    assert failure(rig.result(run))[0] is FuncRefError


# -- workers that die -----------------------------------------------------------------------------------------


def test_a_worker_that_exits_fails_its_run_and_is_replaced(rig: Rig) -> None:
    pid = pid_of(rig)
    kind, text = failure(rig.finish(jobs.die, 3))
    assert (kind, text) == (WorkerDiedError, f"the worker process {pid} exited with status 3")
    assert pid_of(rig) != pid
    assert pid not in children()


def test_a_worker_that_is_killed_fails_its_run_and_is_replaced(rig: Rig, begun: Path) -> None:
    pid = pid_of(rig)
    run = begin_and_hear(rig, jobs.block_for_ever, begun, os.devnull)
    os.kill(pid, signal.SIGKILL)
    assert failure(rig.result(run)) == (WorkerDiedError, f"the worker process {pid} was ended by signal 9 (Killed)")
    assert pid_of(rig) != pid


def test_a_worker_that_died_while_idle_costs_no_run(rig: Rig) -> None:
    pid = pid_of(rig)
    os.kill(pid, signal.SIGKILL)
    with gevent.Timeout(WAIT_SECONDS):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            gevent.sleep(0.001)
    assert pid_of(rig) != pid
    assert pid not in children()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_leaves_the_decision_to_the_parent(rig: Rig, begun: Path, number: int) -> None:
    pid = pid_of(rig)
    run = rig.begin(jobs.echo, str(begun))
    os.kill(pid, number)
    told(begun, "still here")
    assert rig.result(run).value == "still here"
    os.kill(pid, number)
    assert pid_of(rig) == pid


def test_shutdown_leaves_no_process_behind(begun: Path) -> None:
    before = children()
    with rig_of(ProcessPoolExecutor(2)) as rig:
        run = begin_and_hear(rig, jobs.block_for_ever, begun, os.devnull)
        rig.finish(jobs.add, 1)
        assert len(children() - before) == 2
    assert children() == before
    assert failure(rig.result(run))[0] is WorkerDiedError


def test_a_worker_holds_no_socket_but_its_own() -> None:
    with rig_of(ProcessPoolExecutor(3)) as rig:
        runs = [rig.submit(jobs.sockets, id=str(number)) for number in range(6)]
        assert {rig.result(run).value for run in runs} == {1}


def test_a_process_executor_can_be_shut_down_before_its_start_and_started_after() -> None:
    executor = ProcessPoolExecutor(1)
    executor.shutdown()
    for _ in range(2):
        with rig_of(executor) as rig:
            assert rig.finish(jobs.add, 1).value == 1


# -- waiting for a worker -------------------------------------------------------------------------------------


def test_runs_wait_in_order_and_one_too_many_is_skipped(rig: Rig, begun: Path) -> None:
    first = rig.submit(jobs.echo, str(begun))
    runs = [rig.submit(jobs.add, number) for number in range(10)]
    assert rig.results[rig.submit(jobs.add, 1)].reason == "pool_full"
    told(begun, "go")
    rig.result(runs[-1])
    assert rig.started == [first, *runs]


def test_a_run_that_waited_beyond_its_grace_is_missed_and_one_that_waits_can_be_cancelled(
    rig: Rig, begun: Path
) -> None:
    rig.begin(jobs.echo, str(begun))
    late = rig.submit(jobs.add, 1, misfire_grace_ms=1000)
    unwanted = rig.submit(jobs.add, 1)
    assert rig.executor.cancel(unwanted)
    assert rig.results[unwanted].outcome is Outcome.CANCELLED
    rig.clock.advance(1.001)
    told(begun, "go")
    assert rig.outcome(late) is Outcome.MISSED


# -- timeouts and cancellation --------------------------------------------------------------------------------


@pytest.mark.parametrize("func", [jobs.compute_for_ever, jobs.block_for_ever])
def test_a_run_that_takes_too_long_is_told_inside(rig: Rig, begun: Path, tmp_path: Path, func: Any) -> None:
    pid = pid_of(rig)
    run = begin_and_hear(rig, func, begun, str(tmp_path / "cleaned"), timeout_seconds=5.0)
    rig.step("raise", after=5)
    result = rig.result(run)
    assert result.outcome is Outcome.TIMED_OUT
    assert isinstance(result.error, RunTimedOut)
    assert (tmp_path / "cleaned").read_text() == "cancelled=True"
    assert (rig.steps, rig.clock.pending()) == (["raise"], 0)
    assert pid_of(rig) == pid


def test_an_executing_run_can_be_cancelled(rig: Rig, begun: Path, tmp_path: Path) -> None:
    run = begin_and_hear(rig, jobs.block_for_ever, begun, str(tmp_path / "cleaned"))
    assert rig.executor.cancel(run)
    rig.step("raise", after=0)
    assert rig.outcome(run) is Outcome.CANCELLED
    assert isinstance(rig.result(run).error, RunCancelled)


def test_a_run_that_swallows_the_error_is_killed(rig: Rig, begun: Path) -> None:
    pid = pid_of(rig)
    run = begin_and_hear(rig, jobs.swallow, begun, timeout_seconds=5.0)
    rig.step("raise", after=5)
    rig.step("kill", after=1)
    assert rig.outcome(run) is Outcome.TIMED_OUT
    assert rig.steps == ["raise", "kill"]
    assert pid_of(rig) != pid


def test_a_process_that_cannot_be_killed_is_abandoned(rig: Rig, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = pid_of(rig)
    run = begin_and_hear(rig, jobs.swallow, begun, timeout_seconds=5.0)
    monkeypatch.setattr(process._WorkerProcess, "kill", lambda self: None)
    rig.step("raise", after=5)
    rig.step("kill", after=1)
    assert not rig.results.get(run)
    rig.step("abandon", after=1)
    assert (rig.outcome(run), rig.result(run).reason) == (Outcome.TIMED_OUT, "abandoned")
    monkeypatch.undo()
    assert pid_of(rig) != pid
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert len(rig.finished) == 3


def test_a_late_order_to_stop_does_not_hit_the_next_run(rig: Rig, begun: Path) -> None:
    run = rig.submit(jobs.add, 1)
    rig.result(run)
    run.worker.stop(None)
    gevent.idle()
    after = rig.begin(jobs.echo, str(begun))
    told(begun, "undisturbed")
    assert rig.result(after).value == "undisturbed"


def test_an_order_to_stop_that_overtakes_the_function_is_kept(rig: Rig, begun: Path) -> None:
    run = rig.begin(jobs.block_for_ever, os.devnull, jobs.SlowToLoad(str(begun)))
    rig.executor.cancel(run)
    rig.step("raise", after=0)
    told(begun, os.devnull)
    assert rig.outcome(run) is Outcome.CANCELLED
    assert rig.steps == ["raise"]


def test_a_run_can_be_cancelled_while_its_worker_starts() -> None:
    with rig_of(ProcessPoolExecutor(1)) as rig:
        run = rig.submit(jobs.add, 1)
        gevent.idle()
        assert rig.executor.cancel(run)
        rig.step("raise", after=0)
        assert rig.outcome(run) is Outcome.CANCELLED
        assert rig.started == []


def test_a_run_cancelled_just_before_its_worker_is_ready_is_not_sent() -> None:
    with rig_of(ProcessPoolExecutor(1)) as rig:
        run = rig.submit(jobs.add, 1)
        gevent.idle()
        assert rig.executor.cancel(run)
        result = rig.result(run)
        assert (result.outcome, result.value) == (Outcome.CANCELLED, None)
        assert rig.started == []
        assert rig.clock.pending() == 0


# -- whole programs -------------------------------------------------------------------------------------------

BEGINNING = """
import os, sys, time
sys.path.insert(0, {tests!r})
if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()
import gevent, json
from executor_rig import rig_of
from gsched.executors import ProcessPoolExecutor
from gsched.jobs.run import current_run
import process_jobs as jobs
"""

BUSY = """
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return os.getpid()

def tick(ticks):
    while True:
        gevent.sleep(0.005)
        ticks.append(time.monotonic())

if __name__ == "__main__":
    import subprocess
    subprocess.check_call(["true"])
    ticks = []
    gevent.spawn(tick, ticks)
    gevent.sleep(0.05)
    with rig_of(ProcessPoolExecutor(2)) as rig:
        first = len(ticks)
        runs = [rig.submit(burn, 0.3, id=str(number)) for number in range(4)]
        results = [rig.result(run) for run in runs]
        progress = ticks[first:]
        died = rig.finish(jobs.die, 3)
        pids = [result.value for result in results]
    gaps = [b - a for a, b in zip(progress, progress[1:])]
    left = open(f"/proc/self/task/{os.getpid()}/children").read()
    print(json.dumps(dict(main=os.getpid(), pids=pids, ticks=len(progress), gap=max(gaps), died=str(died.error),
                          left=left, outcomes=[str(result.outcome) for result in results])))
"""

ORPHANS = """
def compute():
    while True:
        pass

if __name__ == "__main__":
    with rig_of(ProcessPoolExecutor(2)) as rig:
        idle = rig.finish(os.getpid).value
        run = rig.begin(compute)
        if sys.argv[2] == "forked" and os.fork() == 0:
            rig.executor.forked()
        else:
            print(json.dumps([idle, run.worker._process.pid, os.getpid()]), flush=True)
        gevent.sleep(60)
"""

GEVENT_WAIT = """
def wait(begun, cleaned):
    try:
        open(begun, "w").close()
        gevent.sleep(1_000_000)
    finally:
        open(cleaned, "w").write(f"cancelled={current_run().cancelled}")

if __name__ == "__main__":
    begun, cleaned = sys.argv[2:]
    with rig_of(ProcessPoolExecutor(1)) as rig:
        run = rig.begin(wait, begun, cleaned, timeout_seconds=5.0)
        while not os.path.exists(begun):
            gevent.sleep(0.01)
        rig.step("raise", after=5)
        print(rig.outcome(run), open(cleaned).read())
"""

UNGUARDED = """
with rig_of(ProcessPoolExecutor(1)) as rig:
    print(rig.finish(jobs.add, 1).error)
print("children:", open(f"/proc/self/task/{os.getpid()}/children").read())
"""

NEVER_READY = """
if __name__ != "__main__":
    time.sleep(1_000_000)
with rig_of(ProcessPoolExecutor(1)) as rig:
    run = rig.submit(jobs.add, 1)
    gevent.sleep(0.1)
    rig.executor.cancel(run)
    rig.step("raise", after=0)
    print(rig.outcome(run))
"""


def program(tmp_path: Path, text: str) -> str:
    path = tmp_path / "program.py"
    path.write_text(BEGINNING.format(tests=str(ROOT / "tests" / "support")) + text)
    return str(path)


def output_of(path: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, path, *args], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("patched", ["patched", "unpatched"])
def test_the_hub_goes_on_while_processes_start_and_work(tmp_path: Path, patched: str) -> None:
    told = json.loads(output_of(program(tmp_path, BUSY), patched))
    assert told["outcomes"] == ["succeeded"] * 4
    assert len(set(told["pids"])) == 2
    assert told["main"] not in told["pids"]
    assert told["ticks"] > 30
    assert told["gap"] < 0.25
    assert "exited with status 3" in told["died"]
    assert told["left"] == "", "a child was left behind"


@pytest.mark.parametrize("patched", ["patched", "unpatched"])
@pytest.mark.parametrize("forked", ["alone", "forked"])
def test_workers_end_with_their_parent_however_it_ends(tmp_path: Path, patched: str, forked: str) -> None:
    with subprocess.Popen(
        [sys.executable, program(tmp_path, ORPHANS), patched, forked],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        idle, busy, main = json.loads(parent.stdout.readline())
        assert not has_ended(idle) and not has_ended(busy)
        os.kill(main, signal.SIGKILL)
        wait_for_end(idle)
        wait_for_end(busy)
        if forked == "forked":
            os.killpg(main, signal.SIGKILL)


@pytest.mark.parametrize("patched", ["patched", "unpatched"])
def test_a_run_that_waits_in_gevent_is_told_inside(tmp_path: Path, patched: str) -> None:
    args = (patched, str(tmp_path / "begun"), str(tmp_path / "cleaned"))
    assert output_of(program(tmp_path, GEVENT_WAIT), *args) == "timed_out cancelled=True\n"


def test_a_main_module_without_a_guard_is_imported_up_to_where_its_executor_starts(tmp_path: Path) -> None:
    told, children = output_of(program(tmp_path, UNGUARDED), "unpatched").splitlines()
    assert told == "None"  # no error
    assert children == "children: "


def test_a_run_can_be_cancelled_while_a_main_module_hangs(tmp_path: Path) -> None:
    assert output_of(program(tmp_path, NEVER_READY), "unpatched") == "cancelled\n"


# -- settings -------------------------------------------------------------------------------------------------


def test_settings_that_cannot_work_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="max_workers"):
        ProcessPoolExecutor(0)
    with pytest.raises(ConfigurationError, match="mp_context"):
        ProcessPoolExecutor(pool_kwargs={"mp_context": "fork"})
