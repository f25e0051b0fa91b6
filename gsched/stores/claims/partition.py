"""The partition of the jobs into slots."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from gsched.jobs.job import Job

SLOTS: Final = 256


def slot_of(name: str) -> int:
    """The slot of a group, or of a job without one by its id: a hash, the same in every process and every version."""
    return crc32(name.encode(errors="surrogatepass")) % SLOTS


def slot_of_job(job: Job) -> int:
    """The slot in which the job belongs. All jobs of a group share a slot, so that one node at a time starts them."""
    return slot_of(job.policy.group or job.id)
