"""The guide for APScheduler's users says what becomes of each of its classes."""

from __future__ import annotations

import ast
from pathlib import Path

import apscheduler
import pytest

import gsched

GUIDE = (Path(__file__).parents[2] / "docs/coming-from-apscheduler.md").read_text()
TABLE = GUIDE.partition("## What each class becomes")[2].partition("\n## ")[0]
KINDS = {"schedulers": "Scheduler", "executors": "Executor", "jobstores": "JobStore", "triggers": "Trigger"}


def classes() -> list[str]:
    """The schedulers, executors, stores and triggers of APScheduler; some need a library, so they are not imported."""
    found = []
    for folder, end in KINDS.items():
        for path in (Path(apscheduler.__file__).parent / folder).rglob("*.py"):
            names = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
            found += [name for name in names if name.endswith(end) and not name.startswith("Base")]
    return sorted(found)


@pytest.mark.parametrize("name", classes())
def test_each_class_of_apscheduler_has_a_row_and_is_there_or_names_another(name):
    rows = [line for line in TABLE.splitlines() if line.startswith("|") and f"`{name}" in line.split("|")[1]]
    assert len(rows) == 1
    if name not in gsched.__all__:
        with pytest.raises(ImportError, match=f"gsched has no {name}: "):
            getattr(gsched, name)


def test_apscheduler_has_classes_of_each_kind():
    assert all(sum(name.endswith(end) for name in classes()) >= 4 for end in KINDS.values())
