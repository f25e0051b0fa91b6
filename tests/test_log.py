"""The log: events as structured lines, in structlog or in the standard library."""

from __future__ import annotations

import logging

import pytest
import structlog
from programs import run_program
from structlog.contextvars import merge_contextvars
from structlog.testing import LogCapture

from gsched import EVENT_JOB_EXECUTED, GreenletPoolExecutor, current_run


@pytest.fixture
def lines():
    """What structlog, configured, has written."""
    capture = LogCapture()
    structlog.configure(processors=[merge_contextvars, capture])
    return capture.entries


def named(lines, name):
    return [line for line in lines if line["event"] == name]


def fail():
    raise ValueError("no")


# -- structlog ------------------------------------------------------------------------------------------------------


def test_a_failure_is_an_error_with_everything_one_needs(lines, make_bench):
    bench = make_bench(name="billing").start()
    bench.add(fail, "date", run_date="2026-03-02 12:00:05", id="bad", name="Bad job", tags=["t"])
    bench.advance(5)
    (line,) = named(lines, "run.failed")
    assert line["log_level"] == "error"
    assert line.pop("traceback").startswith("Traceback")
    assert {key: line[key] for key in line if key not in ("log_level", "event")} == {
        "scheduler": "billing",
        "job_id": "bad",
        "job_name": "Bad job",
        "tags": ["t"],
        "run_id": "bad@2026-03-02T12:00:05.000Z",
        "attempt": 1,
        "scheduled_at": "2026-03-02T12:00:05.000+00:00",
        "duration": 0.0,
        "lateness": 0.0,
        "error_type": "ValueError",
        "error_message": "no",
    }


def test_every_event_can_be_written(lines, make_bench):
    bench = make_bench(run_events="all", executors={"default": GreenletPoolExecutor(2, max_waiting=1)}).start()

    def bad_listener(event):
        raise ValueError("listener")

    bench.scheduler.add_listener(bad_listener, EVENT_JOB_EXECUTED)
    bench.every(10, id="good")
    bench.every(10, fail, id="bad")
    bench.every(10, bench.wait, id="slow", timeout=3)
    bench.every(10, id="crowded")
    bench.advance(70)
    bench.driver.jump(-5)
    bench.scheduler.pause()
    bench.scheduler.resume()
    bench.scheduler.add_executor("greenlet", "more")
    bench.scheduler.get_job("good").modify(name="better").pause().resume().remove()
    bench.scheduler.remove_all_jobs()
    bench.settle()
    heard = {event.name for event in bench.driver.events}
    assert heard >= {"listener.failed", "run.timed_out", "run.interrupted", "clock.skewed", "runs.summary"}
    assert heard == {line["event"] for line in lines}
    assert all(line["scheduler"] == "gsched" for line in lines)


def test_a_failing_listener_is_named(lines, bench):
    def bad_listener(event):
        raise ValueError("listener")

    bench.scheduler.add_listener(bad_listener, EVENT_JOB_EXECUTED)
    bench.every(10)
    bench.advance(10)
    (line,) = named(lines, "listener.failed")
    assert (line["event_name"], line["error_message"], line["log_level"]) == ("run.succeeded", "listener", "error")
    assert "bad_listener" in line["listener"]


@pytest.mark.parametrize(
    ("run_events", "written"),
    [
        ("all", {"run.submitted", "run.started", "run.succeeded", "run.failed", "run.skipped", "run.coalesced"}),
        ("failures", {"run.failed", "run.skipped"}),
        ("none", set()),
    ],
)
def test_which_runs_are_written_is_a_setting(lines, make_bench, run_events, written):
    bench = make_bench(run_events=run_events).start()
    bench.every(10, id="good")
    bench.every(10, fail, id="bad")
    bench.every(10, bench.wait, id="slow")
    bench.advance(20)
    bench.driver.jump(20)
    assert {line["event"] for line in lines if line["event"].startswith("run.")} == written
    assert named(lines, "job.added")


def test_repeated_warnings_about_a_job_are_written_once_a_minute_with_their_number(lines, bench):
    bench.every(1, bench.wait, id="slow")
    bench.every(1, bench.wait, id="other")
    bench.advance(130)
    skips = [line for line in named(lines, "run.skipped") if line["job_id"] == "slow"]
    assert [(line["scheduled_at"][14:19], line.get("suppressed")) for line in skips] == [
        ("00:02", None), ("01:02", 59), ("02:02", 59),
    ]  # fmt: skip
    assert len(named(lines, "run.skipped")) == 6


def test_failures_are_never_left_out(lines, bench):
    bench.every(1, fail)
    bench.advance(30)
    assert len(named(lines, "run.failed")) == 30


