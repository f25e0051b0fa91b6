"""Many browsers on the list of jobs, without their pages: a part of dashboard.py.

python load_tests/dashboard_browsers.py PORT COUNT SECONDS PAGES

Each has a stream, and asks for the rows of its 100 jobs and for the counts every five seconds. The browsers are spread
over so many different pages of jobs. It prints what they got as JSON.
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import http.client
import json
import sys
import time
from collections import Counter
from urllib.parse import urlencode

import gevent

EVERY_SECONDS = 5.0
ROWS = 100
HEADERS = {"Accept-Encoding": "gzip"}

got: Counter[str] = Counter()
slowest = [0.0]


def stream(port: int, until: float) -> None:
    """Read frames."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/api/v1/events")
    answer = connection.getresponse()
    got[f"streams {answer.status}"] += 1
    while time.monotonic() < until and (line := answer.readline()):
        got["frames"] += line.startswith(b"event:")


def ask(port: int, since: float, until: float, page: int) -> None:
    """Ask as the list does, on a connection that lasts."""
    ids = [f"feed-{page * ROWS + number:06}" for number in range(ROWS)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    gevent.sleep(since - time.monotonic())
    while since < until:
        for path in (f"rows?{urlencode({'id': ids}, doseq=True)}", "counts"):
            began = time.monotonic()
            connection.request("GET", f"/api/v1/{path}", headers=HEADERS)
            answer = connection.getresponse()
            got["bytes"] += len(answer.read())
            got[f"answers {answer.status}"] += 1
            slowest[0] = max(slowest[0], time.monotonic() - began)
        since += EVERY_SECONDS
        gevent.sleep(max(0.0, since - time.monotonic()))


def main() -> None:
    port, count, seconds, pages = map(int, sys.argv[1:])
    now = time.monotonic()
    for _ in range(count):
        gevent.spawn(stream, port, now + seconds)
    begins = [now + EVERY_SECONDS * number / count for number in range(count)]
    asking = [gevent.spawn(ask, port, begin, now + seconds, number % pages) for number, begin in enumerate(begins)]
    gevent.joinall(asking, raise_error=True)
    print(json.dumps({**got, "slowest_ms": 1000 * slowest[0]}))


if __name__ == "__main__":
    main()
