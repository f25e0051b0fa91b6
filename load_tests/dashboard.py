"""What the dashboard costs, with 100,000 jobs: how long it holds the event loop, and what browsers ask of it.

- "held": each question to a scheduler's own process, with the memory store: the longest time between two turns of the
  event loop, by CPU time and by the wall clock, beside the same without a question. What is loaded is frozen
  (gc.freeze), as the runner does
- "browsers": fifty of them, each with a stream, its 100 rows and the counts every five seconds: CPU time of the
  server's process, with all on the same page of jobs and with each on a page of its own
- "cold": the list of jobs in Debian's Chromium, with nothing in its cache: bytes over the wire, first paint, rows there
- "pages": how long the server takes to answer for a page of jobs, in SQLite and in MongoDB
Run: python load_tests/dashboard.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from harness import HERE, Results, promise, run

from gsched.embedded import open_embedded

JOBS, QUICK_JOBS = 100_000, 2000
ROUNDS, QUICK_ROUNDS = 5, 1
BROWSERS = 50
BROWSER_SECONDS, QUICK_BROWSER_SECONDS = 30, 10
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
SHOWN = "() => document.querySelectorAll('.jobs tbody tr').length >= 100"
ROWS_AT = """
const seen = new MutationObserver(() => {
  if (document.querySelectorAll(".jobs tbody tr").length >= 100) window.rowsAt ??= performance.now();
});
seen.observe(document, {childList: true, subtree: true});
"""
PAINTED_AT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
PAGES = {"one page": 1, "ten pages": 10}
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

HELD_MS = 10
WIRE_KB = 90
PAINT_MS, ROWS_MS = 500, 1000
PAGE_MS = 20
BROWSERS_PERCENT = 10


class Server:
    """A process with jobs and the dashboard (see dashboard_server.py)."""

    def __init__(self, **settings: Any) -> None:
        command = [sys.executable, str(HERE / "dashboard_server.py"), json.dumps(settings)]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port: int = self._read()["port"]

    def tell(self, command: str, rounds: int, jobs: int) -> Any:
        """What it answers to a command."""
        assert self._popen.stdin is not None
        print(command, rounds, jobs, file=self._popen.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        assert self._popen.stdout is not None
        return json.loads(self._popen.stdout.readline() or "null")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def close(self) -> None:
        try:
            self._popen.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    server = Server(**settings)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="gsched-load-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def measure(quick: bool) -> Results:
    """Store by store."""
    jobs, rounds = (QUICK_JOBS, QUICK_ROUNDS) if quick else (JOBS, ROUNDS)
    announce("in memory")
    with serving(store="memory", jobs=jobs, warm=2 if quick else 20) as server:
        held = server.tell("held", rounds, jobs)
        announce("Chromium")
        cold = cold_load(server.port, rounds)
    with directory() as place:
        announce("SQLite")
        sqlite, browsers = measure_sqlite(f"sqlite:///{place}/jobs.sqlite", jobs, quick)
        announce("MongoDB")
        mongodb = measure_mongodb(place / "mongodb", jobs, rounds)
    return Results(
        [
            *promises_of_holds(held, jobs),
            *promises_of_browsers(browsers),
            *promises_of_cold_load(cold),
            *promises_of_pages("SQLite", sqlite),
            *promises_of_pages("MongoDB", mongodb),
        ],
        {"jobs": jobs, "held": held, "browsers": browsers, "cold": cold, "sqlite": sqlite, "mongodb": mongodb},
    )


def announce(what: str) -> None:
    """Print which part begins: the whole takes minutes."""
    print(f"  {what} ...", file=sys.stderr, flush=True)


def promises_of_holds(held: dict[str, Any], jobs: int) -> list[dict[str, Any]]:
    """By the CPU time, which is what the question itself took; the wall clock counts other programs, too."""
    each = {name: median(figures["cpu"]) for name, figures in held.items()}
    quiet = median(one for figures in held.values() for one in figures["cpu_quiet"])
    walls = [asked - calm for one in held.values() for asked, calm in zip(one["wall"], one["wall_quiet"])]
    return [
        *(promise(f"event loop held by {name}, CPU", ms, at_most=HELD_MS, unit="ms") for name, ms in each.items()),
        promise(f"event loop held without questions, {jobs:,} jobs in memory, CPU", quiet, unit="ms"),
        promise("event loop held by any question beyond that without, wall clock: median", median(walls), unit="ms"),
    ]


# -- browsers ---------------------------------------------------------------------------------------------------------


def measure_sqlite(url: str, jobs: int, quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """A process adds jobs and runs them; another one, which runs nothing, serves the dashboard."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_BROWSER_SECONDS) if quick else (ROUNDS, BROWSER_SECONDS)
    with (
        serving(store=url, jobs=jobs, every=10.0, warm=2 if quick else 20),
        serving(store=url, jobs=0, runs=False, warm=0) as server,
    ):
        took = server.tell("pages", rounds, jobs)
        return took, {name: cpu_of_browsers(server, seconds, pages) for name, pages in PAGES.items()}


