"""The log: events as structured lines, in structlog or in the standard library."""

from __future__ import annotations

import logging
import time

import pytest
import structlog
from programs import run_program
from structlog.contextvars import merge_contextvars
from structlog.testing import LogCapture

from gsched import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, GreenletPoolExecutor, MemoryJobStore, current_run
from gsched.errors import CommandFailedError, RemoteTraceback
from gsched.events import JobExecutionEvent
from gsched.events.repetition import MOST_KINDS, WINDOW_SECONDS, Repetitions
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Result
from gsched.jobs.run import Run
from gsched.triggers import DateTrigger


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


def nothing():
    pass


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
    assert heard == {line["event"] for line in lines} - {"hub.at_rest"}  # a warning without an event
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
def test_a_setting_decides_which_runs_are_logged(lines, make_bench, run_events, written):
    bench = make_bench(run_events=run_events).start()
    bench.every(10, id="good")
    bench.every(10, fail, id="bad")
    bench.every(10, bench.wait, id="slow")
    bench.advance(20)
    bench.driver.jump(20)
    assert {line["event"] for line in lines if line["event"].startswith("run.")} == written
    assert named(lines, "job.added")


# -- what repeats ---------------------------------------------------------------------------------------------------


def seconds_of(lines):
    """The second after 12:00 at which each full line's run was due."""
    full = [line["scheduled_at"] for line in lines if "suppressed" not in line]
    return [int(at[14:16]) * 60 + int(at[17:19]) for at in full]


def counts(lines):
    return [line for line in lines if "suppressed" in line]


def fail_elsewhere():
    raise ValueError("no")


def test_a_failure_that_repeats_is_written_in_full_once_a_minute_and_counted_in_one_line_a_minute(lines, bench):
    bench.every(10, fail, id="bad", name="Bad job", tags=["t"])
    bench.advance(140)
    failed = named(lines, "run.failed")
    assert seconds_of(failed) == [10, 70, 130]
    assert [line["suppressed"] for line in counts(failed)] == [5, 5]
    assert counts(failed)[0] == {
        "event": "run.failed", "log_level": "error", "scheduler": "gsched", "suppressed": 5, "job_id": "bad",
        "job_name": "Bad job", "tags": ["t"], "error_type": "ValueError", "error_message": "no",
    }  # fmt: skip


def test_another_error_of_the_same_job_is_written_in_full(lines, bench):
    errors = [fail, fail, fail_elsewhere, lambda: 1 / 0, lambda: {}["key"], fail]

    def work():
        errors.pop(0)()

    bench.every(5, work, id="bad")
    bench.advance(30)
    assert seconds_of(named(lines, "run.failed")) == [5, 15, 20, 25]


def test_a_job_that_fails_less_often_than_once_a_minute_is_always_written_in_full(lines, bench):
    bench.every(60, fail)
    bench.advance(600)
    assert len(seconds_of(named(lines, "run.failed"))) == 10
    assert not counts(named(lines, "run.failed"))


def test_a_failure_every_minute_is_written_in_full_though_it_comes_a_little_early():
    def failed():
        run = Run(job, 0, owner=None)
        return JobExecutionEvent(EVENT_JOB_ERROR, run, Result(Outcome.FAILED, error=ValueError("no")))

    job, repetitions = Job("job", fail, DateTrigger("2030-01-01", timezone="UTC")), Repetitions()
    assert [repetitions.is_new(failed(), at) for at in (0.030, 60.017, 120.005)] == [True, True, True]


def test_many_jobs_that_fail_alike_are_counted_together_by_error_and_tag(lines, bench):
    first = {"start_date": "2026-03-02 12:01:30"}  # when the count of the jobs that were added has been written
    for number in range(100):
        bench.every(30, fail, id=f"eu{number}", tags=["eu", f"host-{number}"], **first)
        bench.every(30, fail_elsewhere, id=f"us{number}", tags=["us"], **first)
    bench.advance(151)
    failed = named(lines, "run.failed")
    assert len(seconds_of(failed)) == 2 * (5 + 5)
    assert [(line["tags"], line["suppressed"], line["jobs"]) for line in counts(failed)] == [
        (["eu"], 195, 100), (["us"], 195, 100),
    ]  # fmt: skip
    assert counts(failed)[0]["latest_job_id"].startswith("eu")
    assert "job_id" not in counts(failed)[0]


def test_the_count_comes_though_nothing_fails_any_more(lines, bench):
    bench.every(1, fail, id="bad", end_date="2026-03-02 12:00:03")
    bench.advance(30)
    assert not counts(named(lines, "run.failed"))
    bench.advance(32)
    assert [line["suppressed"] for line in counts(named(lines, "run.failed"))] == [2]


