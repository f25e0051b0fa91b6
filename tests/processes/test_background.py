"""BackgroundScheduler and BlockingScheduler in programs that gevent has not patched."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

pytest_plugins = ["mongodb"]

BEGIN = """
import os, sys, threading, time
from gsched import *

def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this never came"
        time.sleep(0.005)

ran = []
"""


def run(program: str, **options: float | str) -> str:
    """What a program printed, which ended well and wrote nothing to standard error."""
    out, error, code = run_program(BEGIN + program, **options)  # type: ignore[arg-type]
    assert (error, code) == ("", 0), out
    return out


def test_jobs_listeners_and_verbs_work_in_a_plain_program_from_the_first_start_to_the_second() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC")
heard = []
scheduler.add_listener(lambda event: heard.append(event.job_id), EVENT_JOB_EXECUTED)
scheduler.add_job(lambda: ran.append(threading.current_thread() is threading.main_thread()), "interval", hours=1,
                  id="early", next_run_time="now")
scheduler.start()
scheduler.add_job(ran.append, args=[False], id="late")
wait_until(lambda: sorted(heard) == ["early", "late"])
print(ran, scheduler.get_job("early").state, scheduler.running)
scheduler.shutdown()
scheduler.add_job(ran.append, args=["again"], id="between")
print(scheduler.running, sorted(job.id for job in scheduler.get_jobs()))
scheduler.start()
wait_until(lambda: "between" in heard)
scheduler.shutdown()
print(scheduler.join(1), ran[-1])
""")
    assert out.splitlines() == [
        "[False, False] scheduled True",
        "False ['between', 'early']",
        "True again",
    ]


def test_a_listener_hears_what_was_changed_between_two_starts() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC")
heard = []
scheduler.add_listener(lambda event: heard.append(event.job_id), EVENT_JOB_ADDED)
scheduler.start()
scheduler.shutdown()
scheduler.add_job(print, "interval", hours=1, id="between")
print(heard)
scheduler.start()
wait_until(lambda: heard)
print(heard)
scheduler.shutdown()
""")
    assert out.splitlines() == ["[]", "['between']"]


def test_starting_and_stopping_often_leaves_no_thread_and_no_descriptor_behind() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC", jobstores={"default": MemoryJobStore()})
scheduler.add_listener(ran.append)
scheduler.add_job(ran.append, "interval", seconds=0.01, args=[1], max_instances=9)
def cycle():
    scheduler.start()
    wait_until(lambda: 1 in ran)
    scheduler.shutdown()
cycle()
before = len(os.listdir("/proc/self/fd"))
for _ in range(10):
    cycle()
wait_until(lambda: threading.active_count() == 1)
print(len(os.listdir("/proc/self/fd")) - before)
""")
    assert out == "0\n"


def test_an_error_at_the_start_is_raised_by_start_and_leaves_no_thread_behind() -> None:
    out = run("""
store = MemoryJobStore()
first, second = (BackgroundScheduler(jobstores={"default": store}) for _ in range(2))
first.start()
try:
    second.start()
except ConfigurationError as error:
    print(error)
print(second.running)
try:
    first.start()
except SchedulerAlreadyRunningError:
    print("already")
first.shutdown()
second.start()
second.shutdown()
wait_until(lambda: threading.active_count() == 1)
""")
    assert "this store object is in use" in out and out.endswith("False\nalready\n")


def test_a_listener_that_blocks_delays_neither_runs_nor_other_listeners() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC")
blocked, go_on, others = threading.Event(), threading.Event(), []
def block(event):
    blocked.set()
    go_on.wait(20)
scheduler.add_listener(block, EVENT_JOB_EXECUTED)
scheduler.add_listener(others.append, EVENT_JOB_EXECUTED)
scheduler.add_job(ran.append, "interval", seconds=0.02, args=[1], max_instances=9)
scheduler.start()
blocked.wait(20)
before = len(ran), len(others)
wait_until(lambda: len(ran) > before[0] + 3 and len(others) > before[1] + 3)
go_on.set()
scheduler.shutdown()
print("ended")
""")
    assert out == "ended\n"


def test_a_listener_and_a_job_may_shut_the_scheduler_down() -> None:
    out = run("""
for source in ("listener", "job"):
    scheduler = BackgroundScheduler(timezone="UTC")
    ended = []
    def end(*_):
        scheduler.shutdown()
        ended.append(time.monotonic())
    if source == "listener":
        scheduler.add_listener(end, EVENT_JOB_EXECUTED)
    scheduler.add_job(end if source == "job" else time.monotonic)
    begun = time.monotonic()
    scheduler.start()
    wait_until(lambda: ended and not scheduler.running)
    assert scheduler.join(20)
    print(source, ended[0] - begun < 4)
""")
    assert out.splitlines() == ["listener True", "job True"]


def test_a_program_may_end_while_the_scheduler_runs() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC", run_events="none")
begun = threading.Event()
def look():
    begun.set()
    while not current_run().cancelled:
        time.sleep(0.01)
    print("cancelled", flush=True)
scheduler.add_job(look)
scheduler.start()
begun.wait(20)
""")
    assert out == "cancelled\n"


def test_with_daemon_false_the_program_goes_on_until_the_shutdown() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC", daemon=False)
def work():
    ran.append(1)
    if ran == [1, 1, 1]:
        print("three", flush=True)
        scheduler.shutdown()
