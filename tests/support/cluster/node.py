"""A node for tests: a process of its own that runs the jobs of a store in a database until SIGTERM.

    python tests/support/cluster/node.py '{"name": "a", "uri": "mongodb://...", ...}'      (see `Settings`)

It ends with its parent, and after `lifetime` seconds in any case. SIGUSR1 arms the crash point: the next time it gets
there, it kills itself.
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import ctypes
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)

import gevent
from cluster import jobs

from gsched import EVENT_ALL, GeventScheduler
from gsched.events import EVENT_JOB_EXECUTED, EVENT_JOB_STARTED, EVENT_JOB_SUBMITTED
from gsched.executors import GreenletPoolExecutor
from gsched.stores import BaseJobStore
from gsched.times.clock import SystemClock

PR_SET_PDEATHSIG = 1
get_ident = monkey.get_original("_thread", "get_ident")  # of the thread, not of the greenlet
UNTOLD = EVENT_JOB_SUBMITTED | EVENT_JOB_STARTED | EVENT_JOB_EXECUTED  # of these the runs themselves tell


@dataclass
class Settings:
    """What a node is told by its command line, as JSON.

    :ivar runs: the file of what was run, shared by all nodes
    :ivar events: the file of events, shared by all nodes
    :ivar crash: where to crash once armed: "claim" (the server has the claim, its answer is not read), "start"
        (claimed, not started), "run", "settle" (ended, not settled), "transaction" (of SQLite, not committed), "retry"
        (a retry is decided, nothing of it is written), "waits" (the server has the retry, its answer is not read), or
        "begin" (the server counts a waiting run as in progress, the hub does not have the run)
    :ivar freezes: stand still there, as by SIGSTOP, instead of crashing
    :ivar skew_seconds: by how much this node's wall clock is wrong
    :ivar without: names of functions that this version of the program does not have
    :ivar http: serve HTTP beside the jobs, on a port that the event http.listening tells
    """

    name: str
    uri: str
    database: str
    runs: str
    events: str
    node_ttl: float = 10.0
    crash: str | None = None
    freezes: bool = False
    skew_seconds: float = 0.0
    without: list[str] = field(default_factory=list)
    http: bool = False
    lifetime: int = 300
    store: dict[str, Any] = field(default_factory=dict)


class SkewedClock(SystemClock):
    """A machine whose wall clock is wrong."""

    def __init__(self, seconds: float) -> None:
        self._skew_ms = round(seconds * 1000)

    def now_ms(self) -> int:
        return super().now_ms() + self._skew_ms


class CrashPoint:
    """Kills or stops this process where it was told to, once it is armed."""

    def __init__(self, point: str | None, freezes: bool, uri: str) -> None:
        self._point = point
        self._freezes = freezes
        self._armed = False
        if point is not None:
            self._place(point, *store_and_claims(uri))

    def _place(self, point: str, store: Any, claims: Any) -> None:
        if point == "claim":
            claims.advance = self._after(claims.advance)
        elif point == "start":
            GreenletPoolExecutor.submit = self._before(GreenletPoolExecutor.submit)  # type: ignore[method-assign]
        elif point == "run":
            jobs.recorder.in_run = self.reach
        elif point == "settle":
            store.settle = self._before(store.settle)
        elif point == "transaction":
            from gsched.stores.sql.driver.connection import SqlConnection

            write = SqlConnection.write

            def write_half(way: SqlConnection, transaction: Any, *how: Any, **named: Any) -> Any:
                return write(way, self._after(transaction), *how, **named)

            SqlConnection.write = write_half  # type: ignore[method-assign]
        elif point == "retry":
            claims.add_waiting = self._before(claims.add_waiting)
        elif point == "waits":
            claims.add_waiting = self._after(claims.add_waiting)
        elif point == "begin":
            claims.begin_waiting = self._after(claims.begin_waiting)

    def arm(self) -> None:
        """From now on."""
        self._armed = True

    def reach(self) -> None:
        """Here it is."""
        if self._armed:
            self._armed = False
            # This very thread: a signal to the process may be taken by another one while this one goes on.
            signal.pthread_kill(get_ident(), signal.SIGSTOP if self._freezes else signal.SIGKILL)

    def _before(self, method: Any) -> Any:
        def crashing(*args: Any) -> Any:
            self.reach()
            return method(*args)

        return crashing

    def _after(self, method: Any) -> Any:
        def crashing(*args: Any) -> Any:
            answer = method(*args)
            self.reach()
            return answer

        return crashing


def store_and_claims(uri: str) -> tuple[Any, Any]:
    """The classes for this database; to import those for another one takes as long as to start."""
    if uri.startswith("sqlite:"):
        from gsched.stores import SQLJobStore
        from gsched.stores.sql.claims.database import SqlClaims

        return SQLJobStore, SqlClaims
    from gsched.stores import MongoDBJobStore
    from gsched.stores.mongodb.claims.database import MongoClaimDatabase

    return MongoDBJobStore, MongoClaimDatabase


def make_scheduler(settings: Settings) -> GeventScheduler:
    """A scheduler that writes down what it runs and what happens to it."""
    jobs.recorder.node, jobs.recorder.path = settings.name, settings.runs
    for name in settings.without:
        delattr(jobs, name)
    store = make_store(settings)
    clock = SkewedClock(settings.skew_seconds) if settings.skew_seconds else SystemClock()
    scheduler = GeventScheduler(jobstores={"default": store}, clock=clock, timezone="UTC", name=settings.name)

    def tell(event: Any) -> None:
        said = event.fields()
        if getattr(event, "span", None) is not None:
            said |= {"first": event.span.first, "end": event.span.end, "outcome": event.span.outcome}
        write_event(settings, event.name, **said)

    scheduler.add_listener(tell, EVENT_ALL & ~UNTOLD)
    return scheduler


def make_store(settings: Settings) -> BaseJobStore:
    """The store that all nodes share."""
    options: dict[str, Any] = {
        "modules": ["cluster.jobs"],
        "node_ttl": settings.node_ttl,
        "history_successes": "all",
        **settings.store,
    }
    store, _ = store_and_claims(settings.uri)
    if settings.uri.startswith("sqlite:"):
        return store(settings.uri, **options)
    return store(settings.uri, database=settings.database, appname=settings.name, **options)


def write_event(settings: Settings, name: str, **said: Any) -> None:
    """One line of the events file."""
    jobs.append(settings.events, {"name": name, "node_name": settings.name, "time": time.time(), **said})


def answer(environ: Any, start_response: Any) -> list[bytes]:
    """The web application."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    settings = Settings(**json.loads(sys.argv[1]))
    signal.alarm(settings.lifetime)
    crash = CrashPoint(settings.crash, settings.freezes, settings.uri)
    scheduler = make_scheduler(settings)
    gevent.signal_handler(signal.SIGUSR1, crash.arm)
    gevent.signal_handler(signal.SIGTERM, lambda: scheduler.running and scheduler.shutdown())  # it may be told twice
    if settings.http:
        from gevent.pywsgi import WSGIServer

        server = WSGIServer(("127.0.0.1", 0), answer, log=None)
        server.start()
        write_event(settings, "http.listening", port=server.server_port)
    scheduler.run_forever()


if __name__ == "__main__":
    main()