def test_counts_are_written_before_the_scheduler_stops_and_before_the_setting_changes(lines, bench):
    bench.every(1, fail, id="bad")
    bench.advance(3)
    bench.scheduler._engine.log_runs()
    assert [line["suppressed"] for line in counts(lines)] == [2]
    bench.advance(3)
    bench.close()
    assert [line["suppressed"] for line in counts(lines)] == [2, 2]
    assert [line["event"] for line in lines][-2:] == ["run.failed", "scheduler.stopped"]


def test_with_all_runs_every_failure_and_every_skip_has_its_line(lines, make_bench):
    bench = make_bench(run_events="all").start()
    bench.every(1, fail)
    bench.every(1, bench.wait)
    bench.advance(30)
    assert seconds_of(named(lines, "run.failed")) == list(range(1, 31))
    assert seconds_of(named(lines, "run.skipped")) == list(range(2, 31))


def test_warnings_about_runs_are_counted_by_their_reason(lines, bench):
    bench.every(1, bench.wait, id="slow")
    bench.every(1, bench.wait, id="other")
    bench.advance(122)
    skips = named(lines, "run.skipped")
    assert seconds_of(skips) == [2, 2, 61, 61, 120, 120]
    assert [(line["reason"], line["suppressed"], line["jobs"]) for line in counts(skips)] == [
        ("max_instances", 118, 2),
    ]  # fmt: skip


def test_a_listener_that_always_raises_does_not_flood_the_log(lines, bench):
    bench.scheduler.add_listener(lambda event: 1 / 0, EVENT_JOB_EXECUTED)
    bench.every(1)
    bench.advance(65)
    failed = named(lines, "listener.failed")
    assert len([line for line in failed if "suppressed" not in line]) == 2
    assert [line["suppressed"] for line in counts(failed)] == [59]


def test_a_store_that_always_raises_does_not_flood_the_log(lines, make_bench):
    class Broken(MemoryJobStore):
        def settle(self, run, result):
            raise OSError("disk full")

    bench = make_bench(jobstores={"default": Broken()}).start()
    bench.every(1)
    bench.advance(65)
    failed = named(lines, "store.failed")
    assert len([line for line in failed if "suppressed" not in line]) == 2
    assert (counts(failed)[0]["alias"], counts(failed)[0]["error_message"]) == ("default", "disk full")


def test_commands_fail_alike_if_their_exit_status_is_the_same():
    def failed(status):
        run = Run(job, 0, owner=None)
        error = CommandFailedError(status, [f"at {time.monotonic_ns()}"])
        return JobExecutionEvent(EVENT_JOB_ERROR, run, Result(Outcome.FAILED, error=error))

    job, repetitions = Job("job", fail, DateTrigger("2030-01-01", timezone="UTC")), Repetitions()
    assert [repetitions.is_new(failed(status), 0.0) for status in (1, 1, 2, 1)] == [True, False, True, False]


def test_failures_of_worker_processes_are_told_apart_by_the_place_that_raised():
    def failed(line):
        error = ValueError("no")
        error.__cause__ = RemoteTraceback(f'File "/app/a.py", line 7, in work\n File "/app/b.py", line {line}, in f')
        return JobExecutionEvent(EVENT_JOB_ERROR, Run(job, 0, owner=None), Result(Outcome.FAILED, error=error))

    job, repetitions = Job("job", fail, DateTrigger("2030-01-01", timezone="UTC")), Repetitions()
    assert [repetitions.is_new(failed(line), 0.0) for line in (1, 1, 2)] == [True, False, True]


def test_repetitions_forget_kinds_and_stay_bounded():
    def failed(number):
        error = type(f"Error{number}", (Exception,), {})()
        return JobExecutionEvent(EVENT_JOB_ERROR, Run(job, 0, owner=None), Result(Outcome.FAILED, error=error))

    job, repetitions = Job("job", fail, DateTrigger("2030-01-01", timezone="UTC")), Repetitions()
    written = [repetitions.is_new(failed(number), 0.0) for number in range(MOST_KINDS + 10)]
    assert written.count(False) == 9
    (other,) = repetitions.take(1.0)
    assert (other.count, len(repetitions._kinds)) == (9, MOST_KINDS + 1)
    assert repetitions.is_new(failed(MOST_KINDS + 20), WINDOW_SECONDS)
    assert len(repetitions._kinds) == 1


# -- inside a run ---------------------------------------------------------------------------------------------------


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
    assert removed.getMessage().endswith(" reason='trigger_ended'")
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


def test_of_many_jobs_that_are_added_together_five_have_a_line_and_the_rest_is_counted(lines, make_bench):
    bench = make_bench().start()
    bench.scheduler.add_jobs({"func": nothing, "trigger": "interval", "hours": 1, "tags": ["t"]} for _ in range(1000))
    bench.advance(WINDOW_SECONDS)
    *written, counted = named(lines, "job.added")
    assert len(written) == 5 and (counted["suppressed"], counted["jobs"], counted["tags"]) == (995, 995, ["t"])
