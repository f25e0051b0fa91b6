"""The verbs on jobs: add, change, list, run, remove."""

from __future__ import annotations

from gsched.handle import JobHandle
from gsched.job import Job
from gsched.verbs.changing import Changing
from gsched.verbs.exchanging import Exchanging
from gsched.verbs.listing import Listing
from gsched.verbs.looking_back import LookingBack
from gsched.verbs.running import Running


class JobVerbs(Exchanging, Changing, Listing, Running, LookingBack):
    """What users do with jobs. The base of GeventScheduler.

    Every verb may be called before start and while running, from any greenlet or native thread, from inside a job and
    from a listener.
    """

    def _handle(self, job: Job) -> JobHandle:
        return JobHandle(self, job)
