"""A process with jobs and the dashboard, for dashboard.py.

python load_tests/dashboard_server.py '{"store": "memory", "jobs": 100000}'     (see `Settings`)

It prints its port as JSON, and then answers each line of input, "held ROUNDS JOBS" or "pages ROUNDS JOBS", with a line
of JSON; JOBS is how many the store has. It ends when its input does.
"""

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import gc
import gzip
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import gevent
import structlog
from gevent.fileobject import FileObject

sys.path.insert(0, str(Path(__file__).parent.parent))  # before any module of gsched

from hub_slices import Probe
from werkzeug.test import EnvironBuilder, run_wsgi_app

from gsched import CronTrigger, GeventScheduler
from gsched.stores import BaseJobStore, MemoryJobStore, MongoDBJobStore, SQLJobStore
from gsched.web import create_app
from gsched.web.app import WebApplication
from gsched.web.lasting import LastingServer

BUSY = 1000  # of the jobs: these run often, the others every six hours
PERIOD = timedelta(hours=6)
TAGS = 50
QUIET_SECONDS = 0.25


@dataclass
class Settings:
    """The options of the process, as its command line gives them.

    :ivar store: "memory", or a URL
    :ivar jobs: how many it adds
    :ivar runs: True if it runs them
    :ivar every: seconds between the runs of a busy job
    :ivar warm: seconds for which it runs them before it listens
    """

    store: str
    jobs: int
    runs: bool = True
    every: float = 1.0
    warm: float = 20.0


def succeed(number: int) -> None:
    """Most jobs do."""


def fail(number: int) -> None:
    raise ConnectionError(f"feed {number} does not answer: 503")


def open_store(url: str) -> BaseJobStore:
    """The store of a URL. In memory the history has successes, too: it is as long as it may be."""
    if url == "memory":
        return MemoryJobStore(history_successes="all")
    if url.startswith("sqlite"):
        return SQLJobStore(url, modules=["dashboard_server"])
    return MongoDBJobStore(url, database="dashboard", modules=["dashboard_server"])


