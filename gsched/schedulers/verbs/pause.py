"""The verbs that pause jobs and resume them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo

from gsched.errors import ConfigurationError, InvalidJobError
from gsched.events import EVENT_JOB_RESUMED, JobPauseEvent, paused_event
from gsched.jobs.audit import ALL_JOBS, Act
from gsched.jobs.job import Job
from gsched.jobs.pause import BY_USER, PLAIN, Pause
from gsched.jobs.pause_document import checked_name, checked_reason
from gsched.jobs.query import JobQuery
from gsched.policies.pauses import lasts_as_long, paused, renewed, resumed
from gsched.schedulers.acting import act, current_actor
from gsched.schedulers.engine import Engine
from gsched.schedulers.handle import JobHandle
from gsched.schedulers.verbs.verbs import Verbs
from gsched.times.relative import Moment, as_future

Until = Moment | None


class PauseVerbs(Verbs):
    """The verbs that pause jobs and resume them."""

    def pause_job(
        self,
        job_id: str,
        jobstore: str | None = None,
        *,
        reason: str | None = None,
        until: Until = None,
        by: str | None = None,
    ) -> JobHandle:
        """Pause a job: it is not due until somebody resumes it, or until a time. Its runs in progress go on.

        A pause with an end keeps the phase of the job, which is due next at its first instant after the end. A date
        that falls into the pause runs at the end. A job whose trigger ends before then stays paused.

        A job that is paused already keeps its pause, but for what is given here.

        :param reason: why, at most 250 characters; default: the actor's (see `gsched.acting`)
        :param until: when the pause ends by itself: a datetime, a date, ISO text, or how long from now (timedelta,
            "2h"); None: it has no end
        :param by: who pauses the job, at most 200 characters; default: the actor's name
        :raises JobNotFoundError: if there is no such job
        :raises InvalidJobError: if `until` is not ahead, or a text is empty or too long; nothing is changed then
        """
        pausing = Pausing.wanted_of(self._engine, reason, until, by)
        changed = self._engine.change_job(job_id, pausing.change, jobstore, paused_event, pausing.act)
        return self._handle(changed)

    def pause_jobs(
        self,
        ids: Iterable[str] | None = None,
        *,
        tag: str | None = None,
        prefix: str | None = None,
        group: str | None = None,
        everything: bool = False,
        jobstore: str | None = None,
        reason: str | None = None,
        until: Until = None,
        by: str | None = None,
    ) -> int:
        """Pause the jobs with these ids, with this tag, whose ids begin so, of this group, or all jobs; name one of the
        five.

        `pause_group` holds a group's runs back instead: its jobs stay due.

        A job that is paused already, for as long or longer, keeps its pause and its reason. Ids without a job are left
        out.

        :param jobstore: only jobs of this store; default: of all stores
        :param reason: as for `pause_job`; so are `until` and `by`
        :return: how many jobs this call has paused
        :raises InvalidJobError: as by `pause_job`, and unless the jobs are named in one way
        """
        chosen = Selection(ids, tag, prefix, everything, group)
        pausing = Pausing.wanted_of(self._engine, reason, until, by)
        return sum(1 for _ in pause_each(self._engine, chosen, jobstore, pausing))

    def resume_job(self, job_id: str, jobstore: str | None = None, *, by: str | None = None) -> JobHandle:
        """Resume a paused job: it is due from now on; a date that passed meanwhile is late.

        A job whose trigger ended meanwhile is removed. Raises JobNotFoundError.

        :param by: who resumes it; default: the actor's name (see `gsched.acting`)
        """
        resuming = Resuming(self._engine.now_ms(), by)
        changed = self._engine.change_job(job_id, resuming.change, jobstore, resuming.event, resuming.act)
        return self._handle(changed)

    def resume_jobs(
        self,
        ids: Iterable[str] | None = None,
        *,
        tag: str | None = None,
        prefix: str | None = None,
        group: str | None = None,
        everything: bool = False,
        jobstore: str | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> int:
        """Resume those of the jobs with these ids, with this tag, whose ids begin so, of this group, or of all jobs,
        that are paused.

        Jobs that are parked are tried again.

        :param reason: only jobs that are paused for this reason
        :return: how many jobs were resumed
        :raises InvalidJobError: unless the jobs are named in one way
        """
        chosen = Selection(ids, tag, prefix, everything, group)
        resuming = Resuming(self._engine.now_ms(), by, reason)
        return sum(1 for _ in resume_each(self._engine, chosen, jobstore, resuming))


def pause_each(engine: Engine, chosen: Selection, jobstore: str | None, pausing: Pausing) -> Iterator[Job]:
    """Pause these jobs, and give those that were not paused for as long before."""
    for alias in engine.aliases(jobstore):
        job_ids = engine.call(_ids, engine, alias, chosen, (None,))
        yield from engine.change_jobs(
            job_ids, pausing.change_if_shorter, alias, paused_event, pausing.act, chosen.words
        )


def resume_each(engine: Engine, chosen: Selection, jobstore: str | None, resuming: Resuming) -> Iterator[Job]:
    """Resume these jobs, and give those that were paused or parked."""
    for alias in engine.aliases(jobstore):
        job_ids = engine.call(_ids, engine, alias, chosen, ("paused", "parked"))
        yield from engine.change_jobs(
            job_ids, resuming.change_if_held, alias, resuming.event, resuming.act, chosen.words
        )


def _ids(engine: Engine, alias: str, chosen: Selection, states: Sequence[str | None]) -> list[str]:
    """The ids of the chosen jobs. All are found before the first is changed, because changes reorder lists."""
    if chosen.ids is not None:
        return list(chosen.ids)
    queries = [
        JobQuery(tag=chosen.tag, prefix=chosen.prefix, group=chosen.group, state=state) for state in states
    ]
    return [job.id for query in queries for job in engine.stores[alias].find(query)]


class Selection:
    """Which jobs to change: those with these ids, with this tag, whose ids begin so, of this group, or all.

    Raises InvalidJobError unless they are named in one way.
    """

    def __init__(
        self,
        ids: Iterable[str] | None,
        tag: str | None,
        prefix: str | None,
        everything: bool,
        group: str | None = None,
    ) -> None:
        if isinstance(ids, str):
            raise InvalidJobError(f"ids: expected a list of ids, got {ids!r}")
        ways = [ids is not None, tag is not None, prefix is not None, group is not None, bool(everything)]
        if ways.count(True) != 1:
            raise InvalidJobError("name the jobs in one way: ids, tag, prefix, group, or everything=True")
        self.ids = None if ids is None else tuple(dict.fromkeys(ids))
        self.tag = tag
        self.prefix = prefix
        self.group = group

    @property
    def words(self) -> str:
        """The jobs in words, for the audit."""
        if self.ids is not None:
            return f"{len(self.ids)} jobs"
        if self.group is not None:
            return f"group:{self.group}"
        return (
            ALL_JOBS if self.tag is self.prefix is None else f"tag:{self.tag}" if self.tag else f"prefix:{self.prefix}"
        )


class Pausing:
    """Pauses jobs.

    :param wanted: the pause of those that have none
    :param now: milliseconds since the epoch
    """

    def __init__(self, wanted: Pause, now: int) -> None:
        self._wanted = wanted
        self._now = now

    @classmethod
    def wanted_of(cls, engine: Engine, reason: str | None, until: Until, by: str | None) -> Pausing:
        """Pauses jobs as a user says. Raises InvalidJobError for what cannot be meant; see `PauseVerbs.pause_job`."""
        now = engine.now_ms()
        return cls(wanted_pause(reason, until, by, now, engine.timezone), now)

    @property
    def act(self) -> Act | None:
        """The act of pausing, for the audit; None if no actor is named."""
        return act("job.pause", self._now, by=self._wanted.by, reason=self._wanted.reason)

    def change(self, job: Job) -> Job:
        """The job, paused. What is not given anew stays of a pause that it has."""
        known = job.pause_at(self._now)
        return paused(job, self._wanted if known is None else renewed(known, self._wanted), self._now)

    def change_if_shorter(self, job: Job) -> Job | None:
        """The job, paused; None if it is paused for as long already."""
        known = job.pause_at(self._now)
        if known is not None and lasts_as_long(known, self._wanted):
            return None
        return paused(job, self._wanted, self._now)


class Resuming:
    """Resumes jobs.

    :param now: milliseconds since the epoch
    :param by: who resumes them; None: the actor
    :param reason: only jobs that are paused for this reason
    """

    def __init__(self, now: int, by: str | None, reason: str | None = None) -> None:
        self._now = now
        self._by = name_of_actor(by)
        self._reason = reason
        self._ended: dict[str, Pause] = {}  # by the jobs' ids

    def change(self, job: Job) -> Job:
        """The job, resumed."""
        self._ended[job.id] = job.pause_at(self._now) or PLAIN
        return resumed(job, self._now)

    @property
    def act(self) -> Act | None:
        """The act of resuming, for the audit; None if no actor is named."""
        return act("job.resume", self._now, by=self._by)

    def change_if_held(self, job: Job) -> Job | None:
        """The job, resumed; None if it is neither paused nor parked, or paused for another reason."""
        pause = job.pause_at(self._now)
        if self._reason is not None and (pause is None or pause.reason != self._reason):
            return None
        return None if pause is None and job.parked is None else self.change(job)

    def event(self, job: Job) -> JobPauseEvent:
        """The event about a job that was resumed."""
        return JobPauseEvent(EVENT_JOB_RESUMED, job, self._ended.pop(job.id), self._by, BY_USER)


def wanted_pause(reason: str | None, until: Until, by: str | None, now: int, zone: tzinfo) -> Pause:
    """The pause that a user wants at `now` (ms). Raises InvalidJobError for what cannot be meant."""
    actor = current_actor()
    if reason is None and actor is not None:
        reason = actor.reason
    try:
        end = None if until is None else as_future(until, now, zone, "until")
    except ConfigurationError as error:
        raise InvalidJobError(str(error)) from None
    return Pause(None if reason is None else checked_reason("reason", reason), name_of_actor(by), now, end)


def name_of_actor(by: str | None) -> str | None:
    """The actor: this name, else the name given to `acting`, else None. Raises InvalidJobError."""
    if by is not None:
        return checked_name("by", by)
    actor = current_actor()
    return None if actor is None else actor.name
