"""For tests of programs that schedule: a clock moved by hand, a driver, and a ledger of the outcome of every instant.

    clock = ManualClock("2026-03-01 12:00")
    scheduler = GeventScheduler(clock=clock, timezone="UTC")
    scheduler.add_job(refresh, "interval", seconds=10)
    with Driver(scheduler, clock) as driver:
        driver.advance(seconds=9)  # not due yet
        driver.advance(seconds=1)  # runs, on time
        assert driver.names() == ["run.succeeded"]
"""

from gsched.testing.driver import Driver
from gsched.testing.ledger import Ledger, mismatches
from gsched.testing.manual_clock import ManualClock

__all__ = ["Driver", "Ledger", "ManualClock", "mismatches"]
