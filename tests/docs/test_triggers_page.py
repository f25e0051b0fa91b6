"""The page on triggers: its examples of jobs that are spread are executed, and its table says what they get."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

import gsched
from gsched.triggers import BaseTrigger

PAGE = (Path(__file__).parents[2] / "docs" / "triggers.md").read_text()
SECTION = PAGE.partition("## Jobs that share a time\n")[2].partition("\n## ")[0]
ADDING, RESPREADING = re.findall(r"^```python\n(.*?)^```$", SECTION, re.M | re.S)


def phases_of(case: str) -> list[str]:
    found = re.search(rf"^\| {re.escape(case)}.*?\| (.*) \|$", SECTION, re.M)
    assert found
    return re.findall(r"[\d:.]+", found[1])


def work(*args: Any) -> None:
    pass


def test_the_examples_spread_their_jobs(unstarted: Bench):
    scheduler = unstarted.scheduler
    exec(ADDING, {"scheduler": scheduler, "poll": work, "backup": work, "urls": ["a", "b"]})
    assert [scheduler.get_job(url).trigger.phase_ms for url in "ab"] == [0, 2500]
    assert scheduler.get_job("backup").trigger.spread_ms == 3_600_000
    unstarted.every(5, work, tags=["poll"], id="c")
    exec(RESPREADING, {"scheduler": scheduler})
    assert scheduler.get_job("c").trigger.spread_ms == 5000


def test_the_table_says_which_phases_jobs_get(unstarted: Bench):
    def phase(job_id: str) -> str:
        return f"{unstarted.scheduler.get_job(job_id).trigger.phase_ms / 1000:g}"

    definition = {"func": work, "trigger": "interval", "seconds": 6, "spread": True}
    unstarted.scheduler.add_jobs({**definition, "id": str(number)} for number in range(3))
    assert [phase(str(number)) for number in range(3)] == phases_of("three jobs in one")
    unstarted.scheduler.add_job(**definition, id="more")
    assert [phase("more")] == phases_of("one more job")
    jobs = [unstarted.add(work, "0 2 * * *", spread="1h") for _ in range(3)]
    times = [f"{job.next_run_time:%H:%M:%S.%f}".removesuffix("000").removesuffix(".000") for job in jobs]
    assert times == phases_of("`0 2 * * *` with")


# -- arguments and next times ------------------------------------------------------------------------------------------

REFERENCE = PAGE.partition("## All arguments\n")[2].partition("\n## ")[0]
TRIGGERS = {
    getattr(gsched, name).alias: getattr(gsched, name)
    for name in gsched.__all__
    if name.endswith("Trigger") and name != "BaseTrigger"
}
TIMES = re.findall(r"^\| `(\w+Trigger.*?)` \| (\d.*) \|$", REFERENCE, re.M)


def test_the_page_has_every_argument_of_every_trigger_and_no_other():
    documented: set[tuple[str, str]] = set()
    table = REFERENCE.partition("The first three")[0]
    for types, arguments in re.findall(r"^\| (.*?) \| (`.*?) \|.*\|.*\|$", table, re.M):
        named = set(re.findall(r"`(\w+)`", types))
        of = TRIGGERS.keys() - named if types.startswith("all but ") else named
        documented |= {(each, argument) for each in of for argument in re.findall(r"`(\w+)`", arguments)}
    taken = {(alias, name) for alias, kind in TRIGGERS.items() for name in inspect.signature(kind).parameters}
    assert documented == taken


@pytest.mark.parametrize(("trigger", "times"), TIMES)
def test_the_page_has_the_first_three_times(trigger: str, times: str):
    made: BaseTrigger = eval(trigger, {kind.__name__: kind for kind in TRIGGERS.values()})
    placed, at, found = made.placed(UTC), datetime(2027, 3, 1, tzinfo=UTC) - timedelta(milliseconds=1), []
    while len(found) < 3 and (due := placed.next_after(at)) is not None:
        at = due
        found.append(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}".removesuffix("000").removesuffix(".000"))
    assert ", ".join(found) == times
