"""The JSON objects of the audit, of instants, of groups of errors, and of how much runs and will run."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final

from gsched.shapes.overview import percentiles
from gsched.shapes.shape import Shape, fields

AUDIT_ENTRY: Final[Shape] = {
    **fields("id", "at", "actor", "via", "action", "target", "count", "reason"),
    "before": lambda entry: dict(entry.before),
    "after": lambda entry: dict(entry.after),
    **fields("address"),
}

ERROR_GROUP: Final[Shape] = {
    **fields("count", "share", "outcome", "error_type", "message", "job_id", "node", "jobs"),
    "job_ids": lambda group: list(group.job_ids),
    **fields("first", "last"),
    "example": lambda group: group.example.run_id,
}


_OF_TRIGGER: Final = ("trigger", "schedule", "jobs", "least", "examples")


def _peaks(load: Any) -> list[dict[str, Any]]:
    return [
        {"at": peak.at, "runs": peak.runs, "triggers": [each._asdict() for each in peak.triggers]}
        for peak in load.peaks
    ]


def _triggers(load: Any) -> list[dict[str, Any]]:
    """The triggers that the hours name, each once."""
    return [dict(zip(_OF_TRIGGER, values, strict=True)) for values in _numbers(load)]


def _hours(load: Any) -> list[dict[str, Any]]:
    """The hours; triggers by their numbers in the list of them."""
    numbers = _numbers(load)
    return [
        {
            "at": hour.at,
            "runs": hour.runs,
            "triggers": [{"number": numbers[_without_runs(each)], "runs": each.runs} for each in hour.triggers],
        }
        for hour in load.hours
    ]


def _numbers(load: Any) -> dict[Any, int]:
    each = dict.fromkeys(_without_runs(trigger) for hour in load.hours for trigger in hour.triggers)
    return {trigger: number for number, trigger in enumerate(each)}


def _without_runs(trigger: Any) -> Any:
    return tuple(getattr(trigger, name) for name in _OF_TRIGGER)


LOAD: Final[Shape] = {
    **fields("begins"),
    "week": lambda load: [list(day) for day in load.week],
    "hour": lambda load: list(load.hour),
    "triggers": _triggers,
    "hours": _hours,
    "peaks": _peaks,
    **fields("estimated_from", "of"),
}

INSTANT: Final[Shape] = fields(
    "at", "outcome", "recorded", "sentence", "reason", "lateness", "duration", "run_id", "attempt", "node"
)

RATE: Final[Shape] = {
    "at": lambda rate: rate.at,
    **{name: attrgetter(f"period.{name}") for name in ("runs", "failures", "skips", "misses")},
    "outcomes": lambda rate: dict(rate.period.outcomes),
    "lateness": lambda rate: percentiles(rate.period.late),
    "duration": lambda rate: percentiles(rate.period.long),
}
