"""The JSON objects of the audit, of groups of errors, and of the load ahead."""

from __future__ import annotations

from typing import Any, Final

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


def _peaks(load: Any) -> list[dict[str, Any]]:
    return [
        {"at": peak.at, "runs": peak.runs, "triggers": [each._asdict() for each in peak.triggers]}
        for peak in load.peaks
    ]


LOAD: Final[Shape] = {
    **fields("begins"),
    "week": lambda load: [list(day) for day in load.week],
    "hour": lambda load: list(load.hour),
    "peaks": _peaks,
    **fields("estimated_from", "of"),
}
