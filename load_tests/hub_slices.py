"""How long the event loop does not turn when 50,000 jobs are due at once.

- "alone": no-ops, several bursts in a row; a timer in the loop, every millisecond, notes how long it was since the
  last time: by the wall clock, and by CPU time, which is what we held the loop with (the wall clock counts other
  programs, too). The jobs are frozen after they were added (gc.freeze), as the runner does and the documentation
  advises: else the garbage collector looks through all of them once more, at a time of its choosing
- "thawed": the same without that, one burst soon after adding; beside it how long a full collection takes then
- "alone_io": the same with jobs that wait 50 ms; beside it "raw", as many greenlets that sleep as long: they all wake
  in one turn of the loop, which gevent does not slice
- "serving": gevent.pywsgi in the same process answers a client process; its request latency before and in the burst
Run: python load_tests/hub_slices.py
"""

from __future__ import annotations

import gc
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import gevent
from gevent import get_hub
from gevent.pywsgi import WSGIServer
from harness import Results, fresh, percentile, promise, run, shares
from workload import counted, runs_so_far

from gsched import GeventScheduler

JOBS, QUICK_JOBS = 50_000, 20_000
POOL = 10_000
CALM_SECONDS = 1.5
EVERY_SECONDS = 5  # between bursts that follow each other
CLIENTS = 2


def measure(quick: bool) -> Results:
    """Each in a process of its own; some bursts of no-ops, and one of jobs that wait for I/O."""
    jobs = QUICK_JOBS if quick else JOBS
    alone = fresh(__file__, "alone", quick)
    thawed = [fresh(__file__, "thawed", quick) for _ in range(1 if quick else 3)]
    waiting = fresh(__file__, "alone_io", quick)
    serving = [fresh(__file__, "serving", quick) for _ in range(1 if quick else 2)]
    raw = fresh(__file__, "raw", quick)
    debts = [one["burst"]["cpu_max"] for one in thawed]
    held = [burst["cpu_max"] for burst in alone["bursts"]]
    one = serving[-1]
    chart = {name: one.pop(f"{name}_all") for name in ("calm", "burst")}
    for other in serving[:-1]:
        other.pop("calm_all"), other.pop("burst_all")
    return Results(
        [
            promise(f"{jobs:,} no-ops due at once: longest hold of the loop, CPU", max(held), at_most=10, unit="ms"),
            promise("its median over the bursts, for information", median(held), unit="ms"),
            promise("the same by the wall clock", max(burst["wall_max"] for burst in alone["bursts"]), unit="ms"),
            promise("the same soon after adding, without gc.freeze", max(debts), unit="ms"),
            promise("a full garbage collection then", max(one["collection"] for one in thawed), unit="ms"),
            promise("the same, jobs of 50 ms I/O, CPU", waiting["burst"]["cpu_max"], unit="ms"),
            promise("10,000 greenlets that sleep 50 ms, CPU", raw["burst"]["cpu_max"], unit="ms"),
            promise("a web request meanwhile: p99", one["burst"]["p99"], unit="ms"),
            promise("a web request before: p99", one["calm"]["p99"], unit="ms"),
        ],
        {"alone": alone, "thawed": thawed, "alone_io": waiting, "raw": raw, "serving": serving},
        shares(f"Requests while {jobs:,} jobs are due at once", "ms", chart),
    )


def alone(quick: bool) -> dict[str, Any]:
    """The loop's own lag in bursts that follow each other, with all that was loaded frozen."""
    probe, jobs = Probe(), QUICK_JOBS if quick else JOBS
    scheduler, due = loaded(counted, jobs, seconds=EVERY_SECONDS)
    wait_until(due - CALM_SECONDS)
    gc.collect()
    gc.freeze()
    bursts = []
    for burst in range(2 if quick else 5):
        began = due + burst * EVERY_SECONDS
        wait_until(began + EVERY_SECONDS - 0.5)
        if runs_so_far() != jobs * (burst + 1):
            raise RuntimeError(f"burst {burst + 1}: {runs_so_far():,} runs")
        bursts.append(probe.lag(began, began + EVERY_SECONDS - 0.5))
    scheduler.shutdown()
    return {"calm": probe.lag(due - CALM_SECONDS + 0.5, due), "bursts": bursts}


def thawed(func: Callable[[], None], quick: bool) -> dict[str, Any]:
    """The loop's own lag in one burst, and how long a full garbage collection takes after it."""
    probe = Probe()
    finished, began = run_burst(func, quick)
    before = time.process_time()
    gc.collect()
    collection = (time.process_time() - before) * 1000
    return {"seconds": finished - began, "collection": collection, "burst": probe.lag(began, finished)}


