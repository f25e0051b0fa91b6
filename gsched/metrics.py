"""Metrics for Prometheus: our own counters, read at each scrape. No label has a value for each job.

    from prometheus_client import REGISTRY
    from gsched.metrics import collector

    REGISTRY.register(collector(scheduler))
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gsched import __version__
from gsched.errors import ConfigurationError
from gsched.jobs.outcomes import Outcome
from gsched.monitoring.histogram import Histogram
from gsched.monitoring.scheduler_status import SchedulerStatus
from gsched.schedulers.gevent import GeventScheduler

if TYPE_CHECKING:
    from prometheus_client import Metric as Family
    from prometheus_client.registry import Collector

REMEDY: Final = "pip install 'gsched[metrics]' (it needs prometheus-client)"

Sample = tuple[tuple[str, ...], Any]  # the values of the labels, and a number or a Histogram


class Metric(NamedTuple):
    """One metric. `samples` reads it from a scheduler's status."""

    name: str
    kind: str  # gauge, counter or histogram
    labels: tuple[str, ...]
    samples: Callable[[SchedulerStatus], Iterable[Sample]]
    help: str


def collector(scheduler: GeventScheduler) -> Collector:
    """A collector for a registry of prometheus-client's.

    A scrape reads memory only, and may come in any thread. A registry takes the collector of one scheduler.

    :raises ConfigurationError: if prometheus-client is not installed; the message has the remedy
    """
    try:
        from prometheus_client import core, registry
    except ImportError:
        raise ConfigurationError(f"metrics: {REMEDY}") from None
    make: dict[str, Any] = {
        "gauge": core.GaugeMetricFamily, "counter": core.CounterMetricFamily, "histogram": core.HistogramMetricFamily,
    }  # fmt: skip

    class SchedulerCollector(registry.Collector):
        def describe(self) -> Iterable[Family]:
            return [make[metric.kind](metric.name, metric.help) for metric in METRICS]

        def collect(self) -> Iterator[Family]:
            status = scheduler.status()
            for metric in METRICS:
                family = make[metric.kind](metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.samples(status):
                    family.add_metric([_label(each) for each in labels], **_numbers(value))
                yield family

    return SchedulerCollector()


def _label(value: str) -> str:
    """A label's value. Text that is no UTF-8 would spoil the whole answer, so it is escaped."""
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()


def _numbers(value: Any) -> dict[str, Any]:
    if not isinstance(value, Histogram):
        return {"value": value}
    bounds = [*(str(bound / 1000) for bound in value.bounds), "+Inf"]
    return {"buckets": list(zip(bounds, accumulate(value.counts), strict=True)), "sum_value": value.total / 1000}


# -- the numbers ----------------------------------------------------------------------------------------


def _runs(status: SchedulerStatus) -> Iterator[Sample]:
    for tag, outcomes in list(status.counters.by_tag.items()) if status.counters else ():
        yield from (
            ((tag, str(outcome)), count) for outcome, count in outcomes.items() if outcome is not Outcome.RETRIED
        )


def _retries(status: SchedulerStatus) -> Iterator[Sample]:
    for tag, outcomes in list(status.counters.by_tag.items()) if status.counters else ():
        yield (tag,), outcomes[Outcome.RETRIED]


def _skipped(status: SchedulerStatus) -> Iterable[Sample]:
    return list(status.counters.skipped.items()) if status.counters else ()


def _histogram(name: str) -> Callable[[SchedulerStatus], Iterable[Sample]]:
    return lambda status: [((), getattr(status.counters, name))] if status.counters else ()


def _loop(status: SchedulerStatus) -> Iterable[Sample]:
    loop = status.loop
    return [] if loop is None else [((name,), getattr(loop, name)) for name in ("jobs", "gsched", "other")]


def _pools(name: str) -> Callable[[SchedulerStatus], Iterable[Sample]]:
    return lambda status: [((alias,), getattr(pool, name)) for alias, pool in status.pools.items()]


def _stores(name: str) -> Callable[[SchedulerStatus], Iterable[Sample]]:
    """A number of each store that has it, or numbers by one or several labels."""

    def samples(status: SchedulerStatus) -> Iterator[Sample]:
        for alias, report in status.stores.items():
            value = getattr(report, name)
            if isinstance(value, Mapping):
                for key, each in value.items():
                    yield (alias, *([key] if isinstance(key, str) else key)), each
            elif value is not None:
                yield (alias,), value

    return samples


def _feed(status: SchedulerStatus) -> Iterator[Sample]:
    for alias, report in status.stores.items():
        if report.feed is not None:
            yield (alias,), report.feed == "connected"


def _overdue(status: SchedulerStatus) -> Iterator[Sample]:
    for alias, report in status.stores.items():
        if report.overdue is not None:
            yield (alias,), len(report.overdue.jobs)


def _groups(name: str) -> Callable[[SchedulerStatus], Iterable[Sample]]:
    """A number of each group; of groups with the same name in several stores the sum."""

    def samples(status: SchedulerStatus) -> Iterable[Sample]:
        counts: Counter[str] = Counter()
        for group in status.groups:
            counts[group.group] += getattr(group, name)
        return [((group,), count) for group, count in counts.items()]

    return samples


def _single(name: str) -> Callable[[SchedulerStatus], Iterable[Sample]]:
    return lambda status: [((), getattr(status, name))]


METRICS: Final = (
    Metric(
        "gsched_jobs", "gauge", ("state",), lambda status: [((state,), n) for state, n in status.jobs.items()],
        "Jobs that this process looks after now: scheduled, waiting (for a run of their own to end) or parked. "
        "With MongoDB: the jobs due within five minutes, in the slots that this process owns.",
    ),
    Metric(
        "gsched_runs_total", "counter", ("tag", "outcome"), _runs,
        "Runs that ended, and spans of due instants that ended without a run, by the first tag of their job. A span "
        "counts once, however many instants it has. From the hundredth tag on, tags count as 'other'.",
    ),
    Metric(
        "gsched_run_duration_seconds", "histogram", (), _histogram("duration"),
        "Time from the start of a run to its end.",
    ),
    Metric(
        "gsched_run_lateness_seconds", "histogram", (), _histogram("lateness"),
        "Time from when a run was due to its start: the scheduler's own service level.",
    ),
    Metric(
        "gsched_runs_skipped_total", "counter", ("tag", "reason"), _skipped,
        "Skipped runs and spans of gsched_runs_total, by reason: max_instances, pool_full, shutdown, ...",
    ),
    Metric(
        "gsched_run_retries_total", "counter", ("tag",), _retries,
        "Attempts that failed and that another attempt follows. gsched_runs_total has the last attempt only.",
    ),
    Metric(
        "gsched_runs_in_progress", "gauge", ("executor",), _pools("in_progress"), "Runs that execute now.",
    ),
    Metric(
        "gsched_group_runs_in_progress", "gauge", ("group",), _groups("running"),
        "Runs of groups with a limit or a pause, in progress or waiting for a worker, in the process that owns the "
        "group's jobs. Of more than a hundred groups these are the ones at which most jobs wait; so for all metrics of "
        "groups.",
    ),
    Metric(
        "gsched_group_waiting", "gauge", ("group",), _groups("waiting"),
        "Jobs of groups with a limit or a pause that wait for their turn.",
    ),
    Metric(
        "gsched_group_starts_per_minute", "gauge", ("group",), _groups("starts"),
        "Runs of groups with a limit or a pause that began within the last minute.",
    ),
    Metric(
        "gsched_pool_size", "gauge", ("executor",), _pools("size"),
        "How many runs the executor executes at once at most.",
    ),
    Metric(
        "gsched_pool_waiting", "gauge", ("executor",), _pools("waiting"), "Runs that wait for a worker.",
    ),
    Metric(
        "gsched_pool_full_seconds", "gauge", ("executor",), _pools("saturated"),
        "How long runs have waited for a worker; 0 while none waits.",
    ),
    Metric(
        "gsched_hub_slice_seconds", "histogram", (), _histogram("slices"),
        "How long the hub greenlet worked before it yielded to the event loop.",
    ),
    Metric(
        "gsched_hub_blocked_total", "counter", (), _single("blocked"),
        "How often code held gevent's event loop for longer than blocked_hub_after; the log names the code.",
    ),
    Metric(
        "gsched_loop_share", "gauge", ("holder",), _loop,
        "Which part of the last minute code ran on gevent's event loop, from samples: jobs in greenlets, gsched's own "
        "planning, other greenlets. `gsched top` names the jobs.",
    ),
    Metric(
        "gsched_store_connected", "gauge", ("store",), _stores("connected"), "1 while the job store answers, else 0.",
    ),
    Metric(
        "gsched_store_operations_seconds", "histogram", ("store", "op"), _stores("operations"),
        "How long the database took to answer, by command, without the time that the change feed waits for changes.",
    ),
    Metric(
        "gsched_store_errors_total", "counter", ("store", "op", "error"), _stores("errors"),
        "Commands that the database refused or did not answer. The op 'claim' is a turn of the claim protocol, which "
        "also fails while nothing can be sent. While it fails, this process starts no runs.",
    ),
    Metric(
        "gsched_feed_connected", "gauge", ("store",), _feed,
        "1 while changes by other processes arrive at once, 0 while this process polls for them.",
    ),
    Metric(
        "gsched_feed_lag_seconds", "gauge", ("store",), _stores("feed_lag"),
        "How long the last change by another process took to arrive (MongoDB 6.0 and later).",
    ),
    Metric(
        "gsched_slots_owned", "gauge", ("store",), _stores("slots"),
        "How many of the 256 slots, the partitions of the jobs, this process owns.",
    ),
    Metric(
        "gsched_watermark_age_seconds", "gauge", ("store",), _stores("watermark_age"),
        "How far the watermark lies behind the time; below 1 when all is well. While the age grows, this process "
        "starts no runs: the store does not answer, or the scheduler is paused.",
    ),
    Metric(
        "gsched_nodes", "gauge", ("store", "state"), _stores("nodes"),
        "Processes that share the store, as this one sees them: alive, draining, or dead. Dead ones were declared dead "
        "within the last day; processes that ended by themselves do not count.",
    ),
    Metric(
        "gsched_jobs_overdue", "gauge", ("store",), _overdue,
        "Jobs that are overdue, of all processes, up to 2000: no run has succeeded within expect_success_every. The "
        "store is asked every few seconds; the page /health has the age of its answer.",
    ),
    Metric(
        "gsched_events_dropped_total", "counter", (), _single("dropped"),
        "Events that were not delivered because listeners were too slow.",
    ),
    Metric(
        "gsched_listener_errors_total", "counter", (), _single("listener_errors"), "How often listeners raised.",
    ),
    Metric(
        "gsched_build_info", "gauge", ("version", "python"),
        lambda _: [((__version__, platform.python_version()), 1)],
        "Always 1; the labels have the versions of gsched and Python.",
    ),
)  # fmt: skip
