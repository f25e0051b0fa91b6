"""The page on jobs has every option of `add_job`, with its default and an example that works."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from gsched import GeventScheduler, GreenletPoolExecutor
from gsched.runner.declaration import _KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
TABLES = re.findall(r"^\| option \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE, re.M)
ROWS = [[cell.strip() for cell in row.strip("| ").split(" | ")] for table in TABLES for row in table.splitlines()]
OPTIONS = {row[0].strip("`"): row for row in ROWS}
NOT_OF_THE_JOB = ("func", "trigger", "next_run_time", "id", "name", "replace_existing", "spread")
BESIDE: dict[str, dict[str, Any]] = {  # what an option needs
    "retry_on": {"retries": 1},
    "give_up_on": {"retries": 1},
    "max_catchup": {"coalesce": False},
    "failure_pause": {"max_consecutive_failures": 3},
    "spread": {"trigger": "0 2 * * *"},
    "args": {"func": max},
    "kwargs": {"func": dict},
    "func": {},
}


def value(text: str) -> Any:
    return eval(text.strip("`"), {})


def test_the_page_has_every_option_and_no_other():
    parameters = list(inspect.signature(GeventScheduler.add_job).parameters)[1:-1]
    assert sorted(OPTIONS) == sorted(parameters) and len(ROWS) == len(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_example_works_and_the_default_is_what_a_job_without_the_option_has(unstarted: Bench, option: str):
    default, example = OPTIONS[option][2:4]
    others = {"func": print, "trigger": "0 2 * * *", **BESIDE.get(option, {})}
    if option != "func":
        unstarted.scheduler.add_executor(GreenletPoolExecutor(2), "threads")
        unstarted.scheduler.add_job(**{**others, option: value(example)})
    if option not in NOT_OF_THE_JOB:
        explicit = value(default) if default.startswith("`") else () if option in ("args", "notify", "tags") else None
        if option in ("kwargs", "metadata"):
            explicit = {}
        kept = []
        for options in ({option: explicit}, {}):
            kept.append(unstarted.scheduler.add_job(**others, **options, id="a").definition)
            unstarted.scheduler.remove_job("a")
        assert kept[0] == kept[1]


def test_the_keys_of_a_declared_job_are_these_options_and_those_of_the_page_on_the_runner():
    runner = (Path(__file__).parents[2] / "docs" / "runner.md").read_text()
    table = runner.partition("## Declared jobs")[2].partition("| any other [option of a job]")[0]
    own = {key for row in re.findall(r"^\| `.*", table, re.M) for key in re.findall(r"`(\w+)`", row)}
    of_commands = runner.partition("## Options of commands")[2].partition("`[command_defaults]` takes")[0]
    own |= set(re.findall(r"^\| `(\w+)` \|", of_commands, re.M))
    assert set(_KEYS) - OPTIONS.keys() - own == set()
    assert OPTIONS.keys() - set(_KEYS) == {"next_run_time", "replace_existing"}
