"""The doctor's findings about nodes and the slots that they own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from gsched.event_loop.slices import pause
from gsched.monitoring.doctor import OK, PROBLEM, WARNING, Finding
from gsched.monitoring.nodes import ALIVE, DEAD, DRAINING, SILENT, NodeInfo
from gsched.stores.claims.partition import SLOTS

_STUCK_SECONDS: Final = 5.0  # a watermark that is further behind the time stands still
_LONG_DRAIN_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 1.5  # slots that are being handed over have arrived by then


class Owners(NamedTuple):
    """The owners of the slots, by number, and the ids of the known nodes."""

    owners: Mapping[int, str | None]
    nodes: Collection[str]

    @property
    def unowned(self) -> set[int]:
        """The slots without an owner."""
        return {number for number, owner in self.owners.items() if owner is None}

    @property
    def strange(self) -> set[int]:
        """The slots whose owners are not known."""
        return {number for number, owner in self.owners.items() if owner is not None and owner not in self.nodes}


def node_findings(nodes: Sequence[NodeInfo], paused: Collection[str]) -> Iterator[Finding]:
    """The findings about nodes; one that says OK if nothing is wrong.

    :param paused: the nodes whose schedulers are paused
    """
    troubles = [trouble for node in nodes for trouble in _troubles_of(node, nodes, paused)]
    yield from troubles
    if not troubles:
        living = sum(node.runs_jobs for node in nodes)
        yield Finding("nodes", OK, f"{living} of {len(nodes)} known live" if living else "none runs jobs now")


def runner_finding(jobs: str, due: str) -> Iterator[Finding]:
    """The finding about a store without a live node: a problem if jobs are due.

    :param jobs: how many jobs wait for a node
    :param due: how many of them are due
    """
    if jobs != "0":
        found = f"no runner is alive: {jobs} jobs wait for one, {due} of them are due"
        yield Finding("runners", WARNING if due == "0" else PROBLEM, found, "start one: `gsched run`")


def _troubles_of(node: NodeInfo, nodes: Sequence[NodeInfo], paused: Collection[str]) -> Iterator[Finding]:
    others_live = any(other.state == ALIVE and other is not node for other in nodes)
    if node.state == DEAD:
        if node.slots:
            yield _dead_owner(node, others_live)
    elif node.state == SILENT:
        remedy = "it is declared dead within seconds" if others_live else "start a node: it takes the jobs over"
        yield Finding("nodes", WARNING, f"{node.id} has sent no heartbeat for {_ago(node.beat_age)}", remedy)
    elif node.state == DRAINING:
        if node.watermark_age > _LONG_DRAIN_SECONDS:
            yield Finding(
                "nodes", WARNING, f"{node.id} has been draining for {_ago(node.watermark_age)}: runs go on",
                "see `gsched runs list --outcome running`; a shorter drain_timeout cancels them",
            )  # fmt: skip
    elif node.watermark_age > _STUCK_SECONDS:
        yield _stuck(node, node.id in paused)
    elif node.drain_requested is not None and (node.watermark - node.drain_requested).total_seconds() > _STUCK_SECONDS:
        yield Finding(
            "nodes", WARNING, f"{node.id} was asked to drain at {node.drain_requested.isoformat()} and does not",
            "it is embedded in an application that does not listen to node.drain_requested: stop that process",
        )  # fmt: skip


def _ago(seconds: float | None) -> str:
    return f"{seconds or 0:.0f} s"


def _stuck(node: NodeInfo, paused: bool) -> Finding:
    where = f"{node.id} (process {node.pid} on {node.host})"
    if paused:
        return Finding(
            "nodes", WARNING, f"{where} has been paused for {_ago(node.watermark_age)}: its due jobs wait",
            "resume() the scheduler, or drain the node: `gsched node drain`",
        )  # fmt: skip
    return Finding(
        "nodes", PROBLEM, f"{where} lives, but its watermark has stood still for {_ago(node.watermark_age)}: "
        "it starts nothing",
        "look at its log for store.failed and hub.blocked; then restart it: others take its jobs over",
    )  # fmt: skip


def _dead_owner(node: NodeInfo, others_live: bool) -> Finding:
    found = f"{node.id} is dead and still owns {node.slots} slots"
    if others_live:
        remedy = "living nodes should have taken them over within a second: look at their logs for store.failed"
        return Finding("nodes", PROBLEM, found, remedy)
    return Finding("nodes", WARNING, found, "start a node: it takes the jobs over")


def slot_finding(living: bool, look: Callable[[], Owners], repair: Callable[[Sequence[str]], str]) -> Finding:
    """The finding about the owners of slots. Slots change hands, so a problem is looked at again before it is reported.

    :param living: a node runs jobs
    :param look: reads the owners
    :param repair: gives the command that frees the slots of these owners
    """
    found = look()
    unowned, strange = found.unowned, found.strange
    for _ in range(2):
        if not strange and not (unowned and living):
            break
        pause(_LOOK_AGAIN_SECONDS)
        found = look()
        unowned, strange = unowned & found.unowned, strange & found.strange
    if strange:
        owners = sorted({str(found.owners[number]) for number in strange})
        text = f"{len(strange)} of {SLOTS} belong to nodes that are not known: {', '.join(owners)}"
        return Finding("slots", PROBLEM, text, repair(owners))
    if unowned and living:
        return Finding(
            "slots", PROBLEM, f"{len(unowned)} of {SLOTS} have no owner: the jobs in them are not run",
            "living nodes should take them within a second: look at their logs for store.failed, and restart them",
        )  # fmt: skip
    return Finding("slots", OK, "all have an owner" if living else "no node runs jobs, so no slot needs an owner")
