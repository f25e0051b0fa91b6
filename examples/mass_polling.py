"""Poll thousands of HTTP endpoints, each by a recurring job of its own, over real sockets.

    python examples/mass_polling.py                 # 5,000 endpoints, each every 5 s, for 30 s
    python examples/mass_polling.py --endpoints 5000 --every 2
    python examples/mass_polling.py --sqlite        # the jobs in a SQLite file
    python examples/mass_polling.py --memory        # the jobs in memory
    python examples/mass_polling.py --web 8789      # with the dashboard; on a terminal it stays until Ctrl-C

The jobs are in a private MongoDB, in a directory that is removed at the end. If there is no mongod, they are in memory.
Another process on this machine serves the endpoints and counts the requests. At the end the example compares that count
with the promise of the triggers: how often each endpoint is to be polled.

The dashboard also shows jobs of every kind, as jobs_of_every_kind.py adds them.
"""

# ruff: noqa: E402 - gevent patches before anything else is imported
from gevent import monkey

monkey.patch_all()

import argparse
import gc
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from tempfile import TemporaryDirectory
from typing import Any

from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer
from jobs_of_every_kind import add_jobs, set_limits
from loopback import HttpClient, child_server, inherited_socket, serve_until_orphaned, stop_on_sigterm

from gsched import (
    EVENT_ALL,
    BaseJobStore,
    EmbeddedMongoError,
    GeventScheduler,
    JobHandle,
    MemoryJobStore,
    MongoDBJobStore,
    SQLJobStore,
)


def main() -> int:
    options = parse_arguments()
    if options.serve is not None:
        serve_until_orphaned(target_server(options.serve, options.broken))
        return 0
    with child_server(__file__, "--broken", str(options.broken)) as port:
        HttpClient(port, 1, timeout_seconds=60).get("/counts")  # the target is up now
        client = HttpClient(port, options.connections)
        with job_store(options) as store:
            # Adding the jobs takes less than that, and until then they are paused.
            begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4 if options.memory else 10)
            board = Board(options, begin)
            run(options, store, client, board)
        return board.wrong if options.stays else board.summarize(json.loads(client.get("/counts")))


LATEST = timedelta(seconds=1)  # what is due at the end has so long to begin

# -- the scheduling ---------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace, store: BaseJobStore, client: HttpClient, board: "Board") -> None:
    global http
    http = client
    # The polls go to the durable store; jobs about this process stay in its memory.
    # The board counts polls that fail, so the log need not name each of them.
    scheduler = GeventScheduler(jobstores={"polls": store, "default": MemoryJobStore()}, run_events="none")
    scheduler.add_listener(board.note, EVENT_ALL)
    end = board.begin + timedelta(seconds=options.seconds)
    scheduler.add_jobs(polls(options, end), jobstore="polls", spread=True)
    board.promise(scheduler.get_jobs("polls"), end)
    scheduler.pause_jobs(tag="poll", jobstore="polls", reason="until all are there", until=board.begin)
    next_second = board.begin + timedelta(seconds=1)
    scheduler.add_job(board.show, "interval", seconds=1, args=[scheduler], next_run_time=next_second)
    if options.web is not None:
        show_dashboard(options, scheduler)
    at_the_end = partial(board.end, client) if options.stays else partial(stop, scheduler)
    scheduler.add_job(at_the_end, "date", run_date=end + LATEST)
    gc.freeze()  # the jobs stay for the whole run: the garbage collector need not look at them again
    stop_on_sigterm(scheduler.shutdown)
    scheduler.run_forever()


def stop(scheduler: GeventScheduler) -> None:
    """Wait for the polls in progress; the others may take long, and need not end."""
    for run in scheduler.get_running():
        if run.job.tags and "poll" not in run.job.tags:
            scheduler.cancel_run(run.id)
    scheduler.shutdown()


def show_dashboard(options: argparse.Namespace, scheduler: GeventScheduler) -> None:
    """Serve the dashboard, and give it jobs of every kind to show beside the polls."""
    from gsched.web import create_app

    set_limits(scheduler)
    add_jobs(scheduler)
    server = WSGIServer(("127.0.0.1", options.web), create_app(scheduler, title="demo"), log=None, spawn=256)
    server.start()
    print(f"dashboard      http://127.0.0.1:{server.server_port}/jobs?jobstore=polls")


http: HttpClient


def poll(path: str) -> None:
    """The job: one request."""
    http.get(path)


def polls(options: argparse.Namespace, end: datetime) -> Iterator[dict[str, Any]]:
    """One job for each endpoint. They are spread evenly over the interval."""
    for number in range(options.endpoints):
        yield {
            "func": poll,
            "args": [f"/device/{number}"],
            "id": f"device-{number}",
            "tags": ["poll"],
            "timeout": 10,
            "trigger": "interval",
            "seconds": options.every,
            "end_date": end - timedelta(milliseconds=1),
        }


@contextmanager
def job_store(options: argparse.Namespace) -> Iterator[BaseJobStore]:
    """A store for the polls: a private MongoDB if there is a mongod, or what the options say."""
    with TemporaryDirectory(prefix="gsched-demo-") as directory:
        if options.memory:
            yield MemoryJobStore()
        elif options.sqlite:
            print("jobs in a SQLite file")
            yield SQLJobStore.in_directory(directory)
        else:
            yield private_mongodb(directory, options)


def private_mongodb(directory: str, options: argparse.Namespace) -> BaseJobStore:
    try:
        store = MongoDBJobStore.embedded(directory)
    except EmbeddedMongoError as error:
        print(f"jobs in memory: {error}")
        options.memory = True
        return MemoryJobStore()
    print("jobs in a private MongoDB")
    return store


