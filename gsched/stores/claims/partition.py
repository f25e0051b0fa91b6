"""The partition of the jobs into slots."""

from __future__ import annotations

from typing import Final
from zlib import crc32

SLOTS: Final = 256


def slot_of(job_id: str) -> int:
    """The slot of a job: a hash of its id, the same in every process and every version."""
    return crc32(job_id.encode(errors="surrogatepass")) % SLOTS
