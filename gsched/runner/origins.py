"""The file that a job comes from. The metadata of such a job names the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gsched.jobs.job import Job

OWNER: Final = "declared_by"  # of a [[job]] entry: the name of the scheduler whose configuration file has the entry
CRONTAB: Final = "crontab"  # of a line of a crontab: the crontab's path
PREFIX: Final = "prefix"  # of a line of a crontab: how the ids of the crontab's jobs begin
LINE: Final = "line"  # of a line of a crontab: the line's number


def origin_of(job: Job) -> str | None:
    """The file that the job comes from, in words; None if it comes from no file."""
    if (owner := job.metadata.get(OWNER)) is not None:
        return f"the file of {owner!r}"
    crontab = job.metadata.get(CRONTAB)
    return None if crontab is None else f"the crontab {crontab!r}"


def without_origin(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a copy of the job, which comes from no file."""
    marks = {OWNER, *((CRONTAB, PREFIX, LINE) if CRONTAB in metadata else ())}
    return {key: value for key, value in metadata.items() if key not in marks}
