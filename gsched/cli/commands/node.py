"""gsched node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from gsched.cli.arguments import Duration, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.shapes.stores import NODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gsched.monitoring.nodes import NodeInfo
    from gsched.schedulers.gevent import GeventScheduler

_LOOK_SECONDS: Final = 0.25
_LISTED: Final = 8  # candidates
_STATES: Final = ("alive", "draining", "silent", "dead")

COLUMNS = columns(NODE, narrow=("id", "state", "slots", "watermark_age", "beat_age", "started_at"))


@click.group()
def node() -> None:
    """The processes that run the store's jobs: list, show, drain."""


@node.command("list")
@configured(*PLACE)
@output_options
@click.option("--state", type=click.Choice(_STATES), help="Only nodes in this state.")
@jobstore_option
def list_nodes(configuration: Configuration, out: Output, state: str | None, jobstore: str | None) -> None:
    """List nodes, the oldest first, with those that ended within the last day.

    A node claims ahead of time: if all is well, the age of its watermark is below 0, and its beat is at most 0.1 s old.
    """
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        out.rows(COLUMNS, [each for each in scheduler.admin.get_nodes(jobstore) if state in (None, each.state)])


@node.command()
@click.argument("wanted", metavar="NODE")
@configured(*PLACE)
@output_options
@jobstore_option
def show(configuration: Configuration, wanted: str, out: Output, jobstore: str | None) -> None:
    """Show all that is known of a node. NODE is its id, or a part of the id that no other node has."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        out.one(COLUMNS, find_node(scheduler.admin.get_nodes(jobstore), wanted))


@node.command()
@click.argument("wanted", metavar="NODE")
@configured(*PLACE)
@click.option("--wait", is_flag=True, help="Wait until the node has ended.")
@click.option("--timeout", type=Duration(), default=60.0, metavar="DURATION", help="Wait so long at most (60s).")
@jobstore_option
def drain(configuration: Configuration, wanted: str, wait: bool, timeout: float, jobstore: str | None) -> None:
    """Ask a node, on any machine, to hand its jobs over, finish its runs in progress, and end."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        known = scheduler.admin.get_nodes(jobstore)
        living = [each for each in known if each.state != "dead"]
        chosen = find_node(living if any(wanted in each.id for each in living) else known, wanted)
        if chosen.state == "dead":
            say(f"{chosen.id} has ended already", err=True)
            return
        scheduler.admin.drain_node(chosen.id, jobstore)
        say(f"{chosen.id} is asked to drain", err=True)
        if wait:
            _wait_for_end(scheduler, chosen.id, timeout, jobstore)
            say(f"{chosen.id} has ended", err=True)


def find_node(nodes: Sequence[NodeInfo], wanted: str) -> NodeInfo:
    """The node with this id, else the only one whose id begins so, else the only one with this in its id.

    Raises CommandRefused: NOT_FOUND, or CONFLICT naming the candidates.
    """
    whole = [each for each in nodes if each.id == wanted]
    begins = [each for each in nodes if each.id.startswith(wanted)]
    found = whole or begins or [each for each in nodes if wanted in each.id]
    if wanted and len(found) == 1:
        return found[0]
    if not wanted or not found:
        raise CommandRefused(f"no node has the id {wanted!r}, or an id with it", Exit.NOT_FOUND, "see gsched node list")
    listed = ", ".join(each.id for each in found[:_LISTED]) + (" ..." if len(found) > _LISTED else "")
    raise CommandRefused(f"{wanted!r} fits several nodes: {listed}", Exit.CONFLICT, "write more of the id")


def _wait_for_end(scheduler: GeventScheduler, node_id: str, timeout: float, jobstore: str | None) -> None:
    import gevent

    state = "alive"
    for _ in range(max(1, round(timeout / _LOOK_SECONDS))):
        now = next((each for each in scheduler.admin.get_nodes(jobstore) if each.id == node_id), None)
        if now is None or now.left:
            return
        state = now.state
        if state == "dead":
            raise CommandRefused(f"{node_id} died before it had handed its jobs over; others take them over")
        gevent.sleep(_LOOK_SECONDS)
    progress = "it is still draining" if state == "draining" else "it has not begun to: does its program listen?"
    raise CommandRefused(
        f"{node_id} has not ended within {timeout:g} s; {progress}", Exit.DRAIN_TIMED_OUT, "wait longer: --timeout"
    )
