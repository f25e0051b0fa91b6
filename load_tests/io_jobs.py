"""How late jobs start at 10,000 runs a second that each wait 50 ms for I/O (here: sleep), about 500 at once.

10,000 jobs that recur every second, spread over it. With the garbage collector as `gsched run` sets it (what was
loaded is frozen, full collections are rarer), and as Python leaves it. Afterwards every instant is compared with the
triggers' arithmetic: each has one outcome, be it a run or, where the machine was too slow, a reason for none.
Run: python load_tests/io_jobs.py
"""

from __future__ import annotations

import gc
import time
from typing import Any

import gevent
from harness import Results, Stopwatch, fresh, promise, run, shares, spread
from readings import outcomes
from workload import every_second

from gsched import GeventScheduler, current_run
from gsched.events import (
    EVENT_ALL,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_STARTED,
    EVENT_JOB_SUBMITTED,
    JobExecutionEvent,
    JobSubmissionEvent as SpanEvent,
)
from gsched.testing.ledger import mismatches
from gsched.times.instants import to_ms

JOBS = 10_000
WAIT_SECONDS = 0.05
FIRST_SECONDS = 2  # left out: loading, the first workers

_seen: dict[str, list[tuple[int, str]]] = {}
_lateness: list[tuple[int, float]] = []


def measure(quick: bool) -> Results:
    """Each in a process of its own."""
    frozen, plain = fresh(__file__, "frozen", quick), fresh(__file__, "plain", quick)
    sets = {"gsched, gc frozen": frozen.pop("lateness"), "gsched, gc as it is": plain.pop("lateness")}
    return Results(
        [
            promise("10,000 runs/s of 50 ms I/O: lateness p99", frozen["ms"]["p99"], at_most=50, unit="ms"),
            promise("the same without gc.freeze: p99", plain["ms"]["p99"], unit="ms"),
            promise("instants missing or doubled", frozen["problems"] + plain["problems"], at_most=0),
        ],
        {"frozen": frozen, "plain": plain},
        shares("10,000 runs/s of 50 ms I/O jobs: lateness", "ms late", sets, 50),
    )


def case(quick: bool, freeze: bool) -> dict[str, Any]:
    """Run the load and check it."""
    seconds = 2 if quick else 20
    scheduler = GeventScheduler()
    # Only what is not a success: a healthy run pays nothing for it.
    mask = EVENT_ALL & ~(EVENT_JOB_EXECUTED | EVENT_JOB_STARTED | EVENT_JOB_SUBMITTED)
    scheduler.add_listener(note_unrun, mask)
    scheduler.add_jobs({**definition, "args": [[]]} for definition in every_second(poll, JOBS, delay_seconds=1.0))
    if freeze:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
    scheduler.start()
    gevent.sleep(1.0 + (1 if quick else FIRST_SECONDS))
    first, watch = int(time.time() * 1000), Stopwatch()
    gevent.sleep(seconds)
    until, (wall, cpu) = int(time.time() * 1000), watch.read()
    for _ in range(2 if quick else 8):  # where the machine is slow, what was due is still to come
        gevent.sleep(1)
        problems = [problem for job in scheduler.get_jobs() for problem in problems_of(job, first, until)]
        if not problems:
            break
    ended = {name: count for name, count in outcomes(scheduler).items() if count}
    scheduler.shutdown()
    late = [value for instant, value in _lateness if first < instant <= until]
    return {
        "ms": spread(late),
        "lateness": [*sorted(late)[:: max(1, len(late) // 2000)], max(late)],
        "runs_per_second": len(late) / wall,
        "cpu_share": cpu / wall,
        "outcomes": ended,
        "problems": len(problems),
        "first_problems": problems[:5],
    }


def poll(state: list[Any]) -> None:
    """A job that waits for I/O."""
    present = current_run()
    scheduled = to_ms(present.scheduled_at)
    _lateness.append((scheduled, time.time() * 1000 - scheduled))
    _seen.setdefault(present.job_id, []).append((scheduled, "ran"))
    gevent.sleep(WAIT_SECONDS)


def note_unrun(event: object) -> None:
    """Instants that ended without a run have an outcome, too."""
    if isinstance(event, SpanEvent):
        instant, end = event.span.first, event.span.end
        while instant is not None and instant < end:
            _seen.setdefault(event.job_id, []).append((instant, str(event.span.outcome)))
            instant = event.job.trigger.next_ms(instant)
    elif isinstance(event, JobExecutionEvent) and event.result is not None and event.run.started_ms is None:
        _seen.setdefault(event.job_id, []).append((event.run.scheduled_ms, str(event.result.outcome)))


def problems_of(job: Any, first: int, until: int) -> list[str]:
    """What does not match between the job's instants after `first` up to `until` and its runs."""
    predicted, instant = [], job.trigger.next_ms(first)
    while instant <= until:
        predicted.append(instant)
        instant = job.trigger.next_ms(instant)
    return mismatches(predicted, [(at, said) for at, said in _seen.get(job.id, ()) if first < at <= until])


if __name__ == "__main__":
    run("io_jobs", measure, {"frozen": lambda quick: case(quick, True), "plain": lambda quick: case(quick, False)})
