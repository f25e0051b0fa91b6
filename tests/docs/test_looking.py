"""The page on looking at many jobs: its examples are executed, and its table names questions that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench import Bench

PAGE = (Path(__file__).parents[2] / "docs" / "looking.md").read_text()


def work() -> None:
    """What the jobs call."""


def test_its_examples_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for job_id in ("poll-1", "poll-2", "report"):
        tags = ["poll"] if job_id.startswith("poll") else []
        bench.scheduler.add_job(work, "interval", hours=1, id=job_id, tags=tags)
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S):
        exec(example, {"scheduler": bench.scheduler})
    printed = capsys.readouterr().out
    assert "poll-1 scheduled 0" in printed and "ops job.pause tag:poll 2 vendor down" in printed


def test_its_table_names_questions_that_there_are(bench: Bench) -> None:
    table = "\n".join(line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `"))
    names = re.findall(r"`(\w+)\(", table)
    assert len(names) == 10 and all(callable(getattr(bench.scheduler.admin, name)) for name in names)
