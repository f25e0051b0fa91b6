"""A short fuzz of all verbs; `make soak` is a longer one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["mongodb"]

ROOT = Path(__file__).parents[2]
STORES = ("memory", "sqlite", "mongodb")


@pytest.mark.usefixtures("needs_mongod")
def test_whatever_users_call_and_whatever_is_killed_meanwhile_nothing_is_silent_doubled_or_late() -> None:
    fuzzes = {store: start(store) for store in STORES}  # at once: most of the time they wait
    said = {store: fuzz.communicate(timeout=300) for store, fuzz in fuzzes.items()}
    failed = [store for store, fuzz in fuzzes.items() if fuzz.returncode]
    assert not failed, "\n".join(text[-5000:] for store in failed for text in said[store])


def start(store: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "load_tests" / "verbs_fuzz.py"), "--store", store, "--seconds", "2"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
