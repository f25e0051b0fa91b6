"""A short fuzz of all verbs; `make soak` is a longer one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["mongodb"]

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("store", ["memory", "mongodb"])
def test_whatever_users_call_and_whatever_is_killed_meanwhile_nothing_is_silent_doubled_or_late(
    store: str, request: pytest.FixtureRequest
) -> None:
    if store == "mongodb":
        request.getfixturevalue("needs_mongod")
    command = [sys.executable, str(ROOT / "load_tests" / "verbs_fuzz.py"), "--store", store, "--seconds", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
