"""The JSON objects of runs, and of explanations of instants."""

from __future__ import annotations

from typing import Any, Final

from gsched.shapes.shape import Shape, fields


def _tags(run: Any) -> list[str]:
    return list(run.tags)


# A run in a list.
RUN: Final[Shape] = {
    **fields(
        "job_id", "job_name", "run_id", "outcome", "reason", "scheduled_at", "due_at", "until", "started_at",
        "duration", "lateness", "attempt", "node",
    ),
    "tags": _tags,
    **fields("error_type", "error_message"),
}  # fmt: skip

# One attempt at a run.
ATTEMPT: Final[Shape] = {
    **fields("job_id", "job_name", "run_id"),
    "tags": _tags,
    **fields(
        "outcome", "reason", "scheduled_at", "due_at", "until", "started_at", "finished_at", "attempt", "node",
        "request", "error_type", "error_message", "duration", "lateness", "traceback",
    ),
    "command": lambda run: None if run.command is None else run.command.as_document(),
}  # fmt: skip

# What an attempt has printed.
OUTPUT: Final[Shape] = fields("run_id", "attempt", "text", "truncated", "left_out", "going_on")

EXPLANATION: Final[Shape] = fields("job_id", "instant", "outcome", "recorded", "sentence", "before", "after")
