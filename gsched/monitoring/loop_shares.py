"""Who held a scheduler's event loop, in shares of the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoopShares:
    """Which part of the last minute code ran on gevent's event loop, estimated from samples. 1 is all of the time.

    The rest of the time, the loop waited, or was between greenlets.

    :ivar jobs: the code of all jobs in greenlets
    :ivar gsched: the scheduler's hub greenlet, which plans and starts runs
    :ivar other: all other greenlets, such as requests to a web server
    :ivar by_job: the jobs that held it longest, by ID, the longest first
    """

    jobs: float
    gsched: float
    other: float
    by_job: Mapping[str, float]

    def plain(self) -> dict[str, Any]:
        """The same in plain values, for a store or an answer."""
        return {
            "jobs": self.jobs, "gsched": self.gsched, "other": self.other,
            "by_job": [{"job_id": job_id, "share": share} for job_id, share in self.by_job.items()],
        }  # fmt: skip

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> LoopShares | None:
        """The same, made of the plain values."""
        if plain is None:
            return None
        by_job = {each["job_id"]: each["share"] for each in plain["by_job"]}
        return cls(plain["jobs"], plain["gsched"], plain["other"], by_job)