def cpu_of_browsers(server: Server, seconds: int, pages: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "dashboard_browsers.py"), *map(str, (server.port, BROWSERS, seconds, pages))]
    cpu, began = server.cpu_seconds(), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=seconds + 30)
    used, lasted = server.cpu_seconds() - cpu, time.monotonic() - began
    return {"percent": 100 * used / lasted, "seconds": lasted, **json.loads(done.stdout)}


def promises_of_browsers(browsers: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        promise(
            f"{BROWSERS} browsers on {pages} of jobs: CPU of the server",
            found["percent"],
            at_most=BROWSERS_PERCENT,
            unit="% of a core",
        )
        for pages, found in browsers.items()
    ]


def cold_load(port: int, rounds: int) -> dict[str, Any] | None:
    """The list in a browser that has nothing yet; None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not Path(CHROMIUM).exists():
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        loads = [load_once(browser, port) for _ in range(rounds)]
        browser.close()
    return {key: [load[key] for load in loads] for key in loads[0]}


def load_once(browser: Any, port: int) -> dict[str, Any]:
    """Load the list once, as a user of it does for the first time."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    received: list[float] = []
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    wire.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.add_init_script(ROWS_AT)
    page.goto(f"http://127.0.0.1:{port}/jobs")
    page.wait_for_function(SHOWN)
    page.wait_for_timeout(300)  # what is still under way counts, too
    found = {
        "paint_ms": page.evaluate(PAINTED_AT),
        "rows_ms": page.evaluate("window.rowsAt"),
        "kb": sum(received) / 1000,
        "requests": len(received),
    }
    context.close()
    return found


def promises_of_cold_load(cold: dict[str, Any] | None) -> list[dict[str, Any]]:
    if cold is None:
        return [promise("cold load of the list: not measured, there is no Chromium", 0)]
    return [
        promise("cold load of the list, over the wire", median(cold["kb"]), at_most=WIRE_KB, unit="KB"),
        promise("cold load of the list: first paint", median(cold["paint_ms"]), at_most=PAINT_MS, unit="ms"),
        promise("cold load of the list: 100 rows there", median(cold["rows_ms"]), at_most=ROWS_MS, unit="ms"),
    ]


# -- pages of jobs ----------------------------------------------------------------------------------------------------


def measure_mongodb(place: Path, jobs: int, rounds: int) -> dict[str, float]:
    """Nothing runs them."""
    with open_embedded(place) as mongod, serving(store=mongod.uri, jobs=jobs, runs=False, warm=0) as server:
        return dict(server.tell("pages", rounds, jobs))


def promises_of_pages(store: str, took: dict[str, float]) -> list[dict[str, Any]]:
    """Pages have a budget; what has to look at all jobs has none."""
    bounds = {name: PAGE_MS if "page" in name else None for name in took}
    return [promise(f"{store}: {name}, server", ms, at_most=bounds[name], unit="ms") for name, ms in took.items()]


if __name__ == "__main__":
    run("dashboard", measure)
