"""A scheduler process on any store, for stores.py: it ends when its standard input does, and prints what it has seen.

python load_tests/stores_node.py '{"store": "sqlite:///FILE", ...}'     (see `Settings`)
"""


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent
from gevent.fileobject import FileObject

sys.path.insert(0, str(Path(__file__).parent.parent))  # before any module of gsched

from stores_jobs import noted, starts

from gsched import GeventScheduler
from gsched.stores import BaseJobStore, MemoryJobStore, MongoDBJobStore, SQLJobStore

advances: list[float] = []  # milliseconds


@dataclass
class Settings:
    """What a node is told.

    :ivar store: "memory", or a URL
    :ivar count: how many jobs it adds before it starts
    :ivar seconds: how often each of them runs
    :ivar spread: whether they are due all over that time, and not all at once
    :ivar now: whether one more job is due at once
    :ivar waits: whether it tells when all that it has added have run once
    """

    store: str
    count: int = 0
    seconds: float = 1.0
    spread: bool = False
    now: bool = False
    waits: bool = False


def open_store(url: str) -> BaseJobStore:
    """The store of a URL; jobs are what stores_jobs.py has."""
    if url == "memory":
        return MemoryJobStore()
    if url.startswith("sqlite"):
        return SQLJobStore(url, modules=["stores_jobs"])
    return MongoDBJobStore(url, database="stores", modules=["stores_jobs"])


def time_advances() -> None:
    """Note how long each claim takes."""
    from gsched.stores.mongodb.claims.database import MongoClaimDatabase
    from gsched.stores.sql.claims.database import SqlClaims

    for claims in (MongoClaimDatabase, SqlClaims):
        advance = claims.advance

        def timed(*args: Any, advance: Any = advance) -> bool:
            began = time.perf_counter()
            done = advance(*args)
            advances.append((time.perf_counter() - began) * 1000)
            return bool(done)

        claims.advance = timed  # type: ignore[method-assign]


def add_jobs(scheduler: GeventScheduler, settings: Settings) -> None:
    """All are due two seconds from now for the first time, or later."""
    begin, step = datetime.now(UTC) + timedelta(seconds=2), settings.seconds / max(settings.count, 1)
    every = {"func": noted, "trigger": "interval", "seconds": settings.seconds}
    dates = (begin + timedelta(seconds=step * number if settings.spread else 0) for number in range(settings.count))
    scheduler.add_jobs({**every, "start_date": date, "id": f"job-{n}"} for n, date in enumerate(dates))
    if settings.now:
        scheduler.add_job(noted, id="now")


def main() -> None:
    settings = Settings(**json.loads(sys.argv[1]))
    time_advances()
    scheduler = GeventScheduler(jobstores={"default": open_store(settings.store)}, timezone="UTC")
    add_jobs(scheduler, settings)
    began = time.time()
    scheduler.start()
    print("started", flush=True)
    while len({job for job, _, _ in starts}) < settings.count * settings.waits:
        gevent.sleep(0.2)
    print("all run", flush=True)
    FileObject(sys.stdin.fileno(), close=False).read()
    scheduler.shutdown()
    print(json.dumps({"began": began, "starts": starts, "advances": advances}))


if __name__ == "__main__":
    main()
