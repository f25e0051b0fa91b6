"""The JSON object of a notifier."""

from __future__ import annotations

from typing import Final

from gsched.shapes.shape import Shape, fields

NOTIFIER: Final[Shape] = fields("name", "sent_at", "failed_at", "failing_since", "error", "waiting")
