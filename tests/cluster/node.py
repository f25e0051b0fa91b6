"""A node for tests: a process of its own that runs the jobs of a MongoDB store until SIGTERM.

    python tests/cluster/node.py '{"name": "a", "uri": "mongodb://...", ...}'      (see `Settings`)

It ends with its parent, and after `lifetime` seconds in any case. SIGUSR1 arms the crash point: the next time it gets
there, it kills itself.
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import ctypes
import json
import os
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
from gevent.pywsgi import WSGIServer

from gsched import EVENT_ALL, GeventScheduler
from gsched.clock import SystemClock
from gsched.events import EVENT_JOB_EXECUTED, EVENT_JOB_STARTED, EVENT_JOB_SUBMITTED
from gsched.executors import GreenletPoolExecutor
from gsched.stores import MongoDBJobStore
from gsched.stores.mongodb import mongo_cluster

PR_SET_PDEATHSIG = 1
UNTOLD = EVENT_JOB_SUBMITTED | EVENT_JOB_STARTED | EVENT_JOB_EXECUTED  # of these the runs themselves tell


@dataclass
class Settings:
    """What a node is told by its command line, as JSON.

    :ivar runs: the file of what was run, shared by all nodes
    :ivar events: the file of events, shared by all nodes
    :ivar crash: where to crash once armed: "claim" (the server has the claim, its answer is not read), "start"
        (claimed, not started), "run", or "settle" (ended, not settled)
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
    """Kills this process where it was told to, once it is armed."""

    def __init__(self, point: str | None) -> None:
        self._point = point
        self._armed = False
        if point == "claim":
            mongo_cluster.MongoCluster.advance = self._after(mongo_cluster.MongoCluster.advance)  # type: ignore[method-assign]
        elif point == "start":
            GreenletPoolExecutor.submit = self._before(GreenletPoolExecutor.submit)  # type: ignore[method-assign]
        elif point == "run":
            jobs.recorder.in_run = self.reach
        elif point == "settle":
            MongoDBJobStore.settle = self._before(MongoDBJobStore.settle)  # type: ignore[method-assign]

    def arm(self) -> None:
        """From now on."""
        self._armed = True

    def reach(self) -> None:
        """Here it is."""
        if self._armed:
            os.kill(os.getpid(), signal.SIGKILL)

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


def make_scheduler(settings: Settings) -> GeventScheduler:
    """A scheduler that writes down what it runs and what happens to it."""
    jobs.recorder.node, jobs.recorder.path = settings.name, settings.runs
    for name in settings.without:
        delattr(jobs, name)
    store = MongoDBJobStore(
        settings.uri,
        database=settings.database,
        modules=["cluster.jobs"],
        node_ttl=settings.node_ttl,
        history_successes="all",
        appname=settings.name,
        **settings.store,
    )
    clock = SkewedClock(settings.skew_seconds) if settings.skew_seconds else SystemClock()
    scheduler = GeventScheduler(jobstores={"default": store}, clock=clock, timezone="UTC", name=settings.name)

    def tell(event: Any) -> None:
        said = event.fields()
        if getattr(event, "span", None) is not None:
            said |= {"first": event.span.first, "end": event.span.end, "outcome": event.span.outcome}
        write_event(settings, event.name, **said)

    scheduler.add_listener(tell, EVENT_ALL & ~UNTOLD)
    return scheduler


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
    crash = CrashPoint(settings.crash)
    scheduler = make_scheduler(settings)
    gevent.signal_handler(signal.SIGUSR1, crash.arm)
    gevent.signal_handler(signal.SIGTERM, lambda: scheduler.running and scheduler.shutdown())  # it may be told twice
    if settings.http:
        server = WSGIServer(("127.0.0.1", 0), answer, log=None)
        server.start()
        write_event(settings, "http.listening", port=server.server_port)
    scheduler.run_forever()


if __name__ == "__main__":
    main()
