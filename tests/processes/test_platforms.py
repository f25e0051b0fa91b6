"""Other platforms: a stand-in for Windows lacks what only POSIX has; tests/support/windows makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
ENDED_BY_CTRL_C = "tests/unit/test_lifecycle.py::test_ctrl_c_ends_run_forever_cleanly"  # it sends SIGINT, as on POSIX
WINDOWS = ROOT / "tests/support/windows"


def on_windows(*command: str, cwd: Path = ROOT, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """What a Python command does on the stand-in for Windows."""
    path = os.pathsep.join(map(str, (WINDOWS, ROOT, ROOT / "tests/support")))
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, timeout=timeout, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def program(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a program does there. It is a file: workers of the process executor import their parent's main module."""
    (folder / "program.py").write_text(dedent(text))
    return on_windows("program.py", cwd=folder)


def test_a_background_scheduler_runs_stored_jobs_in_threads_and_processes_on_windows(tmp_path):
    done = program(
        """
        import os, sys
        from queue import Queue

        import process_jobs
        from gsched import BackgroundScheduler, ProcessPoolExecutor, SQLJobStore, EVENT_JOB_ERROR, EVENT_JOB_EXECUTED

        if __name__ == "__main__":
            assert not hasattr(os, "fork") and sys.platform == "win32"
            heard = Queue()
            scheduler = BackgroundScheduler(
                jobstores={"sqlite": SQLJobStore("sqlite:///jobs.sqlite")},
                executors={"processes": ProcessPoolExecutor(2)},
            )
            scheduler.add_listener(heard.put, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
            scheduler.start()
            for store in ("default", "sqlite"):
                for executor in ("default", "processes"):
                    scheduler.add_job(process_jobs.add, args=[1, 2], jobstore=store, executor=executor)
            events = [heard.get(timeout=60) for _ in range(4)]
            print(sorted((event.jobstore, event.retval) for event in events))
            print(scheduler.timezone, scheduler.shutdown())
        """,
        tmp_path,
    )
    assert done.stdout.splitlines() == [
        "[('default', 3), ('default', 3), ('sqlite', 3), ('sqlite', 3)]",
        "Europe/Berlin []",
    ], done.stderr


def test_a_run_in_a_process_is_interrupted_on_windows_or_killed_if_it_blocks(tmp_path):
    done = program(
        """
        import time
        from queue import Queue
        from gsched import BackgroundScheduler, ProcessPoolExecutor, EVENT_JOB_TIMED_OUT

        def spin():
            try:
                while True:
                    pass
            finally:
                open("interrupted", "w").close()

        def block():
            try:
                time.sleep(1000)
            finally:
                open("blocked", "w").close()

        if __name__ == "__main__":
            heard = Queue()
            scheduler = BackgroundScheduler(executors={"default": ProcessPoolExecutor(2)})
            scheduler.add_listener(heard.put, EVENT_JOB_TIMED_OUT)
            scheduler.start()
            for job in (spin, block):
                scheduler.add_job(job, timeout=0.5)
            print(sorted(heard.get(timeout=60).job_id is not None for _ in range(2)))
            scheduler.shutdown()
        """,
        tmp_path,
    )
    assert done.stdout == "[True, True]\n", done.stderr
    assert (tmp_path / "interrupted").exists()
    assert not (tmp_path / "blocked").exists()


def test_what_needs_posix_is_refused_on_windows_in_one_line(tmp_path):
    done = on_windows("-m", "gsched", "job", "list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gsched: the command line needs Linux or macOS; the library works here")
    assert done.stderr.count("\n") == 1
    embedded = "import gsched; gsched.MongoDBJobStore.embedded('data')"
    assert on_windows("-c", embedded, cwd=tmp_path).stderr.splitlines()[-1].startswith(
        "gsched.errors.EmbeddedMongoUnusableError: a private MongoDB needs Linux or macOS"
    )
    runner = "from gsched.runner.commands import *"
    assert on_windows("-c", runner, cwd=tmp_path).stderr.splitlines()[-1].startswith(
        "gsched.errors.ConfigurationError: the runner, with its shell commands, needs Linux or macOS"
    )


def test_every_module_of_the_library_can_be_imported_on_windows():
    needs_posix = ("gsched.cli", "gsched.embedded", "gsched.runner", "gsched.__main__")
    everything = f"""
        import gsched, importlib, pkgutil
        names = [each.name for each in pkgutil.walk_packages(gsched.__path__, "gsched.", onerror=lambda name: None)]
        library = [name for name in names if not name.startswith({needs_posix!r})]
        for name in library:
            importlib.import_module(name)
        print(len(library) > 200)
    """
    done = on_windows("-c", dedent(everything))
    assert done.stdout == "True\n", done.stderr


def test_unit_tests_of_the_library_pass_on_windows():
    quick = ("triggers_interval", "lifecycle", "executors", "thread_executor", "events")
    files = [f"tests/unit/test_{name}.py" for name in quick]
    options = ("-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--deselect", ENDED_BY_CTRL_C)
    done = on_windows("-m", "pytest", *options, *files)
    assert done.returncode == 0, done.stdout[-3000:]
