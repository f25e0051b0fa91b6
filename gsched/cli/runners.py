"""Warns that jobs will not run, in commands whose users expect that they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.cli.printing import say
from gsched.times.durations import rough_duration
from gsched.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gsched.config import Configuration
    from gsched.monitoring.nodes import NodeInfo
    from gsched.schedulers.gevent import GeventScheduler


def warn_if_no_runner(scheduler: GeventScheduler, jobstore: str | None = None) -> None:
    """Print a line on stderr for each store whose jobs no runner runs.

    :param jobstore: look at this store only
    """
    aliases = [jobstore] if jobstore is not None else list(scheduler.stores)
    for alias in aliases:
        if (last := absent_runner(scheduler, alias)) is not None:
            where = f" for the store {alias!r}" if len(aliases) > 1 else ""
            say(f"gsched: {no_runner_line(last, where)}", err=True)


def warn_of_executor(scheduler: GeventScheduler, alias: str) -> None:
    """Print a line on stderr if an executor is not known here: a runner without it parks the job."""
    if alias not in {"default", *scheduler.executors}:
        say(f"gsched: a runner without the executor {alias!r} parks the job when it is due", err=True)


def warn_of_notifiers(configuration: Configuration, scheduler: GeventScheduler, names: Iterable[str]) -> None:
    """Print a line on stderr for each notifier that is not known here, if some are known at all."""
    from gsched.schedulers.engine import engine_of

    known = {*configuration.notifiers, *engine_of(scheduler).notifiers}
    for name in names:
        if known and name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(sorted(known))}"
            say(f"gsched: no notifier has the name {name!r}{hint}", err=True)


def no_runner_line(last: str, where: str = "") -> str:
    """The warning that no runner is alive.

    :param last: the text that `absent_runner` gives
    """
    return f"no runner is alive{where}: nothing runs until `gsched run` is started{last}"


def absent_runner(scheduler: GeventScheduler, alias: str) -> str | None:
    """None if a runner is alive in the store; else text on the last one that was alive, perhaps empty."""
    nodes = scheduler.admin.get_nodes(alias)
    is_served = not scheduler.stores[alias].shared or any(node.runs_jobs for node in nodes)
    return None if is_served else _last(nodes)


def _last(nodes: Sequence[NodeInfo]) -> str:
    ages = [(node.beat_age, node.id) for node in nodes if node.beat_age is not None]
    if not ages:
        return ""
    age, node = min(ages)
    return f" ({node} sent its last heartbeat {rough_duration(age)} ago)"