def many_jobs(settings: Settings) -> Iterator[dict[str, Any]]:
    """Busy ones, a tenth of which fails, and calm ones; some are paused, some in groups, half of them by cron."""
    begin, busy = datetime.now(UTC), min(BUSY, settings.jobs // 10)
    for number in range(settings.jobs):
        of_all = {"id": f"feed-{number:06}", "name": f"Poll feed {number}", "args": [number], "tags": tags(number)}
        if number < busy:
            first = begin + timedelta(seconds=settings.every * number / busy)
            trigger = {"trigger": "interval", "seconds": settings.every, "start_date": first}
            yield {"func": succeed if number % 10 else fail, **of_all, **trigger}
        elif number % 2:
            yield {"func": succeed, **of_all, "trigger": CronTrigger(minute=number % 60, hour=number // 60 % 24)}
        else:
            first = begin + timedelta(minutes=10) + PERIOD * (number / settings.jobs)
            group = {"group": f"group {number % 20}"} if number % 100 == 0 else {}
            yield {"func": succeed, **of_all, **group, "trigger": "interval", "hours": 6, "start_date": first}


def tags(number: int) -> list[str]:
    return [f"tag-{number % TAGS}", *(["rare"] if number % 1000 == 7 else [])]


class Asker:
    """Asks the application as a server would, in the calling greenlet. No answer is an old one."""

    def __init__(self, app: WebApplication) -> None:
        self._app = app

    def ask(self, path: str, **query: Any) -> Any:
        address = f"/api/v1/{path}?{urlencode(query, doseq=True)}"
        headers = {"Accept-Encoding": "gzip", "Host": "localhost"}
        environ = EnvironBuilder(address, headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"}).get_environ()
        self._app._reader.forget()
        body, status, _ = run_wsgi_app(self._app, environ)
        content = b"".join(body)
        if not status.startswith("200"):
            raise RuntimeError(f"{address}: {status} {content[:300]!r}")
        return content


def questions(jobs: int) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """By name, the path and the parameters of each question that the pages ask."""
    one = {"id": "feed-000010"}
    return {
        "overview": ("overview", {}),
        "jobs by next": ("jobs", {"sort": "next"}),
        "jobs by id": ("jobs", {"sort": "id"}),
        "jobs by id, from the middle": ("jobs", {"sort": "id", "after": middle_of(jobs)}),
        "jobs by search": ("jobs", {"q": "feed 999"}),
        "jobs by prefix": ("jobs", {"prefix": "feed-0777"}),
        "jobs by tag": ("jobs", {"tag": "tag-7"}),
        "jobs by state": ("jobs", {"state": "paused"}),
        "failing jobs": ("jobs", {"state": "failing"}),
        "counts": ("counts", {}),
        "counts of a search": ("counts", {"q": "99"}),
        "tags": ("tags", {}),
        "200 rows": ("rows", {"id": [f"feed-{number:06}" for number in range(200)]}),
        "job": ("job", one),
        "job/instants": ("job/instants", one),
        "job/next": ("job/next", {**one, "count": 50}),
        "runs": ("runs", {}),
        "runs by outcome": ("runs", {"outcome": "failed", "limit": 200}),
        "errors": ("errors", {}),
        "rates": ("rates", {"since": "1d"}),
        "load": ("load", {}),
        "nodes": ("nodes", {}),
        "groups": ("groups", {}),
        "doctor": ("doctor", {}),
        "audit": ("audit", {}),
    }


def middle_of(jobs: int) -> str:
    """The place in the middle of the list by id."""
    return f"id.feed-{jobs // 2:06}"


def held(asker: Asker, rounds: int, jobs: int) -> dict[str, Any]:
    """For each question, the longest times between turns of the event loop, and those just before it was asked."""
    probe = Probe()
    found = {}
    for name, (path, query) in questions(jobs).items():
        asker.ask(path, **query)  # what is done once
        pairs = [held_once(probe, asker, path, query) for _ in range(rounds)]
        found[name] = {key: [pair[key] for pair in pairs] for key in pairs[0]}
    return found


def held_once(probe: Probe, asker: Asker, path: str, query: Mapping[str, Any]) -> dict[str, float]:
    gevent.sleep(0.05)  # until the turn of the question before has ended
    began = time.time()
    gevent.sleep(QUIET_SECONDS)
    quiet = time.time()
    asker.ask(path, **query)
    answered = time.time()
    gevent.sleep(0.02)
    calm, asked = probe.lag(began, quiet), probe.lag(quiet, time.time())
    return {
        "took": 1000 * (answered - quiet),
        **{key: asked[f"{key}_max"] for key in ("cpu", "wall")},
        **{f"{key}_quiet": calm[f"{key}_max"] for key in ("cpu", "wall")},
    }


def pages(asker: Asker, rounds: int, jobs: int) -> dict[str, Any]:
    """How long answers about many jobs take, in milliseconds."""
    first = json.loads(gzip.decompress(asker.ask("jobs", sort="next", limit=100)))
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "first page by next": ("jobs", {"sort": "next"}),
        "second page by next": ("jobs", {"sort": "next", "after": first["next"]}),
        "first page by id": ("jobs", {"sort": "id"}),
        "page in the middle": ("jobs", {"sort": "id", "after": middle_of(jobs)}),
        "search by prefix": ("jobs", {"prefix": "feed-0777"}),
        "search by text": ("jobs", {"q": "feed 999"}),
        "counts": ("counts", {}),
        "100 rows": ("rows", {"id": [row["id"] for row in first["jobs"]]}),
    }
    return {name: median(took(asker, *each) for _ in range(rounds)) for name, each in asked.items()}


def took(asker: Asker, path: str, query: Mapping[str, Any]) -> float:
    began = time.perf_counter()
    asker.ask(path, **query)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    scheduler = GeventScheduler(jobstores={"default": open_store(settings.store)}, timezone="UTC", run_events="none")
    if settings.jobs:
        scheduler.add_jobs(many_jobs(settings))
        for number in range(BUSY, min(BUSY + 50, settings.jobs)):
            scheduler.pause_job(f"feed-{number:06}", reason="the feed moves")
    if settings.runs:
        scheduler.start()
    app = create_app(scheduler)
    server = LastingServer("127.0.0.1", 0, app)
    server.start()
    gevent.sleep(settings.warm)
    gc.collect()
    gc.freeze()
    print(json.dumps({"port": server.server_port}), flush=True)
    for line in FileObject(sys.stdin.fileno(), close=False):
        command, rounds, jobs = line.split()
        measure = {"held": held, "pages": pages}[command]
        print(json.dumps(measure(Asker(app), int(rounds), int(jobs))), flush=True)
    app.close()
    server.stop(1)
    scheduler.shutdown(wait=False) if scheduler.running else scheduler.close()


if __name__ == "__main__":
    sys.modules["dashboard_server"] = sys.modules["__main__"]  # its functions are the jobs
    main()
