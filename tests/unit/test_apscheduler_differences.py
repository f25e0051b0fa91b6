"""What a program for APScheduler 3 meets where gsched differs: an alias, or an error that names what to write."""

from __future__ import annotations

import json
from datetime import datetime

import apscheduler.executors.pool
import apscheduler.triggers.cron
import pytest
from programs import run_program

import gsched
from gsched import ConfigurationError, CronTrigger, GeventScheduler, IntervalTrigger, InvalidTriggerError


def expressions(trigger: CronTrigger) -> dict[str, str]:
    return {field.name: str(field) for field in trigger.fields}


def test_a_cron_trigger_has_the_fields_of_apscheduler():
    arguments = {"day_of_week": "mon-fri", "hour": "5,6", "minute": "*/10"}
    theirs, ours = apscheduler.triggers.cron.CronTrigger(**arguments), CronTrigger(**arguments)
    assert expressions(ours) == expressions(theirs)
    assert [field.is_default for field in ours.fields] == [field.is_default for field in theirs.fields]


def test_the_fields_of_a_crontab_line_are_as_written_there():
    assert expressions(CronTrigger.from_crontab("0 5 1-15 * mon")) == {
        "year": "*", "month": "*", "day": "1-15", "week": "*", "day_of_week": "mon", "hour": "5", "minute": "0",
        "second": "0",
    }  # fmt: skip
    assert expressions(CronTrigger.from_crontab("30 0 5 * * *", seconds=True))["second"] == "30"


def test_only_a_cron_trigger_has_fields():
    assert not hasattr(IntervalTrigger(seconds=1), "fields")


def test_a_time_without_a_zone_is_in_the_zone_of_the_trigger():
    trigger = CronTrigger(hour=9, timezone="Asia/Tokyo")
    assert str(trigger.get_next_fire_time(None, datetime(2027, 1, 1, 8))) == "2027-01-01 09:00:00+09:00"
    assert str(trigger.get_next_fire_time(datetime(2027, 1, 1, 9), datetime(2027, 1, 1, 9))).startswith("2027-01-02")
    assert trigger.get_next_fire_time(None, datetime(2027, 1, 1, 9, 0, 0, 1)).day == 2


def test_the_mappings_of_a_job_are_ordinary_dicts_whose_change_does_not_change_the_job(bench):
    job = bench.scheduler.add_job(print, "interval", hours=1, kwargs={"end": ""}, metadata={"team": "a"})
    assert json.dumps([job.kwargs, job.metadata]) == '[{"end": ""}, {"team": "a"}]'
    job.kwargs["end"] = job.metadata["team"] = "b"
    assert (job.kwargs, job.metadata) == ({"end": ""}, {"team": "a"})


def test_errors_have_apschedulers_names_too(bench):
    with pytest.raises(gsched.JobLookupError):
        bench.scheduler.remove_job("unknown")
    bench.scheduler.add_job(print, "interval", hours=1, id="a")
    with pytest.raises(gsched.ConflictingIdError):
        bench.scheduler.add_job(print, "interval", hours=1, id="a")


@pytest.mark.parametrize(
    ("name", "instead"),
    [("RedisJobStore", "SQLAlchemyJobStore"), ("GeventExecutor", "GreenletPoolExecutor"), ("DebugExecutor", "Driver")],
)
def test_a_class_that_is_not_there_is_an_import_error_that_names_another(name, instead):
    with pytest.raises(ImportError, match=f"gsched has no {name}: .*{instead}"):
        exec(f"from gsched import {name}")


def test_an_object_of_apscheduler_is_refused_with_its_type(bench):
    theirs = apscheduler.triggers.cron.CronTrigger(hour=5)
    with pytest.raises(InvalidTriggerError, match=r"of the type apscheduler\.triggers\.cron\.CronTrigger; import it"):
        bench.scheduler.add_job(print, theirs)
    with pytest.raises(ConfigurationError, match=r"type apscheduler\.executors\.pool\.ThreadPoolExecutor; import it"):
        bench.scheduler.add_executor(apscheduler.executors.pool.ThreadPoolExecutor(2), "theirs")
    with pytest.raises(ConfigurationError, match=r"ThreadPoolExecutor; import it from gsched, is not a BaseExecutor"):
        GeventScheduler(executors={"default": {"class": "apscheduler.executors.pool:ThreadPoolExecutor"}})


def test_a_type_that_is_unknown_is_refused_with_those_that_there_are(bench):
    with pytest.raises(ConfigurationError, match="'redis' is unknown; there are memory, mongodb, sql, sqlalchemy"):
        bench.scheduler.add_jobstore("redis", "second")
    with pytest.raises(ConfigurationError, match="'debug' is unknown; there are asyncio, greenlet, gevent, threadpool"):
        bench.scheduler.add_executor("debug", "second")


@pytest.mark.parametrize(
    ("setting", "remedy"),
    {"daemon": "BackgroundScheduler has it", "max_instances": r"write job_defaults=\{'max_instances': ...\}"}.items(),
)
def test_a_setting_that_belongs_elsewhere_is_refused_with_where(setting, remedy):
    with pytest.raises(ConfigurationError, match=remedy):
        GeventScheduler(**{setting: 1})


STARTED = """
    from gevent import monkey; monkey.patch_all()
    import gevent
    from gsched import GeventScheduler
    scheduler = GeventScheduler()
    scheduler.add_job(print, args=["ran"])
    scheduler.start()
"""


def test_a_program_whose_last_line_is_start_learns_why_nothing_ran():
    later = STARTED.replace("add_job(print,", "add_job(print, 'interval', hours=1,")  # 3.13 turns the loop at exit
    out, error, status = run_program(later)
    assert (out, status) == ("", 0)
    assert "no job had run: start() returns at once; to run until shutdown(), call run_forever()" in error


@pytest.mark.parametrize("end", ["gevent.sleep(0.1)", "scheduler.shutdown()"])
def test_a_program_that_has_run_a_job_or_shuts_down_ends_in_silence(end):
    assert run_program(f"{STARTED}    {end}\n")[1] == ""


def test_wakeup_looks_for_due_jobs(bench):
    bench.scheduler.wakeup()
    assert bench.scheduler.running
