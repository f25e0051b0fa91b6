"""How long a failed attempt waits for the next one."""

from __future__ import annotations

import pytest

from gsched.event_loop.backoff import backoff


@pytest.mark.parametrize(("failures", "most"), [(0, 0.5), (1, 1), (3, 4), (6, 30), (5000, 30)])
def test_pauses_double_up_to_the_longest_however_many_failures_there_were(failures, most):
    pauses = [backoff(0.5, failures, 30) for _ in range(50)]
    assert most / 2 <= min(pauses) and max(pauses) <= most
