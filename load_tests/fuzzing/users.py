"""Users that call verbs at random, and the jobs that they call them for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import gevent
from cluster.jobs import append

from gsched import GeventScheduler, GschedError
from gsched.times.instants import to_ms

LONGEST_VERB = 45.0  # seconds, while the database is away again and again
LONGEST_RUN = 4.0
SOON = 2.0  # how far ahead users set a time at which a job is due
WITNESS_PERIOD = 0.5
WITNESSES = 20
NEVER = 1000  # more attempts than any run has


@dataclass(frozen=True)
class Traits:
    """What all jobs with an id have in common, whatever users change.

    :ivar seconds: how long a run takes
    :ivar succeeds_at: the number of the first attempt that does not fail
    :ivar is_witness: the job is due every WITNESS_PERIOD, and no user changes it
    """

    id: str
    recover: bool
    max_instances: int
    seconds: float = 0.0
    succeeds_at: int = 1
    retries: int = 0
    retry_delay: float = 1.0
    is_witness: bool = False

    @classmethod
    def of(cls, job_id: str, random: Random) -> Traits:
        return cls(
            job_id,
            recover=random.random() < 0.5,
            max_instances=random.choice((1, 1, 3)),
            seconds=random.choice((0, 0, 0.3, LONGEST_RUN)),
            succeeds_at=random.choice((1, 1, 1, 2, 3, NEVER)),
            retries=random.choice((0, 0, 1, 3)),
            retry_delay=random.choice((0.001, 0.2, 1.0)),
        )

    @classmethod
    def of_witness(cls, number: int) -> Traits:
        return cls(f"witness{number}", recover=False, max_instances=3, is_witness=True)

    def options(self, number: int) -> dict[str, Any]:
        """Arguments of `add_job`; the lines of its runs name the number."""
        shared: dict[str, Any] = {"id": self.id, "recover": self.recover, "max_instances": self.max_instances}
        if self.retries:
            shared |= {"retries": self.retries, "retry_delay": self.retry_delay, "retry_backoff": 1.0}
        return {"func": "cluster.jobs:numbered", "args": [number, self.seconds, self.succeeds_at], **shared}


def add_witnesses(scheduler: GeventScheduler) -> list[Traits]:
    """Jobs that tell when nobody runs what is due."""
    traits = [Traits.of_witness(number) for number in range(WITNESSES)]
    schedule = {"trigger": "interval", "seconds": WITNESS_PERIOD}
    scheduler.add_jobs({**each.options(0), **schedule} for each in traits)
    return traits


class Imported(NamedTuple):
    """A job that was imported: instants from `due` on that had passed `by` then are due once more (ms)."""

    job_id: str
    due: int
    by: int


class User:
    """Calls verbs until told to stop, and notes what they raise and how long they take.

    :param diary: each call is a line of this file
    """

    def __init__(
        self, scheduler: GeventScheduler, traits: list[Traits], seed: float, numbers: Iterator[int], diary: Path
    ) -> None:
        self._scheduler, self._traits, self._random, self._numbers = scheduler, traits, Random(seed), numbers
        self._diary = diary
        self.problems: list[str] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[str] = []
        self.imports: list[Imported] = []

    def run(self, until: float) -> None:
        while time.time() < until:
            verb, its = self._random.choice(self._VERBS), self._random.choice(self._traits)
            began, name, raised = time.time(), verb.__name__.strip("_"), ""
            others = None
            try:
                others = verb(self, its)
            except GschedError as error:
                raised = f" {type(error).__name__}"
            except Exception as error:
                self.problems.append(f"{name} raised {error!r}")
            took = time.time() - began
            self.calls[name + raised] += 1
            line = {"time": began, "took": round(took, 4), "verb": name + raised, "jobs": others or [its.id]}
            append(str(self._diary), line)
            if took > LONGEST_VERB:
                self.problems.append(f"{name} took {took:.1f} s{raised}")
            gevent.sleep(self._random.choice((0.0, 0.01, 0.1)))

    def _schedule(self) -> dict[str, Any]:
        if self._random.random() < 0.1:
            return {"trigger": "date", "run_date": self._soon()}
        return {"trigger": "interval", "seconds": self._random.choice((0.3, 0.5, 1, 2))}

    def _soon(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._random.uniform(0, SOON))

    def _add(self, its: Traits) -> None:
        self._scheduler.add_job(**its.options(next(self._numbers)), **self._schedule())

    def _replace(self, its: Traits) -> None:
        self._scheduler.add_job(**its.options(next(self._numbers)), **self._schedule(), replace_existing=True)

    def _add_many(self, its: Traits) -> list[str]:
        some = self._random.sample(self._traits, 4)
        jobs = [{**each.options(next(self._numbers)), **self._schedule()} for each in some]
        self._scheduler.add_jobs(jobs, replace_existing=True)
        return [each.id for each in some]

    def _modify(self, its: Traits) -> None:
        self._scheduler.modify_job(its.id, name=f"name{self._random.random()}")

    def _move(self, its: Traits) -> None:
        self._scheduler.modify_job(its.id, next_run_time=self._soon())

    def _reschedule(self, its: Traits) -> None:
        self._scheduler.reschedule_job(its.id, **self._schedule())

    def _pause(self, its: Traits) -> None:
        self._scheduler.pause_job(its.id)

    def _resume(self, its: Traits) -> None:
        self._scheduler.resume_job(its.id)

    def _pause_and_resume(self, its: Traits) -> None:
        self._scheduler.pause_job(its.id)
        self._scheduler.resume_job(its.id)

    def _remove(self, its: Traits) -> None:
        self._scheduler.remove_job(its.id)

    def _remove_and_add(self, its: Traits) -> None:
        self._scheduler.remove_job(its.id)
        self._add(its)

    def _export_and_import(self, its: Traits) -> list[str]:
        """As new definitions: the import makes instants due anew that passed since the export."""
        exported = StringIO()
        self._scheduler.export_jobs(exported)
        header, *lines = exported.getvalue().splitlines()
        ours = {each.id for each in self._traits}
        known = [job for job in map(json.loads, lines) if job["id"] in ours]
        jobs = self._random.sample(known, min(4, len(known)))
        for job in jobs:
            job["args"][0] = next(self._numbers)
        try:
            again = "\n".join([header, *map(json.dumps, jobs)])
            self._scheduler.import_jobs(StringIO(again), replace_existing=True)
        finally:  # it may have been written although the answer was lost
            by = to_ms(datetime.now(UTC))
            due = [(job["id"], job["next_run_time"]) for job in jobs if job["next_run_time"]]
            self.imports += [Imported(job_id, to_ms(datetime.fromisoformat(time)), by) for job_id, time in due]
        return [job["id"] for job in jobs]

    def _request(self, its: Traits) -> None:
        self.requests.append(self._scheduler.run_job(its.id))

    def _look(self, its: Traits) -> None:
        self._scheduler.get_jobs()
        self._scheduler.get_job(its.id)
        self._scheduler.get_runs(its.id)

    def _explain(self, its: Traits) -> None:
        self._scheduler.explain(its.id, datetime.now(UTC) - timedelta(seconds=self._random.uniform(0, 10)))

    _VERBS = (
        *(_add, _add, _replace, _add_many, _modify, _move, _reschedule, _pause, _resume, _pause_and_resume),
        *(_remove, _remove_and_add, _export_and_import, _request, _request, _look, _explain),
    )
