"""Forks: a child that a job makes does its work, and nothing of the scheduler goes on in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from programs import run_program

pytest_plugins = ["mongodb"]

PROGRAM = Path(__file__).parents[1] / "support" / "fork_jobs.py"
KINDS = [
    "in_child_process fork", "in_child_process spawn", "in_child_process forkserver", "fork _exit", "fork exit",
    "fork raise", "fork return", "terminate", "in_program",
]  # fmt: skip


@pytest.mark.parametrize("store", ["memory", "mongodb"])
@pytest.mark.parametrize("executor", ["greenlet", "thread", "process"])
def test_children_of_jobs_do_their_work_and_nothing_of_the_scheduler_goes_on_in_them(
    executor, store, tmp_path, request
):
    where = []
    if store == "mongodb":
        where = [request.getfixturevalue("uri"), request.getfixturevalue("database").name]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), executor, str(tmp_path), *where],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    expected = [f"{kind} run.succeeded" for kind in KINDS]
    expected += ["ticks in others: 0", "children: 7", "events in others:"]
    assert ([line.rstrip() for line in done.stdout.splitlines()], done.returncode) == (expected, 0), done.stderr


def test_runs_that_are_due_with_one_that_forks_run_in_the_parent_only(tmp_path):
    out, error, code = run_program(f"""
    from gevent import monkey; monkey.patch_all()
    import os, time, gevent
    from gsched import GeventScheduler
    scheduler = GeventScheduler(timezone="UTC", run_events="none")
    def fork():
        pid = os.fork()
        if pid == 0:
            time.sleep(0.3)
            os._exit(0)
        os.waitpid(pid, 0)
    def note(n):
        with open({str(tmp_path / "ran")!r}, "a") as file:
            file.write(f"{{n}} {{os.getpid()}}\\n")
    for n in range(3):
        scheduler.add_job(note, args=[n])
    scheduler.add_job(fork)
    for n in range(3, 6):
        scheduler.add_job(note, args=[n])
    scheduler.start()
    gevent.sleep(0.5)
    scheduler.shutdown()
    print(os.getpid())
    """)
    assert code == 0, error
    assert sorted((tmp_path / "ran").read_text().splitlines()) == [f"{n} {out.strip()}" for n in range(6)]


def test_other_runs_do_not_clean_up_in_a_child_that_a_job_has_forked():
    out, error, code = run_program("""
    from gevent import monkey; monkey.patch_all()
    import os, time, gevent
    from gsched import GeventScheduler
    scheduler = GeventScheduler(timezone="UTC", run_events="none")
    parent = os.getpid()
    def hold():
        try:
            time.sleep(0.3)
        finally:
            os.write(1, b"cleaned up in the parent\\n" if os.getpid() == parent else b"cleaned up in the child\\n")
    def fork():
        pid = os.fork()
        if pid == 0:
            time.sleep(0.6)
            os._exit(0)
        os.waitpid(pid, 0)
    scheduler.start()
    scheduler.add_job(hold)
    gevent.sleep(0.1)
    scheduler.add_job(fork)
    gevent.sleep(0.1)
    scheduler.shutdown()
    """)
    assert (out, code) == ("cleaned up in the parent\n", 0), error


def test_the_main_greenlet_of_a_server_does_not_go_on_in_a_child_that_a_job_has_forked():
    out, error, code = run_program("""
    from gevent import monkey; monkey.patch_all()
    import os, time, gevent
    from gsched import GeventScheduler
    scheduler = GeventScheduler(timezone="UTC", run_events="none")
    def fork():
        pid = os.fork()
        if pid == 0:
            time.sleep(0.5)
            os.write(1, b"child did its work\\n")
            os._exit(0)
        os.waitpid(pid, 0)
    scheduler.start()
    scheduler.add_job(fork)
    gevent.sleep(0.2)
    os.write(1, b"main goes on\\n")
    scheduler.shutdown()
    """)
    assert (out, code) == ("main goes on\nchild did its work\n", 0), error


def test_a_child_that_waits_for_what_only_its_parent_could_do_ends_with_an_error():
    out, error, code = run_program("""
    from gevent import monkey; monkey.patch_all()
    import os, gevent
    from gevent.event import Event
    from gsched import GeventScheduler
    scheduler = GeventScheduler(timezone="UTC", run_events="none", blocked_hub_after=None)
    def fork():
        pid = os.fork()
        if pid == 0:
            Event().wait()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    scheduler.start()
    scheduler.add_job(fork)
    gevent.sleep(0.2)
    scheduler.shutdown()
    """)
    assert (out, code) == ("1\n", 0), error
    assert "waits for what only greenlets of its parent could do" in error


@pytest.mark.parametrize("executor", ["GreenletPoolExecutor", "ThreadPoolExecutor"])
def test_a_child_that_a_job_has_forked_may_run_a_scheduler_of_its_own(executor):
    out, error, code = run_program(f"""
    from gevent import monkey; monkey.patch_all()
    import os, gevent
    from gsched import GeventScheduler, {executor}
    def fork():
        pid = os.fork()
        if pid == 0:
            own = GeventScheduler(executors={{"default": {executor}()}}, timezone="UTC")
            own.add_job(lambda: (os.write(1, b"ran in the child\\n"), own.shutdown()))
            own.run_forever()
            os._exit(9)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    scheduler = GeventScheduler(executors={{"default": {executor}()}}, timezone="UTC", run_events="none")
    scheduler.start()
    scheduler.add_job(fork)
    gevent.sleep(0.1)
    scheduler.shutdown()
    """)
    assert (out, code) == ("ran in the child\n9\n", 0), error


def test_the_nodes_beat_ends_with_the_parent_though_a_child_of_a_job_lives_on(uri, database, tmp_path):
    _, error, code = run_program(f"""
    from gevent import monkey; monkey.patch_all()
    import os, time, gevent
    from gsched import GeventScheduler, MongoDBJobStore
    def fork():
        if os.fork() == 0:
            time.sleep(2.5)
            os._exit(0)
        os.kill(os.getpid(), 9)
    store = MongoDBJobStore({uri!r}, database={database.name!r}, modules=["__main__"])
    scheduler = GeventScheduler(jobstores={{"default": store}}, timezone="UTC")
    scheduler.start()
    gevent.sleep(0.3)
    scheduler.add_job(fork)
    gevent.sleep(20)
    """)
    assert code == -9, error
    beats = [node["watermark"] for node in database["jobs.nodes"].find()]
    assert len(beats) == 1
    assert [node["watermark"] for node in database["jobs.nodes"].find()] == beats


def test_a_worker_process_does_not_leave_its_socket_to_programs_that_a_run_starts(tmp_path):
    _, error, code = run_program(f"""
    import os
    from gsched import EVENT_JOB_EXECUTED, GeventScheduler, ProcessPoolExecutor
    scheduler = GeventScheduler(executors={{"default": ProcessPoolExecutor(1)}}, timezone="UTC")
    scheduler.add_listener(lambda event: scheduler.shutdown(), EVENT_JOB_EXECUTED)
    scheduler.add_job(os.system, args=["ls -l /proc/self/fd > {tmp_path / 'open'}"])
    scheduler.run_forever()
    """)
    assert code == 0, error
    assert "socket:" not in (tmp_path / "open").read_text()


def test_the_child_that_becomes_a_notifiers_program_warns_of_no_fork():
    """The hub may turn in the child before the program takes its place; here it does, for certain."""
    out, error, code = run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, gevent, gevent.event
        from gsched import GeventScheduler
        from gsched.notices import Notifier
        from gsched.notices.channels.channel import Channel

        class Forking(Channel):
            def send(self, message):
                child = os.fork()
                if child == 0:
                    gevent.sleep(0.2)
                    os.execlp("true", "true")
                os.waitpid(child, 0)
                sent.set()

            def where(self):
                return "here"

        def fail():
            raise ValueError("no")

        sent = gevent.event.Event()
        scheduler = GeventScheduler(timezone="UTC", notifiers=[Notifier("ops", Forking())])
        scheduler.add_job(fail, id="a")
        scheduler.start()
        print(sent.wait(20), flush=True)
        scheduler.shutdown()
    """)
    assert (code, out) == (0, "True\n"), error
    assert "run.failed" in error and "fork.detected" not in error
