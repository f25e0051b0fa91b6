"""The two programs of a well-known article about APScheduler, unpatched, with nothing changed but their imports.

The second one has, of its own, the address of its MongoDB and of its file.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from waiting import wait_until

pytest_plugins = ["mongodb"]

FIRST = """
    from gsched import BackgroundScheduler
    from gsched import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
    import datetime, logging, time

    logging.basicConfig()
    logging.getLogger("apscheduler").setLevel(logging.DEBUG)

    def report(number):
        print(number, datetime.datetime.now())

    def ended(event):
        print("crashed" if event.exception else "worked")

    scheduler = BackgroundScheduler()
    scheduler.add_job(report, trigger="interval", args=[1], id="1", name="a job", max_instances=10, jobstore="default",
                      executor="default", seconds=1)
    scheduler.add_listener(ended, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    scheduler.start()
    time.sleep(60)
"""
SECOND = """
    import os, time
    from pytz import utc
    from gsched import ProcessPoolExecutor, ThreadPoolExecutor
    from gsched import MongoDBJobStore
    from gsched import SQLAlchemyJobStore
    from gsched import BackgroundScheduler

    def report(number):
        print(number, os.getpid(), flush=True)

    jobstores = {"mongo": MongoDBJobStore("MONGODB"), "default": SQLAlchemyJobStore(url="sqlite:///jobs.sqlite")}
    executors = {"default": ThreadPoolExecutor(20), "processpool": ProcessPoolExecutor(5)}
    job_defaults = {"coalesce": False, "max_instances": 3}
    scheduler = BackgroundScheduler(jobstores=jobstores, executors=executors, job_defaults=job_defaults, timezone=utc)
    scheduler.add_job(report, trigger="interval", args=[1], id="1", name="a job", jobstore="default",
                      executor="processpool", seconds=1)
    scheduler.start()
    print("started", os.getpid(), flush=True)
    time.sleep(60)
"""


def lines_of(program: str, folder: Path, enough: int) -> tuple[list[str], str]:
    """The first lines that a program writes, and all that it writes to standard error until it is ended."""
    (folder / "program.py").write_text(dedent(program))
    with (folder / "error").open("w") as error, (folder / "out").open("w") as out:
        process = subprocess.Popen([sys.executable, "-u", "program.py"], cwd=folder, stdout=out, stderr=error)
    written = folder / "out"
    try:
        wait_until(
            lambda: len(written.read_text().splitlines()) >= enough or process.poll() is not None,
            lambda: (written.read_text(), (folder / "error").read_text()),
        )
    finally:
        process.terminate()
        process.wait(20)
    return written.read_text().splitlines()[:enough], (folder / "error").read_text()


def test_the_first_program_runs_its_job_in_the_background_and_hears_that_it_worked(tmp_path):
    lines, error = lines_of(FIRST, tmp_path, 4)
    assert [re.sub(r"\d{4}-.*", "now", line) for line in lines] == ["1 now", "worked"] * 2, error


def test_the_second_program_runs_its_stored_job_in_another_process(tmp_path, address):
    lines, error = lines_of(SECOND.replace("MONGODB", address), tmp_path, 3)
    started, *reports = [line.split() for line in lines]
    assert started[0] == "started", error
    assert [number for number, _ in reports] == ["1", "1"], error
    assert started[1] not in {process for _, process in reports}


BELOW = """
    from gsched import BackgroundScheduler, EVENT_JOB_ERROR, ProcessPoolExecutor
    import time

    def heard(event):
        print(type(event.exception).__name__, event.exception)

    scheduler = BackgroundScheduler(executors={"default": ProcessPoolExecutor(1)})
    scheduler.add_listener(heard, EVENT_JOB_ERROR)
    scheduler.start()

    def below():
        pass

    scheduler.add_job(below)
    time.sleep(60)
"""


def test_a_function_below_the_start_of_the_scheduler_is_not_found_in_a_worker_and_the_error_says_why(tmp_path):
    (line,), error = lines_of(BELOW, tmp_path, 1)
    assert "__main__" in line
    assert line.endswith(
        "; a worker process imports the main module up to where its scheduler starts or looks into a database: define"
        " the function above, or put what starts the scheduler under if __name__ == '__main__':"
    ), error


TWO_SCHEDULERS = """
    from gsched import BackgroundScheduler, ProcessPoolExecutor
    import threading, time

    def threads():
        print(threading.active_count(), flush=True)

    BackgroundScheduler().start()
    scheduler = BackgroundScheduler(executors={"default": ProcessPoolExecutor(1)})
    scheduler.start()
    scheduler.add_job(threads)
    time.sleep(60)
"""


def test_no_scheduler_of_the_main_module_starts_in_a_worker_whatever_its_executors(tmp_path):
    assert lines_of(TWO_SCHEDULERS, tmp_path, 1)[0] == ["1"]
