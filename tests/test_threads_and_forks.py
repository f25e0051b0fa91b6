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
    if os.fork() == 0:
        gevent.sleep(0.3)
        assert not scheduler.running
        for verb in (scheduler.start, scheduler.shutdown, scheduler.pause, scheduler.get_jobs,
                     lambda: scheduler.add_job(tick), lambda: scheduler.run_job("tick")):
            try:
                verb()
            except ForkedError as error:
                assert "post_worker_init" in str(error), error
            else:
                os.write(1, b"no error\\n")
        os.write(1, b"child ends\\n")
        os._exit(0)
    os.write(1, b"forked\\n")
    gevent.sleep(0.6)
    scheduler.shutdown()
    os.write(1, b"parent ends\\n")
"""


def test_a_forked_copy_stops_and_says_what_to_do_and_the_parent_goes_on():
    out, error, code = run_program(FORK)
    lines = out.splitlines()
    assert code == 0, error
    assert "child tick" not in lines and "no error" not in lines
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

    out, error, code = run_program(SCENARIO.format(patch=patch, tests=str(Path(__file__).parent)))
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
