"""How a program ends whose scheduler is ended by one of its own jobs."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gevent
import pytest

from gsched import EVENT_SCHEDULER_SHUTDOWN, BaseExecutor, GeventScheduler, GreenletPoolExecutor, ThreadPoolExecutor


@pytest.mark.parametrize("executor", [GreenletPoolExecutor(2), ThreadPoolExecutor(2)], ids=["greenlets", "threads"])
def test_a_job_may_end_the_scheduler_and_all_is_over_when_run_forever_returns(executor: BaseExecutor) -> None:
    scheduler = GeventScheduler(executors={"default": executor}, blocked_hub_after=None)
    heard: list[Any] = []
    scheduler.add_listener(heard.append, EVENT_SCHEDULER_SHUTDOWN)
    scheduler.add_job(scheduler.shutdown)
    with gevent.Timeout(20):
        scheduler.run_forever()
    assert not scheduler.running
    assert [event.cut for event in heard] == [0]


def test_waiting_for_the_last_run_at_shutdown_costs_no_cpu_time() -> None:
    scheduler = GeventScheduler(blocked_hub_after=None)
    scheduler.add_job(gevent.sleep, args=[0.6])
    scheduler.add_job(scheduler.shutdown)
    began = time.process_time()
    with gevent.Timeout(20):
        scheduler.run_forever()
    assert time.process_time() - began < 0.3


def test_ctrl_c_ends_the_scheduler_also_while_a_job_has_the_hub() -> None:
    scheduler = GeventScheduler(blocked_hub_after=None)
    scheduler.add_job(os.kill, args=[os.getpid(), signal.SIGINT])
    scheduler.add_job(time.time, "interval", seconds=1)
    before = signal.getsignal(signal.SIGINT)
    with gevent.Timeout(20):
        scheduler.run_forever()
    assert not scheduler.running
    assert signal.getsignal(signal.SIGINT) is before
