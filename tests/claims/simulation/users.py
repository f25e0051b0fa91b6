"""Users: they add, change, pause, resume and remove jobs, and ask for runs, from processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gsched.jobs.job import Job
from gsched.jobs.pause import PLAIN, Pause
from gsched.jobs.policy import Policy
from gsched.jobs.tally import Tally
from gsched.policies.pauses import paused, resumed
from gsched.stores.base import reschedules
from gsched.stores.claims.database import RunRecord
from gsched.stores.claims.partition import slot_of_job
from gsched.times.instants import from_ms
from gsched.triggers import BaseTrigger, DateTrigger, IntervalTrigger

from .cluster import SPOILT_FOR, SPOILT_FOR_NOBODY, Database, FormerDocument, JobDocument, RunDocument
from .ledger import Ledger
from .world import World


def nothing(*args: Any) -> None:
    """What the jobs do; how long that takes is up to the executor."""


GROUPS = ("one", "two", "three")


class Users:
    """Writes as the definitions' code makes them: each changes one document, raises its `rev`, and takes `admitted`
    away exactly if it concerns when the job is due.

    :param announce: tells the change feeds
    """

    def __init__(self, world: World, database: Database, ledger: Ledger, announce: Callable[[str], None]) -> None:
        self._world = world
        self._random = world.random
        self._db = database
        self._ledger = ledger
        self._announce = announce
        self._jobs = self._serial = self._requests = 0
        self.first_rev: Callable[[], int] = lambda: world.now  # an id that is used again must not meet its past
        self.spoils = 0.0  # how many jobs some processes, or all, cannot run
        self.counted = 0.0  # how many jobs end after so many runs
        self.groups = 0.0  # how many jobs are in groups, and how many writes give a job another one
        self.regroups = True
        self.pauses_end = 0.0  # how many writes begin or end a pause that has an end

    def do_something(self) -> None:
        """One write at random."""
        if self.pauses_end and self._world.chance(self.pauses_end):
            self._random.choice((self.pause_for_a_while, self.pause_for_a_while, self.resume_early))()
            return
        if self.groups and self.regroups and self._world.chance(self.groups / 2):
            self.regroup()
            return
        write, weight = zip(*self._VERBS)
        self._random.choices(write, weight)[0](self)

    def add(self) -> None:
        self._jobs += 1
        self._add(f"job{self._jobs}")

    def _add(self, job_id: str) -> None:
        trigger, due = self._schedule()
        job = Job(
            id=job_id,
            func=nothing,
            trigger=trigger,
            args=self._random.choice(((0, 20), (0, 20), (0, 20), (50, 1500), (2000, 4000))),
            coalesce=self._world.chance(0.6),
            max_instances=self._random.choice((1, 1, 1, 3)),
            misfire_grace_ms=self._random.choice((None, None, None, 1000)),
            policy=self._policy(),
            next_run_ms=due,
            rev=self.first_rev(),
        )
        if self.counted and self._world.chance(self.counted):
            job = job.evolve(policy=job.policy.with_changes(max_runs=self._random.randint(2, 7)))
        if self.groups and self._world.chance(self.groups):
            job = job.evolve(policy=job.policy.with_changes(group=self._random.choice(GROUPS)))
        document = JobDocument(job, tally=Tally(job.rev) if job.policy.counts else None)
        if self._world.chance(self.spoils):
            document.spoilt = self._random.choice(SPOILT_FOR)
        elif self._world.chance(self.spoils):
            document.job = job.evolve(executor="odd")
        self._store(document.job, document, True)

    def _policy(self) -> Policy:
        recoveries = self._random.choice((None, None, 1, 0, 0, 0))
        retries, delay = self._random.choice((0, 0, 1, 3)), self._random.choice((100, 400, 1500, 4000))
        fixed = {"retry_backoff": 1.0, "retry_jitter": 0.0}
        return Policy(recoveries=recoveries, retries=retries, retry_delays_ms=(delay,), **fixed)

    def _schedule(self) -> tuple[BaseTrigger, int | None]:
        now, dice = self._world.now, self._random.random()
        if dice < 0.2:
            trigger: BaseTrigger = DateTrigger(from_ms(now + self._random.randrange(-1000, 12_000)))
        elif dice < 0.3:
            end = from_ms(now + self._random.randrange(1000, 10_000))
            trigger = IntervalTrigger(seconds=self._random.choice((0.5, 1.5)), end_date=end)
        else:
            trigger = IntervalTrigger(seconds=self._random.choice((0.3, 0.7, 1, 1, 2, 3, 8, 11)))
        trigger, due = trigger.begun(now)
        if dice >= 0.5 and self._world.chance(0.3):  # next_run_time, given by the user
            due = now + self._random.randrange(-2000, 9000)
            trigger = trigger.anchored(due)
        return trigger, due

    def _store(self, job: Job, document: JobDocument, rescheduled: bool) -> None:
        self._serial += 1
        old = self._db.jobs.get(job.id)
        generation = self._serial if rescheduled or old is None else old.job.metadata["generation"]
        document.job = job.evolve(metadata={"generation": generation}, parked=None)
        if rescheduled:
            document.admitted, document.schedule, document.begins = False, job.rev, job.next_run_ms
        self._db.jobs[job.id] = document
        self._world.note(f"users write {job.id} rev {job.rev} generation {generation}, due {job.next_run_ms}")
        if rescheduled:
            self._ledger.rescheduled(document.job)
        self._announce(job.id)

    def _change(self, document: JobDocument, **changes: Any) -> None:
        old = document.job
        job = old.evolve(**changes, rev=old.rev + 1)
        if reschedules(old, job):
            self._end_schedule(document, lambda: self._store(job, document, True))
        else:
            self._store(job, document, False)

    def _end_schedule(self, document: JobDocument, write: Callable[[], None]) -> None:
        """Copy the schedule, then write, if the document is still as it was copied and nobody ends the user first."""
        job_id, copied = document.job.id, _copied(document)
        if document.admitted:
            key = f"{job_id}@{document.schedule}"
            self._world.note(f"users copy {key}, due {document.job.next_run_ms}")
            self._db.formers[key] = FormerDocument(
                document.job, document.schedule, document.begins, document.late_until
            )

        def end() -> None:
            if self._db.jobs.get(job_id) is document and _copied(document) == copied and not self._db.is_cut_off():
                write()

        if self._world.chance(0.7):
            end()
        elif self._world.chance(0.7):
            self._world.at(self._random.randrange(50), None, end)

    def modify(self) -> None:
        """An option; when the job is due stays."""
        if (document := self._any()) is not None:
            self._change(document, tags=(f"tag{self._serial}",))

    def spoil(self) -> None:
        """The job refers to what not all processes have, or does so no more."""
        if (document := self._any()) is not None and self.spoils:
            document.spoilt = self._random.choice((*SPOILT_FOR, SPOILT_FOR_NOBODY))
            self._change(document, tags=(f"tag{self._serial}",))

    def mend(self) -> None:
        """All processes can run all jobs."""
        for document in self._db.jobs.values():
            if document.spoilt is not SPOILT_FOR_NOBODY:
                document.spoilt = SPOILT_FOR_NOBODY
                self._change(document, tags=(f"tag{self._serial}",))

    def reschedule(self) -> None:
        if (document := self._any()) is not None:
            trigger, due = self._schedule()
            self._change(document, trigger=trigger, next_run_ms=due, pause=PLAIN if document.job.paused else None)

    def pause(self) -> None:
        if (document := self._any()) is not None:
            self._change(document, pause=PLAIN)

    def resume(self) -> None:
        paused = [document for document in self._db.jobs.values() if document.job.paused]
        if paused:
            document = self._random.choice(paused)
            due = document.job.next_ms(self._world.now)
            if due is not None:
                self._change(document, pause=None, next_run_ms=due)
            elif isinstance(document.job.trigger, DateTrigger):  # it is late, unless it has run
                self._change(document, pause=None)

    def pause_for_a_while(self) -> None:
        """Right before an instant or after it, so that the owner may begin it before it hears of the pause."""
        document = self._any()
        if document is not None and (due := document.job.next_due_ms(self._world.now)) is not None:
            soon = max(due - self._world.now + self._random.randrange(-60, 400), 0)
            self._world.at(soon, None, lambda: self._let_pause_for_a_while(document))

    def _let_pause_for_a_while(self, document: JobDocument) -> None:
        if self._is_there(document) and not document.job.paused:
            now = self._world.now
            pause = Pause(at_ms=now, until_ms=now + self._random.choice((1, 300, 2000, 6000)))
            self._take(document, paused(document.job, pause, now))

    def resume_early(self) -> None:
        now = self._world.now
        held = [document for document in self._db.jobs.values() if document.job.pause_at(now) is not None]
        if held:
            document = self._random.choice(held)
            after = resumed(document.job, now)
            if after.next_run_ms is not None:
                self._take(document, after)

    def _take(self, document: JobDocument, job: Job) -> None:
        self._change(document, pause=job.pause, next_run_ms=job.next_run_ms)

    def pause_and_resume(self) -> None:
        """Right before an instant, so that the owner may begin it before it hears of either."""
        document = self._any()
        if document is not None and (due := document.job.next_due_ms(self._world.now)) is not None:
            soon = max(due - self._world.now - self._random.randrange(60), 0)
            self._world.at(soon, None, lambda: self._let_pause_and_resume(document))

    def _let_pause_and_resume(self, document: JobDocument) -> None:
        if self._is_there(document) and not document.job.paused:
            self._change(document, pause=PLAIN)
            self._world.at(self._random.choice((0, 5, 20)), None, lambda: self._let_resume(document))

    def _let_resume(self, document: JobDocument) -> None:
        if self._is_there(document) and document.job.paused:
            resumed = document.job.evolve(pause=None, parked=None)
            if (due := resumed.next_due_ms(self._world.now)) is not None:
                self._change(document, pause=None, next_run_ms=due)

    def _is_there(self, document: JobDocument) -> bool:
        return self._db.jobs.get(document.job.id) is document and not self._db.is_cut_off()

    def remove(self) -> None:
        if (document := self._any()) is not None:
            self._end_schedule(document, lambda: self._remove(document))

    def _remove(self, document: JobDocument) -> None:
        self._world.note(f"users remove {document.job.id}")
        del self._db.jobs[document.job.id]
        self._ledger.removed(document.job.id)
        self._announce(document.job.id)

    def replace(self) -> None:
        """Remove a job and add another one under its id."""
        if (document := self._any()) is not None:

            def replace() -> None:
                self._ledger.regrouped.add(document.job.id)
                self._remove(document)
                self._add(document.job.id)

            self._end_schedule(document, replace)

    def regroup(self) -> None:
        """The job gets another group; when it is due stays."""
        if (document := self._any()) is not None:
            groups = [group for group in (*GROUPS, None) if group != document.job.policy.group]
            policy = document.job.policy.with_changes(group=self._random.choice(groups))

            def write() -> None:
                self._ledger.regrouped.add(document.job.id)
                job = document.job.evolve(policy=policy, rev=document.job.rev + 1, parked=None)
                document.job, document.admitted = job, False
                document.schedule, document.begins = job.rev, job.next_run_ms
                self._world.note(f"users write {job.id} rev {job.rev} group {policy.group}, due {job.next_run_ms}")
                self._announce(job.id)

            self._end_schedule(document, write)

    def request(self) -> None:
        if (document := self._any()) is not None:
            self._requests += 1
            name = f"request{self._requests}"
            job_id, at = document.job.id, self._world.now
            run = RunRecord(job_id, slot_of_job(document.job), at, 1, name)
            self._db.runs[(job_id, at, 1, name)] = RunDocument("", run, waits=True, due=at)
            self._world.note(f"users request {name} of {job_id}")
            self._ledger.requested(document.job, name, at)

            def tell() -> None:
                if (found := self._db.jobs.get(job_id)) is not None:
                    found.job = found.job.evolve(rev=found.job.rev + 1)
                    self._announce(job_id)

            if self._world.chance(0.7):
                tell()
            elif self._world.chance(0.7):
                self._world.at(self._random.randrange(50), None, tell)

    def _any(self) -> JobDocument | None:
        return self._random.choice(list(self._db.jobs.values())) if self._db.jobs else None

    _VERBS = ((add, 6), (modify, 2), (reschedule, 2), (pause, 1), (resume, 2), (pause_and_resume, 2), (remove, 1),
              (replace, 1), (request, 3), (spoil, 3))


def _copied(document: JobDocument) -> tuple[Any, ...]:
    """What of the document has to stay for a schedule that was copied to be the one that a write ends."""
    return document.job.rev, document.admitted, document.job.next_run_ms, document.late_until
