"""The JSON objects of groups and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gsched.shapes.shape import Shape, fields

if TYPE_CHECKING:
    from gsched.jobs.limits import GroupLimit
    from gsched.jobs.pause import Pause
    from gsched.monitoring.groups import GroupInfo

_OF_PAUSE: Final = ("reason", "by", "at", "until")


def _limit_fields(limit: GroupLimit | None) -> dict[str, Any] | None:
    return None if limit is None else {name: value(limit) for name, value in LIMIT.items()}


def pause_fields(pause: Pause | None) -> dict[str, Any] | None:
    """The pause of a group; None if it is not paused."""
    return None if pause is None else {name: getattr(pause, name) for name in _OF_PAUSE}


def _doing(name: str) -> Any:
    def value(group: GroupInfo) -> Any:
        return None if group.activity is None else getattr(group.activity, name)

    return value


# A limit. The rate is in runs a second.
LIMIT: Final[Shape] = fields("pattern", "concurrency", "rate", "burst", "declared_by")

# A group in a list. `starts_per_minute` are those of the last minute.
GROUP: Final[Shape] = {
    "group": lambda group: group.name,
    "jobs": lambda group: group.jobs,
    "running": _doing("running"),
    "waiting": _doing("waiting"),
    "starts_per_minute": _doing("starts"),
    "held_since": _doing("held_since"),
    "limit": lambda group: _limit_fields(group.limit),
    "pause": lambda group: pause_fields(group.pause),
}