scheduler.add_job(work, "interval", seconds=0.01, misfire_grace_time=None, max_instances=9)
scheduler.start()
print("main ends")
""")
    assert out.splitlines() == ["main ends", "three"]


def test_ctrl_c_ends_a_blocking_scheduler_after_the_runs_in_progress() -> None:
    out = run(
        """
scheduler = BlockingScheduler(timezone="UTC")
def work():
    print("begun", flush=True)
    time.sleep(0.5)
    print("ended", flush=True)
scheduler.add_job(work)
scheduler.start()
print("over", scheduler.running)
""",
        interrupt_after="begun",
    )
    assert out.splitlines() == ["begun", "ended", "over False"]


def test_a_blocking_scheduler_takes_verbs_from_threads_and_ends_when_one_shuts_it_down() -> None:
    out = run("""
scheduler = BlockingScheduler(timezone="UTC")
def other():
    wait_until(lambda: scheduler.running)
    scheduler.add_job(ran.append, args=["added"])
    wait_until(lambda: ran)
    scheduler.shutdown()
threading.Thread(target=other).start()
scheduler.start()
print(ran)
""")
    assert out == "['added']\n"


def test_a_forked_child_has_a_copy_that_says_so_until_it_is_started_there() -> None:
    out = run("""
scheduler = BackgroundScheduler(timezone="UTC", run_events="none")
scheduler.add_job(ran.append, "interval", seconds=0.01, args=[1], id="tick", max_instances=9)
scheduler.start()
wait_until(lambda: ran)
child = os.fork()
if child == 0:
    try:
        scheduler.get_jobs()
    except ForkedError:
        print("forked", scheduler.running, flush=True)
    import logging; logging.getLogger("gsched").setLevel(logging.ERROR)
    ran.clear()
    scheduler.start()
    wait_until(lambda: ran)
    scheduler.shutdown()
    print("ran in the child", flush=True)
    os._exit(0)
os.waitpid(child, 0)
ran.clear()
wait_until(lambda: ran)
scheduler.shutdown()
print("went on in the parent")
""")
    assert out.splitlines() == ["forked False", "ran in the child", "went on in the parent"]


def test_greenlets_named_as_executor_get_a_warning_in_a_program_without_gevent() -> None:
    _, error, code = run_program(BEGIN + """
scheduler = BackgroundScheduler(timezone="UTC", executors={"default": GreenletPoolExecutor()})
scheduler.start()
scheduler.shutdown()
""")
    assert code == 0
    assert "executor.limited" in error and "use a ThreadPoolExecutor" in error


def test_in_a_patched_program_it_runs_in_the_hub_of_the_caller_and_says_so_once() -> None:
    out, error, code = run_program("from gevent import monkey; monkey.patch_all()" + BEGIN + """
import logging; logging.basicConfig()
import gevent
for _ in range(2):
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(lambda: ran.append(gevent.getcurrent().parent is gevent.get_hub()))
    scheduler.start()
    wait_until(lambda: ran)
    scheduler.shutdown()
print(ran)
""")
    assert (out, code) == ("[True, True]\n", 0), error
    assert error.count("scheduler.in_this_hub") == 1


STRESS = BEGIN + """
import logging, random
logging.disable()
stop, calls, wrong = threading.Event(), [], []
scheduler = BackgroundScheduler(timezone="UTC", modules=["time"], jobstores={"default": make_store()})

def hammer(seed):
    rng = random.Random(seed)
    while not stop.is_set():
        job_id = str(rng.randrange(4))
        verb = rng.choice([
            lambda: scheduler.add_job(time.monotonic, "interval", seconds=0.05, id=job_id, replace_existing=True),
            scheduler.get_jobs, lambda: scheduler.remove_job(job_id), lambda: scheduler.pause_job(job_id),
            lambda: scheduler.resume_job(job_id), lambda: scheduler.run_job(job_id), scheduler.get_runs,
            lambda: scheduler.modify_job(job_id, name="x"), lambda: [*scheduler.iter_jobs()], scheduler.status,
            scheduler.pause, scheduler.resume, scheduler.health, lambda: scheduler.get_job(job_id),
        ])
        begun = time.monotonic()
        try:
            verb()
        except GschedError:
            pass
        except BaseException as error:
            wrong.append(repr(error))
        calls.append(time.monotonic() - begun)

threads = [threading.Thread(target=hammer, args=(seed,), daemon=True) for seed in range(4)]
for thread in threads:
    thread.start()
for number in range(ROUNDS):
    scheduler.start()
    time.sleep(0.05 * (number % 3))
    scheduler.shutdown(wait=number % 2 == 0, timeout=5)
stop.set()
for thread in threads:
    thread.join(20)
print([thread for thread in threads if thread.is_alive()], wrong, len(calls) > 100)
"""


@pytest.mark.parametrize("kind", ["memory", "sqlite", "mongodb"])
def test_no_verb_hangs_before_while_and_after_the_scheduler_runs(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    stores = {
        "memory": "MemoryJobStore()",
        "sqlite": f"SQLJobStore({f'sqlite:///{tmp_path}/jobs.sqlite'!r})",
        "mongodb": "MongoDBJobStore({!r})",
    }
    store = stores[kind].format(request.getfixturevalue("address")) if kind == "mongodb" else stores[kind]
    program = f"def make_store():\n    return {store}\nROUNDS = {12 if kind == 'memory' else 4}\n"
    out, error, code = run_program("from gsched import *\n" + program + STRESS, timeout=100)
    assert (out, code) == ("[] [] True\n", 0), error