# -- what the user sees -----------------------------------------------------------------------------------------------


class Board:
    """Counts the outcomes of the polls, prints them once a second, and compares them with the promise at the end."""

    def __init__(self, options: argparse.Namespace, begin: datetime) -> None:
        self.options = options
        self.begin = begin
        self.outcomes: Counter[str] = Counter()
        self.lateness: list[float] = []  # seconds
        self.durations: list[float] = []
        self.shown = 0  # how many runs the lines so far have shown
        self.promised: dict[str, int] = {}  # how often each endpoint is to be polled, by its path
        self.last = begin  # when the last poll ended
        self.wrong = 0  # the exit status

    def promise(self, jobs: list[JobHandle], end: datetime) -> None:
        """Count the instants of each job from the beginning to the end."""
        interval = timedelta(seconds=self.options.every)
        for job in jobs:
            first = job.trigger.next_after(self.begin - timedelta(milliseconds=1))
            self.promised[job.args[0]] = ceil((end - first) / interval)

    def note(self, event: Any) -> None:
        """A listener."""
        if not event.name.startswith("run.") or "poll" not in event.job.tags:
            return
        self.outcomes[event.name] += 1
        if event.name in ("run.succeeded", "run.failed", "run.timed_out"):
            self.last = datetime.now(UTC)
            self.lateness.append(event.run.lateness)
            self.durations.append(event.run.duration)

    def show(self, scheduler: GeventScheduler) -> None:
        """The live line; itself a job."""
        if datetime.now(UTC) > self.begin + timedelta(seconds=self.options.seconds + 1):
            return  # the polls have ended
        recent = self.lateness[self.shown :]
        self.shown += len(recent)
        line = (
            f"{self.elapsed:4.0f} s   {len(recent):6,} runs/s   "
            f"{len(scheduler.get_running()) - 1:4} in progress   {self.failures} failed   "
            f"late p50 {in_ms(recent, 0.5)}  p99 {in_ms(recent, 0.99)}"
        )
        print(f"\r{line}\x1b[K" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)

    @property
    def elapsed(self) -> float:
        return (datetime.now(UTC) - self.begin).total_seconds()

    @property
    def failures(self) -> int:
        return self.outcomes["run.failed"] + self.outcomes["run.timed_out"]

    def end(self, client: HttpClient) -> None:
        """A job: the polls have ended, and the dashboard stays."""
        self.wrong = self.summarize(json.loads(client.get("/counts")))
        print("The dashboard stays until Ctrl-C.", flush=True)

    def summarize(self, served: dict[str, int]) -> int:
        """Print the result; the exit status says whether every endpoint was polled as often as promised."""
        options = self.options
        wrong = [path for path, count in self.promised.items() if served.get(path, 0) != count]
        took = (self.last - self.begin).total_seconds()
        print(f"""{chr(10) if sys.stdout.isatty() else ''}
endpoints      {options.endpoints:,}, each every {options.every:g} s over at most {options.connections} connections
polls          {len(self.lateness):,} in {took:.1f} s, {len(self.lateness) / took:,.0f} runs/s
failures       {self.failures:,}
lateness       p50 {in_ms(self.lateness, 0.5)}   p95 {in_ms(self.lateness, 0.95)}   \
p99 {in_ms(self.lateness, 0.99)}   max {in_ms(self.lateness, 1)}
answer after   p50 {in_ms(self.durations, 0.5)}   p95 {in_ms(self.durations, 0.95)}   \
p99 {in_ms(self.durations, 0.99)}   max {in_ms(self.durations, 1)}
as promised    {options.endpoints - len(wrong):,} of {options.endpoints:,} endpoints, counted by the target""")
        for path in wrong[:5]:
            print(f"  {path}: {served.get(path, 0)} instead of {self.promised[path]}")
        return 1 if wrong else 0


def in_ms(seconds: list[float], share: float) -> str:
    ordered = sorted(seconds)
    return f"{ordered[round(share * (len(ordered) - 1))] * 1000:.0f} ms" if ordered else "-"


# -- the endpoints ----------------------------------------------------------------------------------------------------


def target_server(fd: int, broken: int) -> StreamServer:
    """Serves /device/N, of which the first `broken` ones answer 503, and /counts: how often each path was asked for."""
    counts: Counter[str] = Counter()

    def serve(connection: Any, _address: object) -> None:
        received = b""
        while chunk := connection.recv(4096):
            *requests, received = (received + chunk).split(b"\r\n\r\n")
            for request in requests:
                connection.sendall(answer(request.split(b" ", 2)[1].decode()))

    def answer(path: str) -> bytes:
        if path == "/counts":
            return response("200 OK", json.dumps(counts))
        counts[path] += 1
        number = int(path.rpartition("/")[2])
        if number < broken:
            return response("503 Service Unavailable", "")
        return response("200 OK", json.dumps({"device": number, "asked": counts[path]}))

    return StreamServer(inherited_socket(fd), serve)


def response(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=5000, help="how many (default: 5000)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two polls of one (default: 5)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long (default: 30)")
    parser.add_argument("--connections", type=int, default=64, help="kept open at most (default: 64)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--sqlite", action="store_true", help="keep the jobs in a SQLite file")
    place.add_argument("--memory", action="store_true", help="keep the jobs in memory")
    parser.add_argument("--web", type=int, metavar="PORT", help="serve the dashboard on this port; 0: any free one")
    parser.add_argument("--broken", type=int, default=0, help="endpoints that answer 503 (default: 0)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.stays = options.web is not None and sys.stdin.isatty()
    return options


if __name__ == "__main__":
    sys.exit(main())
