"""Native threads, forks, and monkey-patching."""

from __future__ import annotations

from programs import run_program

# -- forks ----------------------------------------------------------------------------------------------------------

FORK = """
    from gevent import monkey; monkey.patch_all()
    import os, sys, gevent
    from gsched import GeventScheduler, ForkedError, EVENT_FORK_DETECTED

    def tick():
        os.write(1, b"child tick\\n" if os.getpid() != parent else b"parent tick\\n")

    def say(event):
        os.write(1, f"{event.name} {event.remedy}\\n".encode())

    parent = os.getpid()
    scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=None)
    scheduler.add_listener(say, EVENT_FORK_DETECTED)
    scheduler.add_job(tick, "interval", seconds=0.05, id="tick")
    scheduler.start()
    gevent.sleep(0.12)
    child = os.fork()
    if child == 0:
        gevent.sleep(0.3)
        assert not scheduler.running
        for verb in (scheduler.shutdown, scheduler.pause, scheduler.get_jobs,
                     lambda: scheduler.add_job(tick), lambda: scheduler.run_job("tick")):
            try:
                verb()
            except ForkedError as error:
                assert "post_worker_init" in str(error), error
            else:
                os.write(1, b"no error\\n")
        os.write(1, b"child starts\\n")
        scheduler.start()
        gevent.sleep(0.2)
        print(scheduler.shutdown(), [job.id for job in scheduler.get_jobs()], flush=True)
        os.write(1, b"child ends\\n")
        os._exit(0)
    os.write(1, b"forked\\n")
    os.waitpid(child, 0)
    scheduler.shutdown()
    os.write(1, b"parent ends\\n")
"""


def test_a_forked_copy_stops_until_it_is_started_anew_and_the_parent_goes_on():
    out, error, code = run_program(FORK)
    lines = out.splitlines()
    assert code == 0, error
    assert "no error" not in lines
    start = lines.index("child starts")
    assert "child tick" not in lines[:start] and "child tick" in lines[start:]
    assert "[] ['tick']" in lines[start:]
    (detected,) = (line for line in lines if line.startswith("fork.detected"))
    assert "post_worker_init" in detected and "@postfork" in detected
    assert {"child ends", "parent ends"} <= set(lines)
    assert lines[lines.index("forked") :].count("parent tick") >= 3
    assert "Traceback" not in error


def test_a_child_may_start_a_scheduler_of_its_own():
    out, error, code = run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, gevent
        from gsched import GeventScheduler
        GeventScheduler(timezone="UTC").start()
        gevent.sleep(0)
        if os.fork() == 0:
            scheduler = GeventScheduler(timezone="UTC")
            scheduler.add_job(lambda: (os.write(1, b"ran in the child\\n"), scheduler.shutdown()))
            scheduler.run_forever()
            os._exit(0)
        os.wait()
    """)
    assert (out, code) == ("ran in the child\n", 0), error


def test_a_scheduler_that_was_made_before_the_fork_and_started_after_it_works():
    out, error, code = run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, gevent
        from gsched import GeventScheduler
        scheduler = GeventScheduler(timezone="UTC")
        scheduler.add_job(lambda: (os.write(1, b"ran in the child\\n"), scheduler.shutdown()))
        if os.fork() == 0:
            scheduler.run_forever()
            os._exit(0)
        os.wait()
    """)
    assert (out, code) == ("ran in the child\n", 0), error


# -- monkey-patching ------------------------------------------------------------------------------------------------

SCENARIO = """
    {patch}
    import sys; sys.path.insert(0, {tests!r})
    import threading
    from bench import Bench
    from gsched import GreenletPoolExecutor, ThreadPoolExecutor

    bench = Bench(executors={{"default": GreenletPoolExecutor(3), "threads": ThreadPoolExecutor(2)}})
    bench.every(10, id="steady", args=["steady"])
    bench.start()
    bench.every(10, lambda: 1 / 0, id="failing")
    bench.every(10, bench.wait, id="slow", timeout=3)
    bench.advance(25)
    bench.in_thread(lambda: bench.scheduler.pause_job("failing"))
    thread = threading.Thread(target=lambda: bench.add(args=["added"], id="added"))
    thread.start()
    bench.driver.wait_for(lambda: not thread.is_alive())
    bench.add(lambda: bench.ran.append("in a thread"), executor="threads")
    bench.driver.wait_for(lambda: "in a thread" in bench.ran)
    bench.driver.jump(30)
    job = bench.scheduler.get_job("steady")
    print(bench.ledger.problems(job.definition, bench.at(10), bench.at(55)))
    print([what for what in bench.ran if isinstance(what, tuple) and what[1] == "steady"])
    print(sorted(bench.names()))
    print([sorted(event.modules) for event in bench.events("runtime.not_patched")])
    bench.close()
    print(bench.names("scheduler."))
"""


def scenario(patch: str) -> list[str]:
    from pathlib import Path

    out, error, code = run_program(SCENARIO.format(patch=patch, tests=str(Path(__file__).parents[1] / "support")))
    assert code == 0, error
    return out.splitlines()