def test_a_jobs_own_lines_carry_its_run(lines, bench):
    def work():
        structlog.get_logger().info("working", step=1)

    bench.every(10, work, id="job")
    bench.advance(10)
    structlog.get_logger().info("outside")
    assert named(lines, "working") == [
        {"event": "working", "step": 1, "log_level": "info", "job_id": "job",
         "run_id": "job@2026-03-02T12:00:10.000Z", "attempt": 1}
    ]  # fmt: skip
    assert named(lines, "outside") == [{"event": "outside", "log_level": "info"}]


def test_the_runs_logger_carries_it_without_any_configuration_of_context(bench):
    capture = LogCapture()
    structlog.configure(processors=[capture])
    bench.every(10, lambda: current_run().log.warning("low", left=3), id="job")
    bench.advance(10)
    (line,) = named(capture.entries, "low")
    assert (line["job_id"], line["run_id"], line["left"]) == ("job", "job@2026-03-02T12:00:10.000Z", 3)


def test_context_does_not_leak_from_one_run_into_the_next(lines, bench):
    def leak(name):
        structlog.contextvars.bind_contextvars(**{name: True})
        structlog.get_logger().info("leak")

    bench.every(10, leak, args=["a"])
    bench.every(10, leak, args=["b"])
    bench.advance(10)
    assert [("a" in line, "b" in line) for line in named(lines, "leak")] == [(True, False), (False, True)]


# -- the standard library -------------------------------------------------------------------------------------------


def test_without_structlog_configured_lines_go_to_the_logger_gsched(bench, caplog):
    assert not structlog.is_configured()
    with caplog.at_level(logging.INFO, "gsched"):
        bench.add(fail, id="bad")
        bench.settle()
    added, failed, removed = (record for record in caplog.records if record.getMessage()[:4] in ("job.", "run."))
    assert removed.gsched["reason"] == "trigger_ended"
    assert (added.name, added.levelno) == ("gsched", logging.INFO)
    assert added.getMessage().startswith("job.added scheduler='gsched' job_id='bad' ")
    assert failed.levelno == logging.ERROR
    assert "error_message='no'" in failed.getMessage() and "ValueError: no" in failed.getMessage()
    assert failed.gsched["job_id"] == "bad"


@pytest.mark.parametrize("configures_structlog", [False, True])
def test_a_failure_is_seen_once_with_the_remedy_though_logging_config_has_disabled_the_logger(configures_structlog):
    program = """
        import gevent, logging.config
        import structlog
        from gsched import GeventScheduler
        if CONFIGURES:
            structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
        scheduler = GeventScheduler()
        scheduler.start()
        scheduler.add_job(lambda: None)
        gevent.sleep(0.1)
        logging.config.dictConfig({"version": 1})
        for name in ("divide", "again"):
            scheduler.add_job(lambda: 1 / 0, id=name)
        gevent.sleep(0.1)
        scheduler.shutdown()
    """
    _, error, code = run_program(program.replace("CONFIGURES", str(configures_structlog)))
    assert code == 0
    seen = [error.count(f"run.failed scheduler='gsched' job_id='{name}'") for name in ("divide", "again")]
    assert (seen, error.count("disable_existing_loggers=False")) == ([1, 1], 1)


def test_a_logger_that_is_disabled_hides_nothing_that_structlog_writes_elsewhere(lines, bench):
    logging.getLogger("gsched").disabled = True
    try:
        bench.add(fail, id="bad")
        bench.settle()
    finally:
        logging.getLogger("gsched").disabled = False
    assert any(line["event"] == "run.failed" for line in lines)


def test_lines_below_the_loggers_level_are_not_made(bench, caplog):
    with caplog.at_level(logging.ERROR, "gsched"):
        bench.every(10, bench.wait)
        bench.advance(30)
    assert [record for record in caplog.records if record.levelno < logging.ERROR and "run." in record.msg] == []


def test_the_library_configures_no_logging():
    assert logging.getLogger("gsched").handlers == []
    assert logging.getLogger("gsched").level == logging.NOTSET


def test_a_job_that_fails_is_seen_where_nobody_has_configured_logging():
    program = """
        import gevent
        from gsched import GeventScheduler
        scheduler = GeventScheduler()
        scheduler.add_job(lambda: 1 / 0, id="divide")
        scheduler.start()
        gevent.sleep(0.1)
        scheduler.shutdown()
    """
    _, error, code = run_program(program)
    assert code == 0
    assert "run.failed" in error and "job_id='divide'" in error and "ZeroDivisionError: division by zero" in error
