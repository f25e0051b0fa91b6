"""A scheduler process on a MongoDB, for load tests; it runs until SIGTERM, or until its parent ends.

python load_tests/mongodb_node.py '{"uri": "...", "database": "...", "log": "FILE", ...}'     (see `Settings`)
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import ctypes
import json
import logging
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gevent
from apscheduler.jobstores.mongodb import MongoDBJobStore as TheirStore
from apscheduler.schedulers.gevent import GeventScheduler as TheirScheduler
from gevent.event import Event
from pymongo import MongoClient

sys.path.insert(0, str(Path(__file__).parent.parent))  # before any module of gsched

import mongodb_jobs

from gsched import GeventScheduler
from gsched.events import (
    EVENT_JOB_PARKED,
    EVENT_NODE_FENCED,
    EVENT_STORE_DISCONNECTED,
    EVENT_STORE_FAILED,
    SchedulerEvent,
)
from gsched.stores import MongoDBJobStore

PR_SET_PDEATHSIG = 1


@dataclass
class Settings:
    """What a node is told by its command line, as JSON.

    :ivar log: the file where its runs are noted; `log`.started gets the time of the start
    :ivar at_once: whether they are noted at once
    :ivar theirs: be APScheduler
    """

    uri: str
    database: str
    log: str
    at_once: bool = False
    node_ttl: float = 10.0
    theirs: bool = False


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    settings = Settings(**json.loads(sys.argv[1]))
    mongodb_jobs.log = mongodb_jobs.Log(settings.log, settings.at_once)
    scheduler = their_scheduler(settings) if settings.theirs else our_scheduler(settings)
    told = Event()
    gevent.signal_handler(signal.SIGTERM, told.set)
    Path(settings.log + ".started").write_text(f"{time.time():.6f}")
    scheduler.start()
    told.wait()
    scheduler.shutdown()
    mongodb_jobs.log.close()


def our_scheduler(settings: Settings) -> GeventScheduler:
    store = MongoDBJobStore(
        settings.uri, database=settings.database, modules=["mongodb_jobs"], node_ttl=settings.node_ttl
    )
    scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC")
    unexpected = EVENT_STORE_DISCONNECTED | EVENT_STORE_FAILED | EVENT_NODE_FENCED | EVENT_JOB_PARKED
    scheduler.add_listener(complain, unexpected)
    return scheduler


def complain(event: SchedulerEvent) -> None:
    """None of this is expected in a load test."""
    print(event.name, event.fields(), file=sys.stderr, flush=True)


def their_scheduler(settings: Settings) -> TheirScheduler:
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    store = TheirStore(database=settings.database, client=MongoClient(settings.uri, w="majority"))
    return TheirScheduler(jobstores={"default": store}, timezone="UTC")


if __name__ == "__main__":
    main()
