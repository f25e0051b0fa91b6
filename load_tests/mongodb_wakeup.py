"""How soon a scheduler notices what another process does to its jobs: adding one that is due now, and changing,
pausing, resuming, removing or running one.

From before the call in the one process until the job starts (or starts no more) in the other, on one machine, by the
wall clock. Beside it in the same run: how long the insert alone takes, and until a bare change stream tells of it, the
least that is possible here. APScheduler with its MongoDB store gets one job, and some seconds.
Run: python load_tests/mongodb_wakeup.py
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import logging
import time
from collections.abc import Callable, Iterator
from random import Random
from statistics import median
from typing import Any

import gevent
from apscheduler.executors.gevent import GeventExecutor
from apscheduler.jobstores.mongodb import MongoDBJobStore as TheirStore
from apscheduler.schedulers.gevent import GeventScheduler as TheirScheduler
from harness import Results, promise, run, shares, spread
from mongodb_cluster import Cluster, Node, Server, Start, mongodb, wait_until
from pymongo import MongoClient

FUNC = "mongodb_jobs:noted"
EVERY_SECONDS = 0.01  # how often the job recurs by which an effect is seen
SEEN_SECONDS = 0.3  # nothing started for so long: it has stopped
MOST_PAUSE_SECONDS = 0.15  # between two adds: longer than a tick, so that they come at any moment of one


def measure(quick: bool) -> Results:
    """One after the other, on one node that has nothing else to do."""
    adds, changes = (40, 8) if quick else (200, 40)
    with mongodb() as server:
        with server.cluster("wakeup") as cluster:
            node = cluster.start_node(at_once=True)
            cluster.wait_until_balanced(node)
            bare = bare_change_stream(server, adds)
            added, returned = zip(*(add_one(cluster, node, f"new-{number}") for number in pauses(adds)))
            effects = {name: effect(cluster, node, changes) for name, effect in EFFECTS.items()}
        noticed = theirs_notice(server, 3 if quick else 10)
    figures = {
        "added_ms": spread(added),
        "add_job_returned_ms": spread(returned),
        **{f"{name}_ms": spread(ms) for name, ms in effects.items()},
        **{f"bare_{name}_ms": spread(ms) for name, ms in bare.items()},
        "apscheduler": noticed,
    }
    return Results(
        [
            promise("added elsewhere, due now, to start: p50", figures["added_ms"]["p50"], at_most=20, unit="ms"),
            promise("added elsewhere, due now, to start: p99", figures["added_ms"]["p99"], at_most=150, unit="ms"),
            promise("the call of add_job alone: p50", figures["add_job_returned_ms"]["p50"], unit="ms"),
            promise("a bare change stream's news of an insert: p50", figures["bare_seen_ms"]["p50"], unit="ms"),
            *(promise(f"{name} elsewhere, effect: p50", median(ms), unit="ms") for name, ms in effects.items()),
            promise(f"added elsewhere, APScheduler: run within {noticed['waited_seconds']} s", noticed["runs"]),
        ],
        figures,
        shares("Added by another process, to its start", "ms", {"gsched": added, "bare change stream": bare["seen"]}),
    )


def pauses(count: int) -> Iterator[int]:
    """Numbers, with pauses of different lengths between."""
    random = Random(1)
    for number in range(count):
        yield number
        gevent.sleep(random.uniform(0, MOST_PAUSE_SECONDS))


def bare_change_stream(server: Server, count: int) -> dict[str, list[float]]:
    """Milliseconds of an insert, and until a stream without anything around it tells of it."""
    inserted, seen = [], []
    with MongoClient(server.uri, w="majority") as client:
        collection = client["bare"]["documents"]
        collection.insert_one({})
        with collection.watch(max_await_time_ms=500) as stream:
            news: dict[Any, float] = {}

            def listen() -> None:
                while len(news) < count:
                    if (change := stream.try_next()) is not None:
                        news[change["documentKey"]["_id"]] = time.time()

            listener = gevent.spawn(listen)
            for number in pauses(count):
                began = time.time()
                collection.insert_one({"_id": number})
                inserted.append((time.time() - began) * 1000)
                wait_until(lambda number=number: number in news, 0.001)
                seen.append((news[number] - began) * 1000)
            listener.join()
    return {"insert": inserted, "seen": seen}


# -- what is done, and how long until its effect, in milliseconds -----------------------------------------------------


def add_one(cluster: Cluster, node: Node, job_id: str) -> tuple[float, float]:
    """A new job that is due now: until it started, and until the call returned."""
    began = time.time()
    cluster.scheduler.add_job(FUNC, id=job_id)
    returned = time.time()
    return (first(node, job_id, began).began - began) * 1000, (returned - began) * 1000


def modify(cluster: Cluster, node: Node, job_id: str) -> float:
    """Other arguments, to the first run with them."""
    began = time.time()
    cluster.scheduler.modify_job(job_id, args=[round(began * 1000)])
    return (first(node, job_id, began, round(began * 1000)).began - began) * 1000


def pause(cluster: Cluster, node: Node, job_id: str) -> float:
    """To the last run that starts all the same."""
    return last_start(node, job_id, lambda: cluster.scheduler.pause_job(job_id))


def resume(cluster: Cluster, node: Node, job_id: str) -> float:
    """To the first run again."""
    cluster.scheduler.pause_job(job_id)
    gevent.sleep(SEEN_SECONDS)
    began = time.time()
    cluster.scheduler.resume_job(job_id)
    return (first(node, job_id, began).began - began) * 1000


def remove(cluster: Cluster, node: Node, job_id: str) -> float:
    """To the last run that starts all the same."""
    return last_start(node, job_id, lambda: cluster.scheduler.remove_job(job_id))


def run_now(cluster: Cluster, node: Node, job_id: str) -> float:
    """A run on request, of a job that is not due for hours."""
    cluster.scheduler.reschedule_job(job_id, trigger="interval", hours=5)
    gevent.sleep(SEEN_SECONDS)
    began = time.time()
    cluster.store.request_run(cluster.store.get(job_id), job_id)  # as run_job does, which wants a scheduler that runs
    return (first(node, job_id, began).began - began) * 1000


def recurring(verb: Callable[[Cluster, Node, str], float]) -> Callable[[Cluster, Node, int], list[float]]:
    """Do it so many times, each time to a job that runs every few milliseconds."""

    def measured(cluster: Cluster, node: Node, count: int) -> list[float]:
        return [one(cluster, node, f"{verb.__name__}-{number}") for number in pauses(count)]

    def one(cluster: Cluster, node: Node, job_id: str) -> float:
        began = time.time()
        cluster.scheduler.add_job(FUNC, "interval", seconds=EVERY_SECONDS, id=job_id)
        first(node, job_id, began)
        ms = verb(cluster, node, job_id)
        if verb is not remove:
            cluster.scheduler.remove_job(job_id)
        return ms

    return measured


EFFECTS = {
    "modified": recurring(modify),
    "paused": recurring(pause),
    "resumed": recurring(resume),
    "removed": recurring(remove),
    "run on request": recurring(run_now),
}


def first(node: Node, job_id: str, since: float, value: int = 0) -> Start:
    """Wait for the first start after `since`, with this value."""

    def starts() -> list[Start]:
        return [one for one in node.starts() if one.job == job_id and one.began >= since and one.value == value]

    wait_until(starts)
    return starts()[0]


def last_start(node: Node, job_id: str, stop: Callable[[], object]) -> float:
    """By how many milliseconds the last start is later than the call of `stop`."""
    began = time.time()
    stop()
    gevent.sleep(SEEN_SECONDS)
    last = max(one.began for one in node.starts() if one.job == job_id)
    if last > time.time() - SEEN_SECONDS / 2:
        raise TimeoutError(f"{job_id} still runs")
    return max(0.0, last - began) * 1000


def theirs_notice(server: Server, seconds: int) -> dict[str, Any]:
    """What APScheduler makes of a job that another process adds, due now."""
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    with server.cluster("apscheduler") as cluster, MongoClient(cluster.uri, w="majority") as client:
        node = cluster.start_node(theirs=True, at_once=True)
        scheduler = TheirScheduler(
            jobstores={"default": TheirStore(database=cluster.database, client=client)},
            executors={"default": GeventExecutor()},
            timezone="UTC",
        )
        scheduler.start(paused=True)
        wait_until(lambda: node.popen.poll() is None and node.has_started(), 0.05)
        gevent.sleep(1)
        scheduler.add_job("mongodb_jobs:their_noted", args=["new"], misfire_grace_time=None)
        gevent.sleep(seconds)
        runs = len(node.starts())
        cluster.stop()
        scheduler.shutdown()
    return {"runs": runs, "waited_seconds": seconds}


if __name__ == "__main__":
    run("mongodb_wakeup", measure)