def raw_sleepers(quick: bool) -> dict[str, Any]:
    """As many greenlets as a pool has, that sleep as the jobs do."""
    probe, began = Probe(), time.time()
    gevent.joinall([gevent.spawn(gevent.sleep, 0.05) for _ in range(POOL)])
    return {"seconds": time.time() - began, "burst": probe.lag(began, time.time())}


def serving(quick: bool) -> dict[str, Any]:
    """What requests feel of it."""
    server = WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    command = [sys.executable, __file__, "--client", str(server.server_port)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    finished, began = run_burst(counted, quick)
    client.stdin.close()
    requests = json.loads(get_hub().threadpool.apply(client.stdout.read))
    client.wait()
    calm = [ms for sent, ms in requests if began - CALM_SECONDS < sent < began - 0.1]
    burst = [ms for sent, ms in requests if sent + ms / 1000 > began and sent < finished]
    said = {name: {"requests": len(v), "p50": percentile(v, 0.5), "p99": percentile(v, 0.99), "max": max(v)}
            for name, v in (("calm", calm), ("burst", burst))}  # fmt: skip
    return {"seconds": finished - began, **said, "calm_all": calm, "burst_all": burst}


def run_burst(func: Callable[[], None], quick: bool) -> tuple[float, float]:
    """Let many jobs be due at once; when all have run, and when they were due, by the wall clock."""
    jobs, before = QUICK_JOBS if quick else JOBS, runs_so_far()
    scheduler, due = loaded(func, jobs, hours=1)
    while runs_so_far() < before + jobs:
        gevent.sleep(0.01)
    finished = time.time()
    scheduler.shutdown()
    return finished, due


def loaded(func: Callable[[], None], jobs: int, **every: int) -> tuple[GeventScheduler, float]:
    """A scheduler that runs, with jobs that are all due at once, and when, by the wall clock."""
    due = datetime.now(UTC) + timedelta(seconds=CALM_SECONDS + jobs / 8000)  # adding takes a while
    scheduler = GeventScheduler()
    scheduler.add_jobs(
        {"func": func, "trigger": "interval", **every, "start_date": due, "id": f"job-{n}"} for n in range(jobs)
    )
    scheduler.start()
    return scheduler, due.timestamp()


def wait_until(wall_clock: float) -> None:
    """Sleep until then."""
    gevent.sleep(max(0.0, wall_clock - time.time()))


def slow() -> None:
    """Counted, after waiting."""
    gevent.sleep(0.05)
    counted()


def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The web server's application."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


class Probe:
    """Notes how long the loop took between two turns."""

    def __init__(self) -> None:
        self._turns: list[tuple[float, float, float]] = []  # wall clock, milliseconds since the last: wall, CPU
        self._last = time.perf_counter(), time.process_time()
        self._timer = get_hub().loop.timer(0.001, repeat=0.001)
        self._timer.start(self._turn)

    def _turn(self) -> None:
        now = time.perf_counter(), time.process_time()
        self._turns.append((time.time(), (now[0] - self._last[0]) * 1000, (now[1] - self._last[1]) * 1000))
        self._last = now

    def lag(self, first: float, until: float) -> dict[str, float]:
        """The longest times between turns, in milliseconds."""
        turns = [(wall, cpu) for at, wall, cpu in self._turns if first < at <= until]
        walls, cpus = [wall for wall, _ in turns], [cpu for _, cpu in turns]
        return {
            "turns": len(turns),
            "wall_p99": percentile(walls, 0.99),
            "wall_max": max(walls),
            "cpu_p99": percentile(cpus, 0.99),
            "cpu_max": max(cpus),
        }


def client(port: int) -> None:
    """In a process without gevent: send requests until stdin ends, print when each was sent and what it took."""
    requests: list[tuple[float, float]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            # A connection each: on one that is kept, delayed acknowledgements add 40 ms to every answer.
            connection = http.client.HTTPConnection("127.0.0.1", port)
            sent, began = time.time(), time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            requests.append((sent, (time.perf_counter() - began) * 1000))
            time.sleep(0.003)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(requests))


if __name__ == "__main__":
    if "--client" in sys.argv:
        client(int(sys.argv[-1]))
    else:
        cases = {"alone": alone, "raw": raw_sleepers, "serving": serving}
        cases |= {"thawed": lambda quick: thawed(counted, quick), "alone_io": lambda quick: thawed(slow, quick)}
        run("hub_slices", measure, cases)
