"""Ctrl-C in programs whose libraries have threads."""

from __future__ import annotations

import signal
import subprocess
import sys
from textwrap import dedent

INTERRUPTED_IN_A_THREAD = """
    from gevent import monkey; monkey.patch_all()
    import os, signal, threading, time
    from gsched.event_loop.process import ctrl_c_reaches_main_greenlet

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)  # Python handles it here, in the thread's greenlet
        time.sleep(0)

    try:
        with ctrl_c_reaches_main_greenlet():
            threading.Thread(target=interrupt).start()
            time.sleep(30)
        print("not interrupted")
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_reaches_the_main_greenlet_though_a_thread_of_a_library_runs():
    program = [sys.executable, "-c", dedent(INTERRUPTED_IN_A_THREAD)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=40)
    assert (ended.stdout, ended.stderr) == ("interrupted\n", "")


INTERRUPTED_AT_A_PROMPT = """
    from gevent import monkey; monkey.patch_all()
    import os
    from gsched.event_loop.process import ctrl_c_reaches_main_greenlet

    with ctrl_c_reaches_main_greenlet():
        print("asks", flush=True)
        os.read(0, 1)
"""


def test_ctrl_c_ends_a_program_that_waits_outside_gevent_for_what_somebody_types():
    program = [sys.executable, "-c", dedent(INTERRUPTED_AT_A_PROMPT)]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as asking:
        assert asking.stdout.readline() == "asks\n"
        asking.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in asking.communicate(timeout=40)[1]
