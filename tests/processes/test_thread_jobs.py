"""Jobs in threads of a program that gevent has patched: what waits there is woken, and nothing hangs in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

pytest_plugins = ["mongodb"]

SUPPORT = Path(__file__).parents[1] / "support"
KINDS = [
    "logging", "locks", "reentrant_locks", "semaphores", "conditions", "barriers", "events", "queues", "simple_queues",
    "stacks", "futures", "futures_of_a_shared_pool", "threads", "sockets", "asyncio", "programs", "forks", "processes",
]  # fmt: skip


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    """What each kind of job came to, by kind; the program's own end under "exit"."""
    program = f"import runpy; runpy.run_path({str(SUPPORT / 'thread_jobs.py')!r}, run_name='__main__')"
    out, error, code = run_program(program, timeout=180)
    assert "Traceback" not in error, error
    results = dict(line.split(" ", 1) for line in out.splitlines())
    return results | {"exit": str(code)}


@pytest.mark.parametrize("kind", KINDS)
def test_four_jobs_in_threads_of_a_patched_program_end_together(ended, kind):
    assert ended[kind] == "run.succeeded"


def test_a_patched_program_ends_cleanly_after_jobs_in_threads(ended):
    assert ended["exit"] == "0"


LIBRARIES = """
    from gevent import monkey; monkey.patch_all()
    import queue, redis, socket, subprocess, tempfile
    from pymongo import MongoClient
    from gsched import GeventScheduler, ThreadPoolExecutor, EVENT_JOB_ERROR, EVENT_JOB_EXECUTED

    client = MongoClient({uri!r}, maxPoolSize=2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
                              stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
    cache = redis.Redis("127.0.0.1", port, max_connections=20, retry_on_error=[redis.ConnectionError],
                        retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100))

    def use_mongodb(n):
        own = MongoClient({uri!r})
        for _ in range(20):
            client.test.thread_jobs.update_one({{"_id": n}}, {{"$inc": {{"n": 1}}}}, upsert=True)
        assert own.test.thread_jobs.find_one({{"_id": n}})["n"] == 20
        own.close()

    def use_redis(n):
        with cache.lock("one at a time", timeout=60):
            for _ in range(20):
                cache.incr(f"n{{n}}")
        assert cache.get(f"n{{n}}") == b"20"

    scheduler = GeventScheduler(executors={{"threads": ThreadPoolExecutor(4)}}, timezone="UTC", run_events="none")
    ended = queue.Queue()
    scheduler.add_listener(ended.put, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    scheduler.start()
    for func in (use_mongodb, use_redis):
        for n in range(4):
            scheduler.add_job(func, executor="threads", args=[n])
        results = [ended.get(timeout=20) for _ in range(4)]
        print(*(repr(event.exception) if event.exception else event.name for event in results))
    client.test.drop_collection("thread_jobs")
    server.terminate()
    scheduler.shutdown()
"""


def test_clients_with_connection_pools_work_in_threads_of_a_patched_program(uri):
    pytest.importorskip("redis")
    out, error, code = run_program(LIBRARIES.format(uri=uri), timeout=90)
    assert (out.splitlines(), code) == (["run.succeeded " * 3 + "run.succeeded"] * 2, 0), error


# -- interruption -----------------------------------------------------------------------------------------------

PATCHED = """
    from gevent import monkey; monkey.patch_all()
    import queue, threading, time, gevent
    from gsched import GeventScheduler, ThreadPoolExecutor, EVENT_ALL
    events = queue.Queue()
    scheduler = GeventScheduler(executors={"threads": ThreadPoolExecutor(1)}, timezone="UTC", run_events="none")
    scheduler.add_listener(lambda event: events.put(event) if event.name.startswith(("run.", "executor.")) else None)
    def wait_for(*names):
        while (event := events.get(timeout=20)).name not in names:
            pass
        return event
"""


def test_a_run_in_a_thread_of_a_patched_program_that_waits_is_interrupted_by_its_timeout():
    out, error, code = run_program(PATCHED + """
    def hang():
        try:
            threading.Lock().acquire() and threading.Event().wait()
        finally:
            print("cleaned up")
    scheduler.start()
    scheduler.add_job(hang, executor="threads", timeout=0.1)
    event = wait_for("run.timed_out")
    print(event.exception, event.reason)
    scheduler.add_job(threading.Event().wait, executor="threads", id="2")
    wait_for("run.started")
    scheduler.cancel_runs("2")
    print(wait_for("run.cancelled").reason)
    scheduler.shutdown()
    """)
    assert out.splitlines() == ["cleaned up", "the run took longer than 0.1 s None", "None"], error
    assert code == 0


def test_a_timeout_that_a_run_leaves_behind_in_a_thread_does_not_end_the_thread():
    out, error, code = run_program(PATCHED + """
    def leave_behind():
        gevent.Timeout(0.01).start()
    scheduler.start()
    scheduler.add_job(leave_behind, executor="threads")
    wait_for("run.succeeded")
    gevent.sleep(0.1)
    scheduler.add_job(lambda: print("next"), executor="threads")
    wait_for("run.succeeded")
    scheduler.shutdown()
    """)
    assert (out, code) == ("next\n", 0), error


