"""The workloads of compare.py: measures one test in this process, with the `gsched` package that PYTHONPATH names.

The standard library is patched, as under `gsched run`. The package may be older than this file, so this file uses only
the public API. When everything is imported, the process prints a line and waits for the end of its standard input. Then
it measures and prints JSON: the folder of the package, and CPU microseconds per run of each workload.
Run: PYTHONPATH=CHECKOUT python load_tests/compare_workloads.py TEST </dev/null
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from time import process_time
from typing import Any

import gevent
from workload import counted, every_second, freeze, runs_so_far

import gsched
from gsched import GeventScheduler, ThreadPoolExecutor

START_SECONDS = 0.1  # until all jobs are there
SETTLE_SECONDS = 0.3  # until the first runs have made the workers
SECONDS = 1.5
SATURATING_JOBS = 1000
IMPORT = """
from time import process_time
began = process_time()
import gsched
gsched.GeventScheduler
print(process_time() - began)
"""

block = monkey.get_original("time", "sleep")


def throughput() -> dict[str, float]:
    """No-op runs, more due than can be done; what is too much is coalesced."""
    definition = {"func": counted, "trigger": "interval", "seconds": 0.01, "max_instances": 1000}
    return {"throughput": us_per_run([definition] * SATURATING_JOBS)}


def lateness() -> dict[str, float]:
    """No-op runs spread over the second."""
    return {f"lateness, {jobs:,} runs/s": us_per_run(spread_over(jobs, counted)) for jobs in (1000, 5000)}


def io_jobs() -> dict[str, float]:
    """Runs that wait 10 to 50 ms."""
    return {"io_jobs, 1,000 runs/s": us_per_run(spread_over(1000, wait, 10, 50))}


def threads() -> dict[str, float]:
    """No-op runs, and runs that block for 2 to 5 ms, in threads."""
    return {
        "threads, 500 no-op runs/s": us_per_run(spread_over(500, counted), ThreadPoolExecutor(20)),
        "threads, 300 blocking runs/s": us_per_run(spread_over(300, block_thread, 2, 5), ThreadPoolExecutor(20)),
    }


def imports() -> dict[str, float]:
    """What a program and a command pay before their first line."""
    began = children_seconds()
    subprocess.run([sys.executable, "-P", "-m", "gsched", "--help"], stdout=subprocess.DEVNULL, check=True)
    command = children_seconds() - began
    imported = subprocess.run([sys.executable, "-P", "-c", IMPORT], stdout=subprocess.PIPE, check=True)
    return {"import gsched": float(imported.stdout) * 1e6, "gsched --help": command * 1e6}


def spread_over(jobs: int, func: Any, least_ms: int = 0, most_ms: int = 0) -> Iterable[dict[str, Any]]:
    """Definitions of jobs that recur every second, spread over it; with bounds, each gets milliseconds between them."""
    for number, definition in enumerate(every_second(func, jobs, delay_seconds=START_SECONDS)):
        yield {**definition, "args": [least_ms + number % (most_ms - least_ms + 1)] if most_ms else []}


def us_per_run(definitions: Iterable[dict[str, Any]], executor: Any = None) -> float:
    """CPU microseconds of this process per run, over a while."""
    scheduler = GeventScheduler(timezone="UTC", **({} if executor is None else {"executors": {"default": executor}}))
    scheduler.start()
    scheduler.add_jobs(definitions)
    freeze()  # a full collection in the time of only one of the two would look like a difference
    gevent.sleep(SETTLE_SECONDS)
    began, before = process_time(), runs_so_far()
    gevent.sleep(SECONDS)
    used, done = process_time() - began, runs_so_far() - before
    scheduler.shutdown()
    if not done:
        raise SystemExit("no run ended")
    return used / done * 1e6


def wait(milliseconds: int) -> None:
    """A run that waits for I/O."""
    counted()
    gevent.sleep(milliseconds / 1000)


def block_thread(milliseconds: int) -> None:
    """A run that blocks without gevent's knowledge."""
    counted()
    block(milliseconds / 1000)


def children_seconds() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


TESTS = {"throughput": throughput, "lateness": lateness, "io_jobs": io_jobs, "threads": threads, "import": imports}

if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the same CPU as the processes beside this one
    print("ready", flush=True)
    sys.stdin.read()
    print(json.dumps({"package": str(Path(gsched.__file__).parent), "us_per_run": TESTS[sys.argv[1]]()}))
