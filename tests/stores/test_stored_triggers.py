"""Triggers with L, W, #, H and windows in every store: what comes back, and what an export keeps."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from gsched import BaseJobStore, GeventScheduler, MemoryJobStore

pytest_plugins = ["mongodb"]

TRIGGERS: dict[str, dict[str, Any]] = {
    "line": {"trigger": "0 9 L-3W * ?"},
    "weekday": {"trigger": "0 9 * * fri#2,monL"},
    "fields": {"trigger": "cron", "day": "LW", "hour": "H", "minute": "H(0-29)/10"},
    "hashed": {"trigger": "H H * * *"},
    "quartz": {"trigger": "cron", "quartz": "0 0/20 8-18 ? * 2-6"},
    "window": {"trigger": "interval", "minutes": 5, "between": "22:00-06:00", "days": "mon-fri"},
    "keyed": {"trigger": "H H * * *", "hash_key": "backup"},
}


def poll() -> None:
    pass


@pytest.fixture
def scheduler(any_store: BaseJobStore) -> Any:
    made = GeventScheduler(jobstores={"default": any_store}, timezone="Europe/Berlin", modules=[__name__])
    if isinstance(any_store, MemoryJobStore):
        made.start(paused=True)
    yield made
    made.shutdown(wait=False) if made.running else made.close()


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_comes_back_from_its_store_with_its_times(scheduler, name):
    added = scheduler.add_job(poll, id=name, **TRIGGERS[name])
    found = scheduler.get_job(name)
    assert found.trigger == added.trigger
    assert found.next_run_time == added.next_run_time
    assert found.trigger.next_after(found.next_run_time) == added.trigger.next_after(added.next_run_time)
    again = scheduler.add_job(poll, id=name, **TRIGGERS[name], replace_existing=True)
    assert again.trigger.same_schedule(added.trigger)


def test_an_imported_job_keeps_the_times_that_its_former_id_chose(scheduler):
    scheduler.add_job(poll, id="backup", trigger="H H * * *")
    exported = io.StringIO()
    scheduler.export_jobs(exported)
    scheduler.remove_all_jobs()
    lines = [json.loads(line) for line in exported.getvalue().splitlines()]
    renamed = "".join(json.dumps({**line, "id": "other"} if "id" in line else line) + "\n" for line in lines)
    scheduler.import_jobs(io.StringIO(renamed))
    assert scheduler.get_job("other").trigger.resolved == "26 23 * * *"
