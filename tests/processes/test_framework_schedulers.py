"""TornadoScheduler, TwistedScheduler and QtScheduler: jobs and listeners run where their framework wants them."""

from __future__ import annotations

import sys
import types

import pytest
from programs import run_program

import gsched

TORNADO = """
    import asyncio, threading
    from tornado.ioloop import IOLoop
    from gsched import TornadoScheduler

    async def tick():
        await asyncio.sleep(0)
        print("tick", threading.current_thread() is threading.main_thread())
        loop.add_callback(end)

    async def end():
        await scheduler.ashutdown()
        loop.stop()

    loop = IOLoop()
    scheduler = TornadoScheduler({given})
    loop.make_current()
    scheduler.add_job(tick)
    scheduler.start()
    loop.start()
    print(scheduler.running)
"""
TWISTED = """
    {install}
    import asyncio, threading
    from twisted.internet import reactor
    from twisted.internet.task import deferLater
    from gsched import TwistedScheduler

    async def tick():
        await deferLater(reactor, 0, print, "deferred").asFuture(asyncio.get_running_loop())
        print("tick", threading.current_thread() is threading.main_thread())
        reactor.stop()

    scheduler = TwistedScheduler()
    scheduler.add_job(tick)
    scheduler.start()
    reactor.addSystemEventTrigger("before", "shutdown", scheduler.shutdown, wait=False)
    reactor.run()
    scheduler.join()
    print(scheduler.running)
"""


@pytest.mark.parametrize("given", ["", "io_loop=loop"])
def test_a_coroutine_job_runs_on_tornados_loop_which_may_start_later(given):
    out, error, status = run_program(TORNADO.replace("{given}", given))
    assert (out, status) == ("tick True\nFalse\n", 0), error


def test_a_coroutine_job_runs_in_twisteds_reactor_on_asyncio_and_awaits_deferreds():
    install = "from twisted.internet import asyncioreactor; asyncioreactor.install()"
    out, error, status = run_program(TWISTED.replace("{install}", install))
    assert (out, status) == ("deferred\ntick True\nFalse\n", 0), error


def test_another_reactor_than_that_on_asyncio_is_refused_with_the_remedy():
    out, error, status = run_program(TWISTED.replace("{install}", ""))
    assert (out, status) == ("", 1)
    assert error.endswith(
        "TwistedScheduler: the reactor is EPollReactor; install the one on asyncio, first thing in the program: from"
        " twisted.internet import asyncioreactor; asyncioreactor.install()\n"
    )


class StandInForQt:
    """The part of QtCore that is used: an emission is queued, and a thread's event loop delivers it."""

    def __init__(self):
        self.queue = []
        queue = self.queue

        class Bound:
            def connect(self, slot):
                self.slot = slot

            def emit(self, *args):
                queue.append((self.slot, args))

        class Signal:
            def __init__(self, *types):
                pass

            def __set_name__(self, owner, name):
                self.name = name

            def __get__(self, instance, owner=None):
                return vars(instance).setdefault(f"_{self.name}", Bound())

        self.module = types.ModuleType("PySide6.QtCore")
        self.module.QObject, self.module.Signal = object, Signal

    def turn(self):
        """Deliver what was emitted."""
        while self.queue:
            slot, args = self.queue.pop(0)
            slot(*args)


@pytest.fixture
def qt(monkeypatch):
    stand_in = StandInForQt()
    monkeypatch.setitem(sys.modules, "PySide6", types.ModuleType("PySide6"))
    monkeypatch.setitem(sys.modules, "PySide6.QtCore", stand_in.module)
    monkeypatch.delitem(sys.modules, "gsched.schedulers.qt_relay", raising=False)
    yield stand_in
    sys.modules.pop("gsched.schedulers.qt_relay", None)


def test_listeners_are_called_by_qts_event_loop(qt):
    scheduler, heard = gsched.QtScheduler(), []
    scheduler.add_listener(heard.append, gsched.EVENT_SCHEDULER_STARTED)
    scheduler.start()
    scheduler.shutdown()
    assert heard == []
    qt.turn()
    assert [event.name for event in heard] == ["scheduler.started"]


def test_a_listener_that_was_removed_is_not_called_by_qt(qt):
    scheduler, heard = gsched.QtScheduler(), []
    scheduler.add_listener(heard.append, gsched.EVENT_SCHEDULER_STARTED)
    scheduler.remove_listener(heard.append)
    scheduler.start()
    scheduler.shutdown()
    qt.turn()
    assert heard == []


def test_without_qt_the_scheduler_names_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "gsched.schedulers.qt_relay", raising=False)
    for binding in ("PySide6", "PyQt6", "PySide2", "PyQt5"):
        monkeypatch.setitem(sys.modules, binding, None)
    with pytest.raises(ImportError, match="install one of PySide6, PyQt6, PySide2, PyQt5"):
        gsched.QtScheduler()


def test_a_program_that_ends_while_a_shutdown_goes_on_waits_for_the_thread_of_the_hub():
    program = """
        import atexit, threading, time
        from gsched import BackgroundScheduler

        def threads():
            print([thread.name for thread in threading.enumerate() if thread.name.endswith("-hub")])

        def end():
            scheduler.shutdown()
            begun.set()

        atexit.register(threads)  # the first to be registered is the last to be called
        begun = threading.Event()
        scheduler = BackgroundScheduler()
        scheduler.add_job(time.sleep, args=[0.7])
        scheduler.add_job(end)
        scheduler.start()
        begun.wait()
        threads()
    """
    out, error, status = run_program(program)
    assert (out, status) == ("['gsched-hub']\n[]\n", 0), error
