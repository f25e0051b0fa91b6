"""The partition of the jobs: into which slot each belongs, and what is the document of a slot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zlib import crc32

SLOTS: Final = 256


def slot_of(job_id: str) -> int:
    """The slot of a job: a hash of its id, the same in every process and version, whatever is stored."""
    return crc32(job_id.encode(errors="surrogatepass")) % SLOTS


def is_slot(document: Mapping[str, Any]) -> bool:
    """Whether it is of a slot: people may have written anything."""
    dates = all(isinstance(document.get(field), datetime) for field in ("watermark", "acked"))
    optional = isinstance(document.get("open_from"), datetime | None) and isinstance(document.get("owner"), str | None)
    return dates and optional and isinstance(document.get("attached"), bool) and is_epoch(document.get("epoch"))


def is_epoch(value: Any) -> bool:
    """Whether it counts how often a slot has changed hands."""
    return isinstance(value, int) and not isinstance(value, bool)
