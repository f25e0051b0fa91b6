"""Metrics for Prometheus: our own counters, read when somebody scrapes. Never a label for each job.

    from prometheus_client import REGISTRY
    from gsched.metrics import collector

    REGISTRY.register(collector(scheduler))
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gsched import __version__
from gsched.errors import ConfigurationError
from gsched.histogram import Histogram
from gsched.scheduler import GeventScheduler
from gsched.vitals import Vitals

if TYPE_CHECKING:
    from prometheus_client import Metric as Family
    from prometheus_client.registry import Collector

REMEDY: Final = "pip install 'gsched[metrics]' (it needs prometheus-client)"

Sample = tuple[tuple[str, ...], Any]  # the values of the labels, and a number or a Histogram


class Metric(NamedTuple):
    """One metric. `samples` reads it from a scheduler's vital signs."""

    name: str
    kind: str  # gauge, counter or histogram
    labels: tuple[str, ...]
    samples: Callable[[Vitals], Iterable[Sample]]
    help: str


def collector(scheduler: GeventScheduler) -> Collector:
    """A collector for a registry of prometheus-client's.

    A scrape reads memory only, and may come in any thread. A registry takes one scheduler's.

    :raises ConfigurationError: if prometheus-client is not installed; the message says what to do
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
            vitals = scheduler.vitals()
            for metric in METRICS:
                family = make[metric.kind](metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.samples(vitals):
                    family.add_metric([_label(each) for each in labels], **_numbers(value))
                yield family

    return SchedulerCollector()


def _label(value: str) -> str:
    """A label's value. What is no UTF-8, such as an argument that was no text, would spoil the whole answer."""
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()


def _numbers(value: Any) -> dict[str, Any]:
    if not isinstance(value, Histogram):
        return {"value": value}
    bounds = [*(str(bound / 1000) for bound in value.bounds), "+Inf"]
    return {"buckets": list(zip(bounds, accumulate(value.counts), strict=True)), "sum_value": value.total / 1000}


# -- where the numbers are ----------------------------------------------------------------------------------------


def _runs(vitals: Vitals) -> Iterator[Sample]:
    for tag, outcomes in list(vitals.figures.by_tag.items()) if vitals.figures else ():
        yield from (((tag, str(outcome)), count) for outcome, count in outcomes.items())


def _skipped(vitals: Vitals) -> Iterable[Sample]:
    return list(vitals.figures.skipped.items()) if vitals.figures else ()


def _histogram(name: str) -> Callable[[Vitals], Iterable[Sample]]:
    return lambda vitals: [((), getattr(vitals.figures, name))] if vitals.figures else ()


def _pools(name: str) -> Callable[[Vitals], Iterable[Sample]]:
    return lambda vitals: [((alias,), getattr(pool, name)) for alias, pool in vitals.pools.items()]


def _stores(name: str) -> Callable[[Vitals], Iterable[Sample]]:
    """A number of each store that has it, or numbers by one label or several."""

    def samples(vitals: Vitals) -> Iterator[Sample]:
        for alias, report in vitals.stores.items():
            value = getattr(report, name)
            if isinstance(value, Mapping):
                for key, each in value.items():
                    yield (alias, *([key] if isinstance(key, str) else key)), each
            elif value is not None:
                yield (alias,), value

    return samples


def _feed(vitals: Vitals) -> Iterator[Sample]:
    for alias, report in vitals.stores.items():
        if report.feed is not None:
            yield (alias,), report.feed == "connected"


def _single(name: str) -> Callable[[Vitals], Iterable[Sample]]:
    return lambda vitals: [((), getattr(vitals, name))]


METRICS: Final = (
    Metric(
        "gsched_jobs", "gauge", ("state",), lambda vitals: [((state,), n) for state, n in vitals.jobs.items()],
        "Jobs that this process looks after now: scheduled, waiting (for a run of theirs to end) or parked. "
        "In MongoDB: those due within five minutes, in the slots that it owns.",
    ),
    Metric(
        "gsched_runs_total", "counter", ("tag", "outcome"), _runs,
        "Runs that ended, and spans of due instants that ended without a run (however many, a span counts once), by "
        "the first tag of their job. From the hundredth tag on, tags count as 'other'.",
    ),
    Metric(
        "gsched_run_duration_seconds", "histogram", (), _histogram("duration"), "Runs, from start to finish.",
    ),
    Metric(
        "gsched_run_lateness_seconds", "histogram", (), _histogram("lateness"),
        "Runs, from when they were due to when they started: the scheduler's own service level.",
    ),
    Metric(
        "gsched_runs_skipped_total", "counter", ("tag", "reason"), _skipped,
        "What gsched_runs_total counts as skipped, by reason: max_instances, pool_full, shutdown, ...",
    ),
    Metric(
        "gsched_runs_in_progress", "gauge", ("executor",), _pools("in_progress"), "Runs that execute now.",
    ),
    Metric(
        "gsched_pool_size", "gauge", ("executor",), _pools("size"), "Runs that an executor executes at once at most.",
    ),
    Metric(
        "gsched_pool_waiting", "gauge", ("executor",), _pools("waiting"), "Runs that wait for a worker.",
    ),
    Metric(
        "gsched_pool_full_seconds", "gauge", ("executor",), _pools("saturated"),
        "For how long runs have waited for a worker; 0 while none waits.",
    ),
    Metric(
        "gsched_hub_slice_seconds", "histogram", (), _histogram("slices"),
        "For how long the scheduler's greenlet worked before it let everybody else have a turn.",
    ),
    Metric(
        "gsched_hub_blocked_total", "counter", (), _single("blocked"),
        "How often code held gevent's event loop for longer than blocked_hub_after (the log says whose).",
    ),
    Metric(
        "gsched_store_connected", "gauge", ("store",), _stores("connected"), "Whether the job store answers: 1 or 0.",
    ),
    Metric(
        "gsched_store_operations_seconds", "histogram", ("store", "op"), _stores("operations"),
        "How long the database took to answer, by command; not counted is the change feed's waiting for news.",
    ),
    Metric(
        "gsched_store_errors_total", "counter", ("store", "op", "error"), _stores("errors"),
        "Commands that the database did not answer or refused. The op 'claim' is a turn of the claim protocol, which "
        "fails also while nothing can be sent: nothing new starts here then.",
    ),
    Metric(
        "gsched_feed_connected", "gauge", ("store",), _feed,
        "Whether changes made by other processes are heard of at once: 1, or 0 while they are polled for.",
    ),
    Metric(
        "gsched_feed_lag_seconds", "gauge", ("store",), _stores("feed_lag"),
        "How long the last change that was heard of took to get here (MongoDB 6.0 and later).",
    ),
    Metric(
        "gsched_slots_owned", "gauge", ("store",), _stores("slots"),
        "Partitions of the jobs that are this process's, of 256.",
    ),
    Metric(
        "gsched_watermark_age_seconds", "gauge", ("store",), _stores("watermark_age"),
        "How far what is claimed lies behind the time; 0 when all is well. While it grows, nothing starts here: the "
        "store does not answer, or the scheduler is paused.",
    ),
    Metric(
        "gsched_nodes", "gauge", ("store", "state"), _stores("nodes"),
        "Processes that share the store, as this one sees them: alive, draining, or dead (declared so within the last "
        "day; not those that ended by themselves).",
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
        lambda _: [((__version__, platform.python_version()), 1)], "Always 1; the labels say what runs.",
    ),
)  # fmt: skip
