"""Keep a shared cache fresh: thousands of Redis keys, each refreshed from an HTTP source by a job of its own.

    python examples/cache_refresh.py                                   # its own Redis, 5,000 keys, each every 20 s
    python examples/cache_refresh.py --redis redis://127.0.0.1:6379/9 --keys 1000

The jobs are spread over the interval, so that the source gets an even stream of requests. At the end the example prints
the age of the oldest value that a reader could have read.
"""

# ruff: noqa: E402 - gevent patches before anything else is imported, redis among it
from gevent import monkey

monkey.patch_all()

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
import redis
from gevent.pywsgi import WSGIServer
from loopback import HttpClient, child_server, inherited_socket, serve_until_orphaned, stop_on_sigterm

from gsched import EVENT_JOB_ERROR, GeventScheduler

CONNECTIONS = 64
READ_AT_ONCE = 500  # keys: reading all of them at once would delay refreshes


def main() -> int:
    options = parse_arguments()
    if options.serve is not None:
        serve_until_orphaned(WSGIServer(inherited_socket(options.serve), source, log=None))
        return 0
    with child_server(__file__) as port, redis_server(options.redis) as url:
        HttpClient(port, 1, timeout_seconds=60).get("/")  # the source is up now
        cache = Cache(url, HttpClient(port, CONNECTIONS), options)
        try:
            run(cache, options)
            return cache.summarize()
        finally:
            cache.clear()


# -- the scheduling ---------------------------------------------------------------------------------------------------


def run(cache: "Cache", options: argparse.Namespace) -> None:
    scheduler = GeventScheduler()  # the clients have timeouts of their own, which leave their connections in order
    scheduler.add_listener(cache.note_failure, EVENT_JOB_ERROR)
    scheduler.add_jobs(refreshes(cache, options), spread=True)  # otherwise one burst would fill the cache
    scheduler.add_job(cache.watch, "interval", seconds=1)
    scheduler.add_job(scheduler.shutdown, "date", run_date=datetime.now(UTC) + timedelta(seconds=options.seconds))
    stop_on_sigterm(scheduler.shutdown)
    scheduler.run_forever()


def refreshes(cache: "Cache", options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One job for each key."""
    for key in cache.keys:
        yield {
            "func": cache.refresh,
            "args": [key],
            "id": key,
            "trigger": "interval",
            "seconds": options.every,
            "jitter": options.jitter,
        }


# -- the cache --------------------------------------------------------------------------------------------------------


class Cache:
    """Values in Redis, each with the time of the request for it."""

    def __init__(self, url: str, source: HttpClient, options: argparse.Namespace) -> None:
        self.keys = [f"gsched-example:price:{number}" for number in range(options.keys)]
        self.refreshes = 0
        self.failures = 0
        self.oldest_seconds = 0.0
        self._options = options
        self._source = source
        self._shown = 0
        pool = redis.BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, decode_responses=True, socket_timeout=5, timeout=20
        )
        self._redis = redis.Redis(connection_pool=pool)

    def refresh(self, key: str) -> None:
        """The job. If a value is refreshed no more, it expires."""
        asked_at = time.time()
        value = json.loads(self._source.get(f"/{key}"))
        self._redis.set(key, json.dumps({**value, "asked_at": asked_at}), ex=int(3 * self._options.every) + 1)
        self.refreshes += 1

    def note_failure(self, _event: Any) -> None:
        self.failures += 1

    def watch(self) -> None:
        """Once a second: read all keys, and remember the age of the oldest value."""
        ages = self.ages()
        oldest = max(ages, default=0.0)
        self.oldest_seconds = max(self.oldest_seconds, oldest)
        print(
            f"{len(ages):6,} keys   {self.refreshes - self._shown:6,} refreshes/s   {self.failures} failed   "
            f"oldest value {oldest:.1f} s",
            flush=True,
        )
        self._shown = self.refreshes

    def ages(self) -> list[float]:
        """How old the values are, in seconds."""
        found: list[float] = []
        for first in range(0, len(self.keys), READ_AT_ONCE):
            values = self._redis.mget(self.keys[first : first + READ_AT_ONCE])
            found += [time.time() - json.loads(value)["asked_at"] for value in values if value is not None]
        return found

    def summarize(self) -> int:
        """Print the result; the exit status says whether all keys are there."""
        options, present = self._options, len(self.ages())
        print(f"""
keys           {present:,} of {options.keys:,} in the cache
refreshes      {self.refreshes:,}, {self.failures:,} failed
oldest value   {self.oldest_seconds:.1f} s seen by a reader; an interval is {options.every:g} s + {options.jitter:g} s \
jitter""")
        return 0 if present == options.keys else 1

    def clear(self) -> None:
        """Leave nothing behind in a Redis that is not ours."""
        for first in range(0, len(self.keys), READ_AT_ONCE):
            self._redis.delete(*self.keys[first : first + READ_AT_ONCE])
        self._redis.close()


# -- the servers ------------------------------------------------------------------------------------------------------


@contextmanager
def redis_server(url: str | None) -> Iterator[str]:
    """The URL that was given, or that of a Redis server of our own which ends with us."""
    if url is not None:
        yield url
        return
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is not installed (Debian: apt-get install redis-server); or name one with --redis URL")
    with tempfile.TemporaryDirectory(prefix="gsched-redis-") as directory:
        port = free_port()
        server = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--save", ""],
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches this process only, which still clears the cache
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            wait_until_up(redis.Redis.from_url(url).ping, server)
            yield url
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_up(ping: Callable[[], object], server: subprocess.Popen[bytes]) -> None:
    """At most half a minute."""
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"redis-server ended at once, with status {server.returncode}")
        try:
            ping()
            return
        except redis.ConnectionError:
            gevent.sleep(0.05)
    sys.exit("redis-server did not answer for half a minute")


def source(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """The WSGI application that knows the values."""
    body = json.dumps({"key": environ["PATH_INFO"][1:], "price": time.time_ns() % 10_000}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=5000, help="how many (default: 5000)")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two refreshes (default: 20)")
    parser.add_argument("--jitter", type=float, default=4.0, help="seconds by which one may be later (default: 4)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--redis", metavar="URL", help="default: a redis-server of our own")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
