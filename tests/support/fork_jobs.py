"""Jobs that fork, on one executor and one store, as a program: it prints what each kind came to.

    python tests/support/fork_jobs.py EXECUTOR DIRECTORY [MONGODB_URI DATABASE]

Runs write the process that they run in to files in DIRECTORY, so that a run in the wrong process is seen.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import multiprocessing
import os
import queue
import subprocess
import sys
import time
from pathlib import Path

import gevent

from gsched import (
    EVENT_ALL,
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    GeventScheduler,
    GreenletPoolExecutor,
    MemoryJobStore,
    MongoDBJobStore,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)  # fmt: skip

EXECUTORS = {"greenlet": GreenletPoolExecutor, "thread": ThreadPoolExecutor, "process": ProcessPoolExecutor}
LONGEST_SECONDS = 60  # a bound for what hangs


def work(directory):
    time.sleep(0.3)  # the event loop of a patched child turns meanwhile
    note(directory, "child")


def note(directory, what):
    with open(Path(directory, what), "a") as file:
        file.write(f"{os.getpid()}\n")


def in_child_process(directory, method):
    process = multiprocessing.get_context(method).Process(target=work, args=[directory])
    process.start()
    process.join()
    assert process.exitcode == 0, process.exitcode


def fork(directory, end):
    """Fork, and end the child in this way."""
    pid = os.fork()
    if pid == 0:
        work(directory)
        if end == "_exit":
            os._exit(7)
        elif end == "exit":
            sys.exit(7)
        elif end == "raise":
            raise RuntimeError("in the child")
        return
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == {"_exit": 7, "exit": 7, "raise": 1, "return": 0}[end], (end, status)


def terminate(directory):
    """A child that is told to end ends."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=[60])
    process.start()
    process.terminate()
    process.join()
    assert process.exitcode == -15, process.exitcode


def in_program(directory):
    assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout == "1\n"


def tick(directory):
    note(directory, "tick")


KINDS = [
    *((in_child_process, [method]) for method in ("fork", "spawn", "forkserver")),
    *((fork, [end]) for end in ("_exit", "exit", "raise", "return")),
    (terminate, []),
    (in_program, []),
]


def store_of(arguments):
    if not arguments:
        return MemoryJobStore()
    return MongoDBJobStore(arguments[0], database=arguments[1], modules=["__main__"])


def main(executor, directory, *store):
    parent = os.getpid()
    scheduler = GeventScheduler(
        executors={"default": GreenletPoolExecutor(), "tried": EXECUTORS[executor](3)},
        jobstores={"default": store_of(store)}, timezone="UTC", blocked_hub_after=None, run_events="none",
    )  # fmt: skip
    ended = queue.Queue()
    scheduler.add_listener(
        lambda event: ended.put(event) if event.job_id.startswith("tried") else None,
        EVENT_JOB_EXECUTED | EVENT_JOB_ERROR,
    )
    scheduler.add_listener(
        lambda event: note(directory, f"foreign {event.name}") if os.getpid() != parent else None, EVENT_ALL
    )
    scheduler.start()
    scheduler.add_job(tick, "interval", seconds=0.05, args=[directory], id="tick")
    for number, (func, arguments) in enumerate(KINDS):
        scheduler.add_job(func, executor="tried", args=[directory, *arguments], id=f"tried {number}")
        event = ended.get(timeout=LONGEST_SECONDS)
        print(func.__name__, *arguments, repr(event.exception) if event.exception else event.name, flush=True)
    gevent.sleep(0.2)
    scheduler.shutdown(timeout=5)
    ticks = set(Path(directory, "tick").read_text().split())
    print("ticks in others:", len(ticks - {str(parent)}))
    print("children:", len(Path(directory, "child").read_text().split()))
    print("events in others:", *(path.name for path in Path(directory).glob("foreign *")))


if __name__ == "__main__":
    main(*sys.argv[1:])
