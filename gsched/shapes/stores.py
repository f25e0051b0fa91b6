"""The JSON objects of nodes, events and findings."""

from __future__ import annotations

from typing import Final

from gsched.shapes.shape import Shape, fields

NODE: Final[Shape] = {
    **fields("id", "state", "host", "pid", "slots"),
    "watermark_age": lambda node: round(node.watermark_age, 3),
    "beat_age": lambda node: None if node.beat_age is None else round(node.beat_age, 3),
    **fields("started_at", "ended_at", "left", "watermark", "acked", "drain_requested"),
}

EVENT: Final[Shape] = {
    "at": lambda event: event.at,
    "event": lambda event: event.name,
    **fields("job_id", "node", "slot", "details"),
}

FINDING: Final[Shape] = fields("check", "verdict", "found", "remedy")
