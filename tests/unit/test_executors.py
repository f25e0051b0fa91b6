"""What all executors have in common."""

from __future__ import annotations

from collections.abc import Callable

import process_jobs as jobs
import pytest
from executor_rig import rig_of

from gsched.executors import BaseExecutor, GreenletPoolExecutor, ProcessPoolExecutor, ThreadPoolExecutor

EVERY_EXECUTOR = [GreenletPoolExecutor, ThreadPoolExecutor, ProcessPoolExecutor]


@pytest.mark.parametrize("make_executor", EVERY_EXECUTOR)
def test_a_run_is_measured_in_the_time_that_scheduled_it(make_executor: Callable[[], BaseExecutor]) -> None:
    with rig_of(make_executor()) as rig:
        run = rig.run_of(jobs.add, 1, 2)
        run.clock_offset = 60_000  # its store's time is a minute ahead
        run.scheduled_ms += 60_000
        rig.executor.submit(run)
        assert rig.result(run).value == 3
        assert (run.lateness, run.duration) == (0.0, 0.0)
