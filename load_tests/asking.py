"""One process that asks for runs of a job from many greenlets: a part of run_requests.py.

Run: python load_tests/asking.py URI DATABASE COUNT [LINES]

After a line of input it asks for runs of the job "asked", COUNT in all, and prints what that took as JSON. With a file
for LINES, this process also runs the jobs. After another line, or the end of its input, it ends.
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.os import tp_read

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "support")]

from cluster.jobs import recorder

from gsched import GeventScheduler, GschedError, MongoDBJobStore, SQLJobStore

GREENLETS = 200


def main() -> None:
    uri, database, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if uri.startswith("sqlite:"):
        store: Any = SQLJobStore(uri, modules=["cluster.jobs"])
    else:
        store = MongoDBJobStore(uri, database=database, modules=["cluster.jobs"])
    scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC")
    if len(sys.argv) > 4:
        recorder.node, recorder.path = "asking", sys.argv[4]
        scheduler.start()
    print("ready", flush=True)
    tp_read(0, 1)
    asker = Asker(scheduler)
    began, cpu = time.time(), time.process_time()
    gevent.joinall([gevent.spawn(asker.ask, count // GREENLETS) for _ in range(GREENLETS)])
    said = {"began": began, "ended": time.time(), "cpu": time.process_time() - cpu, "errors": asker.errors}
    print(json.dumps({**said, "longest": max(asker.took), "calls": len(asker.took)}), flush=True)
    tp_read(0, 1)
    scheduler.shutdown() if scheduler.running else scheduler.close()


class Asker:
    """Asks, and notes how long each call takes."""

    def __init__(self, scheduler: GeventScheduler) -> None:
        self._scheduler = scheduler
        self.took: list[float] = []
        self.errors: dict[str, int] = {}

    def ask(self, count: int) -> None:
        for _ in range(count):
            began = time.monotonic()
            try:
                self._scheduler.run_job("asked")
            except GschedError as error:
                name = type(error).__name__
                self.errors[name] = self.errors.get(name, 0) + 1
            self.took.append(time.monotonic() - began)


if __name__ == "__main__":
    main()
