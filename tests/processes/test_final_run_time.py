"""A job whose trigger ends: when it is due for the last time, where people look."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from command_line import gsched, in_process

from gsched import AndTrigger, CronTrigger, DateTrigger, GeventScheduler, IntervalTrigger, OrTrigger
from gsched.shapes.jobs import final_run_time
from gsched.testing import ManualClock
from gsched.times.instants import to_ms

pytest_plugins = ["mongodb"]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trigger", "final"),
    [
        (CronTrigger(hour=9, end_date="2026-12-31"), "2026-12-30 09:00"),  # its first instant ends it
        (CronTrigger(hour=9, end_date="2026-12-31 23:59:59"), "2026-12-31 09:00"),
        (CronTrigger(hour=0, end_date="2026-12-31"), "2026-12-31 00:00"),
        (CronTrigger(year=2027, month=2), "2027-02-01 00:00"),
        (IntervalTrigger(hours=7, end_date="2026-03-02"), "2026-03-01 21:00"),
        (DateTrigger("2026-06-01"), "2026-06-01 00:00"),
        (OrTrigger([DateTrigger("2026-06-01"), DateTrigger("2026-07-01")]), "2026-07-01 00:00"),
        (AndTrigger([CronTrigger(hour=9), CronTrigger(minute=0, end_date="2026-12-31")]), "2026-12-30 09:00"),
        (CronTrigger(hour=9), None),
        (IntervalTrigger(weeks=1), None),
        (OrTrigger([CronTrigger(hour=9), DateTrigger("2026-06-01")]), None),
    ],
    ids=str,
)
def test_the_last_instant_of_a_trigger_that_ends(trigger, final):
    scheduler = GeventScheduler(timezone="UTC", clock=ManualClock(NOW))
    found = final_run_time(scheduler.add_job(print, trigger).definition, to_ms(NOW))
    assert (None if found is None else found.strftime("%Y-%m-%d %H:%M")) == final


def test_check_and_job_show_say_it(tmp_path, address):
    (tmp_path / "a.toml").write_text(
        '[[job]]\nid = "a"\ncommand = "true"\ntrigger = {type = "cron", hour = 9, end_date = 2999-12-31}\n'
        '[[job]]\nid = "b"\ncommand = "true"\ntrigger = "@daily"\n'
    )
    done = gsched("check", "--memory", "-c", "a.toml", "-o", "jsonl", directory=tmp_path)
    assert "gsched: job 'a' is due for the last time at 2999-12-30T09:00:00+00:00\n" in done.err
    assert "'b'" not in done.err
    assert "never retried" not in done.err
    finals = [json.loads(line)["final_run_time"] for line in done.out.splitlines()]
    assert finals == ["2999-12-30T09:00:00+00:00", None]
    other = GeventScheduler(timezone="UTC")
    other.add_job(print, CronTrigger(hour=9, end_date="2999-12-31"), id="ending")
    other.add_job(print, CronTrigger(hour=9), id="endless")
    (tmp_path / "jobs.json").write_text("")
    other.export_jobs(tmp_path / "jobs.json")
    in_process("store", "import", "jobs.json", "--store", address, directory=tmp_path)
    shown = json.loads(in_process("job", "show", "ending", "--store", address, "-o", "json").out)
    assert shown["final_run_time"] == "2999-12-30T09:00:00+00:00"
    shown = json.loads(in_process("job", "show", "endless", "--store", address, "-o", "json").out)
    assert shown["final_run_time"] is None
