"""Says that no runner is alive, where people would take it that their jobs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.cli.printing import say
from gsched.durations import rough_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gsched.nodes import NodeInfo
    from gsched.scheduler import GeventScheduler


def warn_if_no_runner(scheduler: GeventScheduler, jobstore: str | None = None) -> None:
    """Print a line on stderr for each store whose jobs no runner runs.

    :param jobstore: look at this store only
    """
    aliases = [jobstore] if jobstore is not None else list(scheduler.stores)
    for alias in aliases:
        if (last := absent_runner(scheduler, alias)) is not None:
            where = f" for the store {alias!r}" if len(aliases) > 1 else ""
            say(f"gsched: {no_runner_line(last, where)}", err=True)


def no_runner_line(last: str, where: str = "") -> str:
    """What to say if no runner is alive.

    :param last: what `absent_runner` says
    """
    return f"no runner is alive{where}: nothing runs until `gsched run` is started{last}"


def absent_runner(scheduler: GeventScheduler, alias: str) -> str | None:
    """None if a runner is alive in the store; else which one was heard of last, in words, or nothing."""
    nodes = scheduler.get_nodes(alias)
    is_served = not scheduler.stores[alias].shared or any(node.runs_jobs for node in nodes)
    return None if is_served else _last(nodes)


def _last(nodes: Sequence[NodeInfo]) -> str:
    heard = [(node.beat_age, node.id) for node in nodes if node.beat_age is not None]
    if not heard:
        return ""
    age, node = min(heard)
    return f" ({node} was heard of {rough_duration(age)} ago)"