def test_everything_works_with_patching_as_without():
    plain = scenario("")
    patched = scenario("from gevent import monkey; monkey.patch_all()")
    assert plain[0] == "[]" and plain[4] == "['scheduler.started', 'scheduler.draining', 'scheduler.stopped']"
    assert [line for number, line in enumerate(plain) if number != 3] == [
        line for number, line in enumerate(patched) if number != 3
    ]
    assert plain[3] == "[['select', 'socket', 'ssl', 'subprocess', 'threading', 'time']]"
    assert patched[3] == "[]"


def test_a_partly_patched_process_is_warned_of_once():
    out, error, code = run_program("""
        from gevent import monkey; monkey.patch_all(ssl=False)
        import logging; logging.basicConfig()
        from gsched import GeventScheduler
        scheduler = GeventScheduler(timezone="UTC")
        scheduler.add_job(scheduler.shutdown, "interval", seconds=0.1)
        scheduler.run_forever()
    """)
    assert (out, code) == ("", 0)
    (warning,) = (line for line in error.splitlines() if line.startswith("WARNING"))
    assert "runtime.not_patched" in warning and "modules=['ssl']" in warning
    assert "patch_all() on the first line" in warning


# -- an event loop that does not turn -------------------------------------------------------------------------------

AT_REST = "the scheduler was started in the main thread of a program that gevent has not patched"
REMEDIES = ("monkey.patch_all()", "BackgroundScheduler", "AsyncIOScheduler", "`gsched run`")


def test_a_program_that_is_not_patched_is_warned_at_once_on_standard_error_with_three_remedies():
    out, error, code = run_program("""
        from gsched import GeventScheduler
        GeventScheduler(timezone="UTC").start()
        print("started")
    """)
    assert (out, code) == ("started\n", 0)
    assert error.startswith(f"gsched: {AT_REST}")
    assert all(remedy in error for remedy in REMEDIES)


def test_the_warning_of_an_event_loop_at_rest_is_in_the_log_that_the_program_has_set_up():
    _, error, code = run_program("""
        import logging, sys
        from gsched import GeventScheduler
        logging.basicConfig(stream=sys.stderr, format="LOG %(levelname)s %(message)s")
        GeventScheduler(timezone="UTC").start()
    """)
    assert code == 0
    (logged,) = (line for line in error.splitlines() if line.startswith("LOG"))
    assert logged.startswith("LOG WARNING hub.at_rest") and AT_REST in logged


RUNS = """
    import threading, time
    from gsched import GeventScheduler
    scheduler = GeventScheduler(timezone="UTC", run_events="none")
    ran = threading.Event()
    scheduler.add_job(ran.set)
"""


def test_a_scheduler_that_runs_for_ever_in_the_main_thread_is_not_warned_of():
    _, error, code = run_program(RUNS + """
    scheduler.add_job(scheduler.shutdown)
    scheduler.run_forever()
    """)
    assert code == 0 and AT_REST not in error


def test_a_program_that_is_not_patched_runs_jobs_in_a_thread_of_the_scheduler():
    out, error, code = run_program(RUNS + """
    thread = threading.Thread(target=scheduler.run_forever, daemon=True)
    thread.start()
    print(ran.wait(20))
    while not scheduler.running:
        time.sleep(0.01)
    done = threading.Event()
    scheduler.add_job(done.set, "interval", seconds=0.05, id="added from the main thread")
    print(done.wait(20), [job.id for job in scheduler.get_jobs()])
    scheduler.shutdown()
    thread.join(20)
    print(thread.is_alive())
    """)
    assert out.splitlines() == ["True", "True ['added from the main thread']", "False"], error
    assert code == 0 and AT_REST not in error and "not_patched" not in error


def test_a_call_from_another_thread_is_withdrawn_if_the_event_loop_does_not_turn():
    out, error, code = run_program("""
        import threading, time
        from gsched import EventLoopStalledError, GeventScheduler
        from gsched.event_loop import threads
        threads._STALLED_SECONDS = 1
        scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=None)
        scheduler.start()
        def add():
            try:
                scheduler.add_job(print, "interval", days=1, args=["ran"], id="withdrawn")
            except EventLoopStalledError as error:
                print(error)
        thread = threading.Thread(target=add)
        thread.start()
        thread.join(20)
        import gevent
        gevent.sleep(0.1)                       # it turns now: what was withdrawn is not made up for
        print(scheduler.get_jobs())
        scheduler.shutdown()
    """)
    withdrawn, jobs = out.splitlines()
    assert "has not turned for 1 s: the call was withdrawn, and had no effect" in withdrawn, error
    assert all(remedy in withdrawn for remedy in REMEDIES)
    assert (jobs, code) == ("[]", 0)


def test_a_call_that_has_begun_is_waited_for_however_long_it_takes():
    out, error, code = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from gsched import GeventScheduler
        from gsched.event_loop import threads
        threads._STALLED_SECONDS = 1
        scheduler = GeventScheduler(timezone="UTC", blocked_hub_after=None)
        scheduler.start()
        scheduler.add_job(gevent.sleep, args=[2.5], id="slow")
        gevent.sleep(0.1)
        results = []
        monkey.get_original("_thread", "start_new_thread")(lambda: results.append(scheduler.shutdown()), ())
        while not results:
            gevent.sleep(0.05)
        print(results)
    """)
    assert (out, code) == ("[[]]\n", 0), error