def test_thread_locals_of_a_thread_are_kept_from_run_to_run():
    out, error, code = run_program(PATCHED + """
    local = threading.local()
    def count():
        local.runs = getattr(local, "runs", 0) + 1
        print(local.runs)
    scheduler.start()
    for _ in range(2):
        scheduler.add_job(count, executor="threads")
        wait_for("run.succeeded")
    scheduler.shutdown()
    """)
    assert (out, code) == ("1\n2\n", 0), error


def test_threads_of_a_patched_program_serve_one_executor_after_the_other():
    out, error, code = run_program(PATCHED + """
    import os
    seen = set()
    for _ in range(5):
        scheduler.start()
        scheduler.add_job(lambda: seen.add(threading.get_native_id()), executor="threads")
        wait_for("run.succeeded")
        scheduler.shutdown()
    print(len(seen))
    """)
    assert (out, code) == ("1\n", 0), error


# -- what cannot be shared --------------------------------------------------------------------------------------


def test_a_module_that_holds_one_of_gevents_queues_is_named_with_the_remedy_when_the_executor_starts():
    out, error, code = run_program("""
    from gevent import monkey; monkey.patch_all()
    from queue import Queue
    import queue, gevent
    from gsched import GeventScheduler, ThreadPoolExecutor, EVENT_EXECUTOR_LIMITED
    early, late = Queue(), queue.Queue()
    scheduler = GeventScheduler(executors={"threads": ThreadPoolExecutor(1)}, timezone="UTC")
    scheduler.add_listener(lambda event: print(event.alias, event.reason), EVENT_EXECUTOR_LIMITED)
    scheduler.start()
    gevent.sleep(0)
    scheduler.shutdown()
    """)
    assert code == 0, error
    assert out.startswith("threads gevent's own queues do not wake native threads that wait for them: __main__.Queue, ")
    assert "__main__.early" in out and "__main__.late" not in out and "call gsched.patch_all()" in out


@pytest.mark.parametrize(
    "patch",
    ["", "from gevent import monkey; monkey.patch_all()\n"],
    ids=["alone", "after gevent's"],
)
def test_a_program_that_completes_the_patching_first_is_not_warned(patch):
    out, error, code = run_program(patch + """
import gsched
gsched.patch_all()
from queue import Queue, SimpleQueue
from threading import Event
import gevent
from gsched import GeventScheduler, ThreadPoolExecutor
early = Queue()
scheduler = GeventScheduler(executors={"threads": ThreadPoolExecutor(1)}, timezone="UTC")
scheduler.add_listener(lambda event: print(event.reason), gsched.EVENT_EXECUTOR_LIMITED)
scheduler.start()
gevent.sleep(0)
scheduler.shutdown()
print(Queue.__module__, SimpleQueue.__module__, Event.__module__)
    """)
    assert (out, error, code) == ("queue queue threading\n", "", 0)


def test_an_event_of_gevents_own_that_two_threads_wait_for_fails_with_the_remedy():
    out, error, code = run_program(PATCHED + """
    from gevent.event import Event
    waiting = Event()
    def wait_too():
        waiting.wait(5)
    scheduler.start()
    gevent.spawn(waiting.wait)
    gevent.sleep(0)
    scheduler.add_job(wait_too, executor="threads")
    error = wait_for("run.failed").exception
    print(type(error).__name__, error.__notes__)
    scheduler.shutdown()
    """)
    assert out.startswith("InvalidThreadUseError") and "call gsched.patch_all()" in out, error
    assert code == 0


def test_threads_of_a_program_that_is_not_patched_are_plain():
    out, error, code = run_program("""
    import threading, time
    from gsched import GeventScheduler, ThreadPoolExecutor
    scheduler = GeventScheduler(executors={"default": ThreadPoolExecutor(2)}, timezone="UTC")
    def look():
        from gevent._hub_local import get_hub_if_exists
        print(get_hub_if_exists())
        scheduler.shutdown()
    scheduler.add_job(look)
    scheduler.run_forever()
    """)
    assert (out, code) == ("None\n", 0), error




def test_the_event_loop_goes_on_when_gevent_loses_count_of_what_other_threads_wake_it_for():
    # gevent adds to the count in the other thread, without a lock. `unref` stands for additions that were lost.
    program = """
    from gevent import monkey; monkey.patch_all()
    import gevent
    from gsched import GeventScheduler, ThreadPoolExecutor

    scheduler = GeventScheduler(executors={"default": ThreadPoolExecutor(2)})
    scheduler.start()
    loop = gevent.get_hub().loop
    for _ in range(50):
        loop.unref()
    gevent.sleep(0.01)
    for _ in range(50):
        loop.ref()
    scheduler.shutdown()
    try:
        gevent.get_hub().switch()
    except gevent.exceptions.LoopExit:
        print("ended")
    """
    out, error, code = run_program(program)
    assert (out, code) == ("ended\n", 0), error
