"""How long a trigger takes to find its next time, beside APScheduler 3 in the same run.

Microseconds of each and their ratio.
Run: python load_tests/triggers.py
"""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import geometric_mean
from time import perf_counter
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger as TheirCronTrigger
from apscheduler.triggers.interval import IntervalTrigger as TheirIntervalTrigger
from harness import Results, bars, promise, run

from gsched.times.instants import to_ms
from gsched.triggers import CronTrigger, IntervalTrigger

CRON = (
    {"second": "*/10"},
    {"minute": "*/5"},
    {"minute": 30},
    {"hour": 5, "minute": 30},
    {"day_of_week": "mon-fri", "hour": 5, "minute": 30},
    {"day": 1},
    {"day": "last", "hour": 3},
    {"day": "2nd fri", "hour": 3},
    {"month": "1-6", "day": "1,15", "hour": "8-18/2"},
    {"month": 2, "day": 29},
)
INTERVAL = ({"seconds": 10}, {"hours": 6})
ZONES = ("UTC", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe")
MOMENTS = 200
ROUNDS = 5


def measure(quick: bool) -> Results:
    """All fields in all zones."""
    cron = [compare(CronTrigger, TheirCronTrigger, fields, zone, quick) for fields in CRON for zone in ZONES]
    interval = [
        compare(IntervalTrigger, TheirIntervalTrigger, fields, zone, quick) for fields in INTERVAL for zone in ZONES
    ]
    summary = {"cron": summarize(cron), "interval": summarize(interval)}
    return Results(
        [
            promise("cron next_ms, the slowest of all", summary["cron"]["ours_us_max"], at_most=15, unit="us"),
            promise("cron, to APScheduler, at least", summary["cron"]["ratio_min"], unit="x"),
            promise("cron, to APScheduler, on the mean", summary["cron"]["ratio_geometric_mean"], unit="x"),
            promise("interval, to APScheduler, on the mean", summary["interval"]["ratio_geometric_mean"], unit="x"),
        ],
        {"summary": summary, "cron": cron, "interval": interval},
        bars(
            "The next time of a cron trigger",
            "microseconds",
            {
                "gsched, geometric mean": geometric_mean([one["ours_us"] for one in cron]),
                "gsched, slowest": summary["cron"]["ours_us_max"],
                "APScheduler 3, geometric mean": geometric_mean([one["apscheduler_us"] for one in cron]),
                "APScheduler 3, slowest": summary["cron"]["apscheduler_us_max"],
            },
            15,
        ),
    )


def compare(ours, theirs, fields, zone, quick):
    """Both triggers asked for the time after the same moments, spread over a year."""
    start = datetime(2026, 1, 1, 0, 0, 1, tzinfo=ZoneInfo(zone))
    moments = [start + timedelta(hours=43.3 * n) for n in range(MOMENTS)]
    instants = [to_ms(moment) for moment in moments]
    rounds = 2 if quick else ROUNDS
    next_ms = ours(**fields, timezone=zone).next_ms
    their_trigger = theirs(**fields, timezone=zone, **({"start_date": start} if ours is IntervalTrigger else {}))
    our_us = best(lambda: [next_ms(instant) for instant in instants], rounds)
    their_us = best(lambda: [their_trigger.get_next_fire_time(None, moment) for moment in moments], rounds)
    return {"fields": fields, "zone": zone, "ours_us": our_us, "apscheduler_us": their_us, "ratio": their_us / our_us}


def best(ask, rounds):
    """Microseconds per question, the best of some rounds."""
    times = []
    for _ in range(rounds):
        began = perf_counter()
        ask()
        times.append(perf_counter() - began)
    return min(times) / MOMENTS * 1e6


def summarize(results):
    """The span of the ratios, and the slowest of our times."""
    ratios = [result["ratio"] for result in results]
    return {
        "ratio_min": min(ratios),
        "ratio_geometric_mean": geometric_mean(ratios),
        "ratio_max": max(ratios),
        "ours_us_max": max(result["ours_us"] for result in results),
        "apscheduler_us_max": max(result["apscheduler_us"] for result in results),
    }


if __name__ == "__main__":
    run("triggers", measure)
