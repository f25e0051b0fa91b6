"""What the nodes of stores.py run."""

from __future__ import annotations

import time

from gsched import current_run

starts: list[tuple[str, float, float]] = []  # job, when it was due, when it started


def noted() -> None:
    """Note when this run has started."""
    run = current_run()
    starts.append((run.job_id, run.scheduled_ms / 1000, time.time()))
