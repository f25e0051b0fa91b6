"""The program of a well-known article about APScheduler, and the examples of its documentation, with our imports."""

from __future__ import annotations

import datetime as dt
from datetime import datetime

from gsched import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    CronTrigger,
    GeventScheduler,
    MemoryJobStore,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from gsched.testing import Driver, ManualClock


def job_function():
    pass


def my_job(text):
    print(text)


def test_the_articles_program_works(capsys):
    clock = ManualClock("2026-03-02 12:00")
    scheduler = GeventScheduler(clock=clock, timezone="UTC")

    def job_func(job_id):
        print("job %s is runed at %s" % (job_id, dt.datetime.now().strftime("%Y-%m-%d %H:%M:%S")))  # noqa: UP031

    def job_exception_listener(event):
        print("The job crashed :(" if event.exception else "The job worked :)")

    scheduler.add_job(job_func, trigger='interval', args=[1], id='1', name='a test job', max_instances=10, jobstore='default', executor='default', seconds=10)  # fmt: skip  # noqa: E501
    scheduler.add_listener(job_exception_listener, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    scheduler.start()

    with Driver(scheduler, clock) as driver:
        driver.advance(seconds=20)
        out = capsys.readouterr().out.splitlines()
        assert len(out) == 4
        assert [line[:17] for line in out] == ["job 1 is runed at", "The job worked :)"] * 2


def test_a_crash_is_heard_of(bench, capsys):
    def job_exception_listener(event):
        print("The job crashed :(" if event.exception else "The job worked :)")

    bench.scheduler.add_listener(job_exception_listener, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
    bench.every(10, lambda: 1 / 0)
    bench.advance(10)
    assert capsys.readouterr().out == "The job crashed :(\n"


def test_the_examples_of_the_documentation_work(unstarted):
    sched = scheduler = unstarted.scheduler
    sched.add_job(job_function, 'interval', hours=2, start_date='2010-10-10 09:30:00', end_date='2014-06-15 11:00:00')  # fmt: skip  # noqa: E501
    sched.add_job(my_job, 'date', run_date=datetime(2009, 11, 6, 16, 30, 5), args=['text'])  # fmt: skip
    sched.add_job(job_function, 'cron', day_of_week='mon-fri', hour=5, minute=30, end_date='2014-05-30')  # fmt: skip
    sched.add_job(job_function, CronTrigger.from_crontab('0 0 1-15 may-aug *'))  # fmt: skip
    job = sched.add_job(job_function, "interval", minutes=2, id="my_job_id")
    job.modify(max_instances=6, name='Alternate name')  # fmt: skip
    scheduler.reschedule_job('my_job_id', trigger='cron', minute='*/5')  # fmt: skip
    unstarted.start()

    job = scheduler.get_job("my_job_id")
    assert (job.name, job.max_instances, job.next_run_time.minute % 5) == ("Alternate name", 6, 0)
    assert len(scheduler.get_jobs()) == 2  # the others are over: they ended in 2014, or ran just now
    assert [event.reason for event in unstarted.events("job.removed")] == ["trigger_ended"] * 3

    job.pause()
    job.resume()
    job.remove()
    assert scheduler.get_job("my_job_id") is None


def test_the_configuration_of_the_documentation_works():
    executors = {'default': ThreadPoolExecutor(20), 'processpool': ProcessPoolExecutor(5)}  # fmt: skip
    job_defaults = {"coalesce": False, "max_instances": 3}
    scheduler = GeventScheduler(
        jobstores={"default": MemoryJobStore()}, executors=executors, job_defaults=job_defaults, timezone="UTC"
    )
    job = scheduler.add_job(my_job, "interval", minutes=2, args=["text"], executor="processpool")
    assert (job.coalesce, job.max_instances, job.executor) == (False, 3, "processpool")


def test_a_decorated_function_is_scheduled(bench):
    @bench.scheduler.scheduled_job("cron", id="my_job_id", day="last sun")
    def some_decorated_task():
        print("I am printed at 00:00:00 on the last Sunday of every month!")

    assert str(bench.scheduler.get_job("my_job_id").next_run_time) == "2026-03-29 00:00:00+00:00"
