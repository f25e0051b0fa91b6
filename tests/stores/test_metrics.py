"""Metrics: what a scrape says, by name and label."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import run_program
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from store_bench import StoreBench

from gsched import ConfigurationError, GreenletPoolExecutor, MemoryJobStore
from gsched.jobs.outcomes import Outcome, Span
from gsched.metrics import METRICS, collector
from gsched.monitoring.counters import MOST_REASONS, MOST_TAGS, OTHER
from gsched.monitoring.histogram import Histogram
from gsched.monitoring.store_report import StoreReport

pytest_plugins = ["mongodb"]

ROOT = Path(__file__).parents[2]
PROMISED = """
    gsched_jobs gsched_runs_total gsched_run_duration_seconds gsched_run_lateness_seconds gsched_runs_skipped_total
    gsched_runs_in_progress gsched_pool_size gsched_pool_waiting gsched_pool_full_seconds
    gsched_hub_slice_seconds gsched_hub_blocked_total gsched_loop_share
    gsched_store_operations_seconds gsched_store_errors_total gsched_feed_connected gsched_feed_lag_seconds
    gsched_slots_owned gsched_watermark_age_seconds gsched_nodes gsched_events_dropped_total
    gsched_listener_errors_total gsched_build_info
"""


class Scrape:
    """What a scrape of the scheduler says."""

    def __init__(self, scheduler):
        text = generate_latest(collector(scheduler)).decode()
        self.families = list(text_string_to_metric_families(text))
        self.samples = {
            (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name, **labels):
        return self.samples.get((name, *(f"{key}={value}" for key, value in sorted(labels.items()))))

    def of(self, name):
        return {sample: value for sample, value in self.samples.items() if sample[0] == name}


def test_everything_that_is_promised_is_there():
    assert set(PROMISED.split()) <= {metric.name for metric in METRICS}


def test_names_are_prometheus_names():
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.kind != "histogram" or metric.name.endswith("_seconds"), metric.name


def test_runs_count_by_the_first_tag_of_their_job_and_by_outcome(bench):
    def fail():
        raise ValueError

    bench.every(10, id="a", tags=["prices", "slow"])
    bench.every(10, fail, id="b", tags=["prices"])
    bench.every(5, id="c")
    bench.advance(10)
    scrape = Scrape(bench.scheduler)
    assert scrape("gsched_runs_total", tag="prices", outcome="succeeded") == 1
    assert scrape("gsched_runs_total", tag="prices", outcome="failed") == 1
    assert scrape("gsched_runs_total", tag="", outcome="succeeded") == 2
    assert scrape("gsched_runs_total", tag="", outcome="failed") == 0
    assert scrape("gsched_runs_total", tag="slow", outcome="succeeded") is None


@pytest.fixture
def store_bench(any_store, monkeypatch):
    made = StoreBench(any_store, monkeypatch)
    yield made.start()
    made.close()


def test_attempts_that_are_retried_count_by_tag_in_every_store_and_each_run_counts_once(store_bench):
    daily = {"trigger": "interval", "days": 3, "next_run_time": "now"}
    store_bench.add("a", acts="FFS", tags=["poll"], retries=3, retry_delay=0.5, **daily)
    store_bench.add("b", acts="FFF", tags=["poll"], retries=2, retry_delay=0.5, **daily)
    store_bench.add("c", acts="F", tags=["once"], **daily)
    store_bench.add("d", acts="FFFF", retries=3, retry_delay=[0.5, 86_400], **daily)
    store_bench.until(lambda: len(store_bench.named("run.failed")) == 2)
    store_bench.until(lambda: store_bench.named("run.succeeded"))
    scrape = Scrape(store_bench.scheduler)
    retries = {tag: scrape("gsched_run_retries_total", tag=tag) for tag in ("poll", "once", "")}
    assert retries == {"poll": 4, "once": 0, "": 2}
    ended = {
        (tag, outcome): scrape("gsched_runs_total", tag=tag, outcome=outcome)
        for tag in retries
        for outcome in ("succeeded", "failed", "retried")
    }
    assert {each: count for each, count in ended.items() if count} == {
        ("poll", "succeeded"): 1, ("poll", "failed"): 1, ("once", "failed"): 1,
    }  # fmt: skip
    assert ended["poll", "retried"] is None


def test_no_label_names_a_job(bench):
    bench.every(1, id="telltale", name="telltale", executor="default")
    bench.every(1, bench.wait, id="telltale-2", misfire_grace_time=1)
    bench.advance(5)
    assert "telltale" not in generate_latest(collector(bench.scheduler)).decode()


def test_skipped_runs_count_by_reason(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1, max_waiting=0)})
    bench.start()
    bench.every(10, bench.wait, id="first", tags=["t"])
    bench.every(10, bench.wait, id="second")
    bench.advance(20)
    scrape = Scrape(bench.scheduler)
    assert scrape("gsched_runs_skipped_total", tag="t", reason="max_instances") == 1
    assert scrape("gsched_runs_skipped_total", tag="", reason="pool_full") == 2
    assert scrape("gsched_runs_total", tag="", outcome="skipped") == 2


def test_a_span_of_instants_without_a_run_counts_once(bench):
    bench.scheduler.pause()
    bench.every(1, misfire_grace_time=1)
    bench.clock.skip(100_000)
    bench.scheduler.resume()
    bench.settle()
    assert Scrape(bench.scheduler)("gsched_runs_total", tag="", outcome="missed") == 1


def test_histograms_are_in_seconds_and_cumulative(bench):
    bench.every(10, bench.wait)
    bench.advance(10)
    bench.clock.skip(20)
    bench.open_gate()
    scrape = Scrape(bench.scheduler)
    assert scrape("gsched_run_duration_seconds_bucket", le="0.01") == 0
    assert scrape("gsched_run_duration_seconds_bucket", le="0.02") == 1
    assert scrape("gsched_run_duration_seconds_bucket", le="+Inf") == 1
    assert scrape("gsched_run_duration_seconds_count") == 1
    assert scrape("gsched_run_duration_seconds_sum") == pytest.approx(0.02)
    assert scrape("gsched_run_lateness_seconds_bucket", le="0.001") == 1


def test_the_hubs_slices_are_measured(bench):
    before = Scrape(bench.scheduler)("gsched_hub_slice_seconds_count")
    bench.every(1)
    bench.advance(10)
    assert Scrape(bench.scheduler)("gsched_hub_slice_seconds_count") >= before + 10


def test_pools_and_jobs_as_they_are_now(make_bench):
    bench = make_bench(executors={"default": GreenletPoolExecutor(1), "gone": GreenletPoolExecutor(1)})
    bench.start()
    bench.every(1, bench.wait, max_instances=2, id="slow")
    bench.every(1, bench.wait, id="other")
    bench.every(1, executor="gone", id="parked")
    bench.scheduler.remove_executor("gone")
    bench.advance(2)
    scrape = Scrape(bench.scheduler)
    assert scrape("gsched_pool_size", executor="default") == 1
    assert scrape("gsched_runs_in_progress", executor="default") == 1
    assert scrape("gsched_pool_waiting", executor="default") == 2
    assert scrape("gsched_pool_full_seconds", executor="default") == 1
    assert scrape("gsched_jobs", state="parked") == 1
    assert scrape("gsched_jobs", state="scheduled") + scrape("gsched_jobs", state="waiting") == 2


def test_events_that_were_dropped_and_listeners_that_raised_are_counted(bench):
    def listener(event):
        raise ValueError

    bench.scheduler.add_listener(listener)
    bench.every(1)
    bench.advance(2)
    assert Scrape(bench.scheduler)("gsched_listener_errors_total") > 0
    assert Scrape(bench.scheduler)("gsched_events_dropped_total") == 0


def test_code_that_blocks_the_hub_is_counted():
    out, error, code = run_program("""
        import time, gevent
        from gsched import GeventScheduler, EVENT_HUB_BLOCKED
        from gsched.metrics import collector
        from prometheus_client import generate_latest
        scheduler = GeventScheduler(blocked_hub_after=0.05)
        noticed = gevent.event.Event()
        scheduler.add_listener(lambda event: noticed.set(), EVENT_HUB_BLOCKED)
        scheduler.start()
        scheduler.add_job(time.sleep, args=[0.3])
        noticed.wait(10)
        print(*(l for l in generate_latest(collector(scheduler)).decode().split("\\n") if l.startswith("gsched_hub_b")))
    """)
    assert (out, code) == ("gsched_hub_blocked_total 1.0\n", 0), error


def test_a_scheduler_that_does_not_run_can_be_scraped(unstarted):
    scrape = Scrape(unstarted.scheduler)
    assert scrape.of("gsched_runs_total") == {}
    assert scrape.of("gsched_build_info")


def test_a_registry_takes_one_scheduler_only(bench):
    registry = CollectorRegistry()
    registry.register(collector(bench.scheduler))
    with pytest.raises(ValueError, match="gsched_jobs"):
        registry.register(collector(bench.scheduler))


def test_without_prometheus_client_it_says_what_to_install(unstarted, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gsched\[metrics\]'"):
        collector(unstarted.scheduler)


# -- bounds ----------------------------------------------------------------------------------------------------------


def test_tags_beyond_the_hundredth_count_as_other(bench):
    for number in range(MOST_TAGS + 20):
        bench.every(1, tags=[f"tag-{number}"])
    bench.advance(2)
    scrape = Scrape(bench.scheduler)
    assert len(scrape.of("gsched_runs_total")) == 8 * (MOST_TAGS + 1)
    assert scrape("gsched_runs_total", tag=OTHER, outcome="succeeded") == 2 * 20
    assert sum(scrape.of("gsched_runs_total").values()) == 2 * (MOST_TAGS + 20)


def test_reasons_beyond_the_twentieth_count_as_other(bench):
    job = bench.scheduler.stores["default"].get(bench.every(3600).id)
    for number in range(MOST_REASONS + 5):
        bench.scheduler._engine.hub.counters.count_span(job, Span(Outcome.SKIPPED, 0, 1, f"reason-{number}"))
    scrape = Scrape(bench.scheduler)
    assert len(scrape.of("gsched_runs_skipped_total")) == MOST_REASONS + 1
    assert scrape("gsched_runs_skipped_total", tag="", reason=OTHER) == 5


# -- stores ----------------------------------------------------------------------------------------------------------


class ReportingStore(MemoryJobStore):
    def report(self):
        took = Histogram((1, 1000))
        took.count(500)
        return StoreReport(
            connected=False, feed="polling", feed_lag=0.25, slots=128, watermark_age=1.5, nodes={"alive": 2, "dead": 1},
            operations={"update": took}, errors={("find", "NetworkTimeout"): 3},
        )  # fmt: skip


def test_a_stores_report_is_scraped(make_bench):
    bench = make_bench(jobstores={"default": ReportingStore()})
    scrape = Scrape(bench.start().scheduler)
    said = {
        "gsched_store_connected": 0, "gsched_feed_connected": 0, "gsched_feed_lag_seconds": 0.25,
        "gsched_slots_owned": 128, "gsched_watermark_age_seconds": 1.5,
    }  # fmt: skip
    assert {name: scrape(name, store="default") for name in said} == said
    assert scrape("gsched_nodes", store="default", state="alive") == 2
    assert scrape("gsched_store_operations_seconds_sum", store="default", op="update") == 0.5
    assert scrape("gsched_store_errors_total", store="default", op="find", error="NetworkTimeout") == 3


def test_a_memory_store_has_nothing_that_is_a_clusters(bench):
    scrape = Scrape(bench.scheduler)
    assert scrape("gsched_store_connected", store="default") == 1
    for name in ("gsched_feed_connected", "gsched_slots_owned", "gsched_nodes", "gsched_watermark_age_seconds"):
        assert scrape.of(name) == {}


def test_a_scheduler_on_mongodb_is_scraped_over_http(uri, database):
    program = f"""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from urllib.request import urlopen
        from prometheus_client.parser import text_string_to_metric_families
        from gsched import GeventScheduler, MongoDBJobStore
        from gsched.web.probe import serve_probe

        SLOTS = "gsched_slots_owned", "default"
        store = MongoDBJobStore({uri!r}, database={database.name!r}, modules=["time"])
        scheduler = GeventScheduler(jobstores={{"default": store}})
        scheduler.start()
        scheduler.add_job("time:time", "interval", seconds=0.1, id="job", tags=["clocks"])
        probe = serve_probe("0", scheduler, draining=lambda: False)

        def scraped():
            text = urlopen(f"http://{{probe.address}}/metrics").read().decode()
            return {{
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in text_string_to_metric_families(text) for sample in family.samples
            }}

        with gevent.Timeout(20):
            seen = {{}}
            while not seen.get(("gsched_runs_total", "clocks", "succeeded")) or seen[SLOTS] < 256:
                gevent.sleep(0.05)
                seen = scraped()
        print(seen["gsched_store_connected", "default"], seen["gsched_feed_connected", "default"] in (0, 1))
        print(seen["gsched_nodes", "alive", "default"])
        print(seen["gsched_store_operations_seconds_count", "default", "update"] > 0)
        print(("process_resident_memory_bytes",) in seen)
        scheduler.shutdown()
        print(("gsched_runs_total", "clocks", "succeeded") in scraped())
        probe.stop()
    """
    out, error, code = run_program(program)
    assert (error, code) == ("", 0)
    assert out.splitlines() == ["1.0 True", "1.0", "True", "True", "False"]
