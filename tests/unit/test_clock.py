"""The clock by which everything is scheduled."""

from __future__ import annotations

import time

import pytest

from gsched.times.clock import SystemClock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="there is no such clock here")
def test_elapsed_time_goes_on_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {time.CLOCK_BOOTTIME: 5000.0, time.CLOCK_MONOTONIC: 50.0}
    monkeypatch.setattr(time, "clock_gettime", shown.__getitem__)
    assert SystemClock().monotonic() == 5000.0
