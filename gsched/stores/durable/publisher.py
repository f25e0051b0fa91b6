"""Publishes what a node does, every two seconds, for every process to read.

A published document is {paused, running, waiting, pool_size, due_soon, totals, recent, groups}; `recent` counts the
last minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gevent.event import Event

from gsched.event_loop.keyboard_interrupt import was_interrupt
from gsched.monitoring.activity import LastMinute, NodeActivity, Period
from gsched.monitoring.groups import GroupActivity
from gsched.monitoring.loop_shares import LoopShares
from gsched.stores.messages import HubPort
from gsched.times.clock import Clock

_EVERY_SECONDS: Final = 2.0


class Publisher:
    """Publishes what a scheduler does, in a greenlet of its own. A document that cannot be written is left out.

    :param publish: writes the document of a node
    :param node: gives the node's id; None while there is no node
    :param paused: gives whether the node is paused
    """

    def __init__(
        self,
        publish: Callable[[str, Mapping[str, Any]], None],
        clock: Clock,
        hub: HubPort,
        node: Callable[[], str | None],
        paused: Callable[[], bool],
    ) -> None:
        self._write = publish
        self._node = node
        self._paused = paused
        self._last_minute = LastMinute(clock, hub.activity)
        self._stopped = Event()

    def run(self) -> None:
        """Publish until `stop`."""
        self._last_minute.sample()
        while not self._stopped.wait(_EVERY_SECONDS):
            try:
                self._publish()
            except BaseException as error:
                was_interrupt(error)  # an error of the database is the ownership greenlet's to report

    def stop(self) -> None:
        """Stop publishing, soon."""
        self._stopped.set()

    def _publish(self) -> None:
        document, node = self._document(), self._node()
        if node is not None:
            self._write(node, document)

    def _document(self) -> dict[str, Any]:
        activity = self._last_minute.sample()
        recent = self._last_minute.period()
        return {
            **{key: activity[key] for key in ("running", "waiting", "pool_size", "due_soon")},
            "paused": self._paused(),
            "totals": activity["outcomes"],
            "groups": activity["groups"],
            "loop": activity["loop"],
            "recent": {  # tags and executors are values: they may hold characters that a key may not
                "seconds": recent.seconds,
                "outcomes": recent.outcomes,
                "by_tag": [{"tag": tag, "outcomes": counts} for tag, counts in recent.by_tag.items()],
                "lateness": recent.lateness,
                "duration": recent.duration,
                "pools": [{"pool": pool, "lateness": counts} for pool, counts in recent.late_by_pool.items()],
            },
        }


def published_activity(node: str, age: float, document: Mapping[str, Any]) -> NodeActivity:
    """The activity in a published document.

    :param age: seconds since the node published it
    """
    recent = document["recent"]
    return NodeActivity(
        node=node,
        age=age,
        paused=document["paused"],
        running=document["running"],
        waiting=document["waiting"],
        pool_size=document["pool_size"],
        due_soon=document["due_soon"],
        recent=Period(
            recent["seconds"],
            recent["outcomes"],
            {each["tag"]: each["outcomes"] for each in recent["by_tag"]},
            tuple(recent["lateness"]),
            tuple(recent["duration"]),
            {each["pool"]: tuple(each["lateness"]) for each in recent.get("pools", ())},
        ),
        totals=document["totals"],
        groups=tuple(map(GroupActivity.of, document.get("groups", ()))),
        loop=LoopShares.of(document.get("loop")),
    )
