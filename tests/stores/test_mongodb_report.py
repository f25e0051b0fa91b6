"""What a store that takes part says of itself."""

from __future__ import annotations

from unittest.mock import Mock

import gevent
import pytest

from gsched.stores.claims.database import NodeRecord
from gsched.stores.claims.intervals import Intervals
from gsched.stores.claims.ownership import Ownership
from gsched.stores.messages import ALWAYS
from gsched.times.clock import SystemClock


@pytest.mark.parametrize(("others", "is_ready"), [((), False), (("b",), True)])
def test_a_node_that_is_alone_and_can_take_no_slots_is_not_well(others: tuple[str, ...], is_ready: bool) -> None:
    nodes = [NodeRecord(name, alive=True, watermark=0, acked=0, beat=0) for name in ("a", *others)]
    cluster = Mock(exclusive=False, time=lambda: 1_800_000_000_000, free_slots=lambda node: [])
    cluster.nodes.return_value = nodes
    cluster.revisions.return_value = {}
    cluster.owners.return_value = set()
    hub = Mock(unfinished=list, unread=lambda: False, next_due=lambda after, late=None: None)
    hub.waiting_since.return_value = []
    outcomes = Mock(first_unwritten=lambda: ALWAYS, has_counts=bool)
    ownership = Ownership(cluster, SystemClock(), hub, outcomes, lambda now: "a", Intervals(tick=0.01))
    with gevent.Timeout(10):
        greenlet = gevent.spawn(ownership.run)
        while not ownership.report().nodes:
            gevent.sleep(0.01)
        gevent.sleep(0.05)
        report = ownership.report()
        ownership.end()
        greenlet.join()
    assert report.connected is is_ready
    assert ("owns no slots" in (report.error or "")) is not is_ready
