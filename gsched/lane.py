"""A lane: what the hub knows of one store's jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from gevent.event import Event

from gsched.clock import Clock
from gsched.job import Job
from gsched.planning import Span
from gsched.run import Run
from gsched.stores.base import ALWAYS, BaseJobStore
from gsched.timetable import Timetable
from gsched.triggers.base import TRIGGER_ERRORS

NOTHING_CLAIMED = -1


class Entry:
    """One job as the hub sees it.

    :ivar due: when it is due by the lane's time, None while it is not in the timetable (the timetable keeps this)
    :ivar ahead: by how many ms its instants are ahead of that time: the clock was set back, and it goes by elapsed time
    :ivar until: it is due up to then only; later instants are another node's
    :ivar held: an instant that is due already and waits, for a run to end or for the job to be healed
    :ivar parked: whether it is held because it cannot be run
    :ivar live: whether its store lets this scheduler run it
    :ivar running: its runs that are in progress or wait for a worker, here
    """

    __slots__ = ("ahead", "due", "fence", "held", "job", "lane", "live", "parked", "running", "until")

    def __init__(self, job: Job, lane: Lane) -> None:
        self.job = job
        self.lane = lane
        self.fence = 0
        self.due: int | None = None
        self.ahead = 0
        self.until = ALWAYS
        self.held: int | None = None
        self.parked = False
        self.live = False
        self.running = 0

    @property
    def instances(self) -> int:
        """Its runs that are in progress or wait for a worker, wherever they are."""
        elsewhere = self.lane.elsewhere
        return self.running + elsewhere.get(self.job.id, 0) if elsewhere else self.running

    @property
    def first(self) -> int | None:
        """Its first instant that is not decided."""
        return self.next_instant if self.held is None else self.held

    @property
    def next_instant(self) -> int | None:
        """The instant for which it is in the timetable."""
        return None if self.due is None else self.due + self.ahead

    def undecided(self, until: int) -> Iterator[int]:
        """Its instants up to `until` that are not decided."""
        instant = self.first
        while instant is not None and instant <= min(until, self.until):
            yield instant
            instant = self.first_after(instant)

    def first_held_after(self, after: int) -> int | None:
        """The first instant after `after` that waits, or will, given that the entry is held."""
        return self.held if self.held is not None and self.held > after else self.first_after(after)

    def first_after(self, after: int) -> int | None:
        """The job's first instant after `after`."""
        try:
            return self.job.next_ms(after)
        except TRIGGER_ERRORS:  # what follows will park the job
            return after + 1


class Lane:
    """The entries of one store, its timetable, and until when it is claimed. Touched by the hub greenlet only."""

    def __init__(self, alias: str, store: BaseJobStore) -> None:
        self.alias = alias
        self.store = store
        self.entries: dict[str, Entry] = {}
        self.timetable: Timetable[Entry] = Timetable()
        self.claimed = NOTHING_CLAIMED
        self.expires = 0.0  # monotonic time after which others may have taken over what is claimed
        self.horizon = ALWAYS  # what is due later, the store keeps
        self.time_base: int | None = None  # the store's time less the monotonic one, ms; None: it is the clock's
        self.clock_offset = 0  # by how many ms the store's time is ahead of the clock, as of the last turn
        self.unread = 0  # messages about jobs and runs that the hub has not handled
        self.owed: dict[Entry, deque[Run]] = {}  # outside the schedule: cut on other nodes, or asked for; they wait
        self.unsure: list[tuple[Job, Span]] = []  # given up while the claim did not hold: what is not another's by now
        self.elsewhere: Mapping[str, int] = {}  # runs in progress where the jobs were before, by job
        self.finishing = False  # nothing is claimed any more, and nothing that waits is begun
        self.finished = Event()  # and all that was claimed is decided
        self.idle = Event()  # the last run in progress was settled meanwhile
        self._held: dict[Entry, None] = {}  # in the order in which they came

    def admit(self, job: Job, due: int | None, fence: int) -> Entry:
        """From now on `job` is due at `due`, whatever was known of it before."""
        entry = self.entry(job)
        self.timetable.remove(entry)
        self._release(entry)
        entry.job, entry.fence = job, fence
        entry.live, entry.until, entry.ahead = True, ALWAYS, 0
        if due is not None:
            self.timetable.add(entry, due)
        return entry

    def entry(self, job: Job) -> Entry:
        """The job's entry, a new one if it has none."""
        entry = self.entries.get(job.id)
        if entry is None:
            entry = self.entries[job.id] = Entry(job, self)
        return entry

    def change(self, job: Job) -> Entry | None:
        """The job does something else, at the same times. Gives its entry, if it has one."""
        entry = self.entries.get(job.id)
        if entry is not None:
            entry.job = job
        return entry

    def drop(self, job_id: str, until: int) -> None:
        """The job is not due here any more after `until`."""
        entry = self.entries.get(job_id)
        if entry is None:
            return
        entry.until = until
        if entry.first is None or entry.first > until:
            self.let_go(entry)

    def drop_all(self) -> None:
        """No job is due here any more."""
        self.owed.clear()
        self.unsure.clear()
        self.elsewhere = {}
        for job_id in list(self.entries):
            self.drop(job_id, -1)

    def let_go(self, entry: Entry) -> None:
        """Nothing of the entry is due here any more; runs in progress go on."""
        self.timetable.remove(entry)
        self._release(entry)
        entry.live = False
        self.forget_if_idle(entry)

    def hold(self, entry: Entry, due: int, parked: bool) -> None:
        """The entry's instant `due` waits: for a run of the job to end, or parked until the job can be run."""
        entry.held, entry.parked = due, parked
        self._held[entry] = None

    def go_on(self, entry: Entry) -> None:
        """What held the entry is over: it is due at once."""
        due = entry.held
        self._release(entry)
        if due is not None:
            self.put(entry, due)

    def put(self, entry: Entry, instant: int) -> None:
        """The entry, which is not in the timetable, is due at this instant of its job."""
        self.timetable.add(entry, instant - entry.ahead)

    def clock_was_set(self, by_ms: int) -> Iterator[None]:
        """The machine's clock was set. Yields after each entry.

        What goes by elapsed time does so on, ahead of a clock that was set back; else it would stand still until the
        clock shows that time again. A store with a time of its own does not hear of the machine's clock.
        """
        if self.time_base is not None:
            return
        if self.claimed < ALWAYS:  # nothing is claimed any more: what comes again has not been claimed
            self.claimed = min(self.claimed, self.claimed + by_ms)
        for entry in list(self.entries.values()):
            ahead = max(0, entry.ahead - by_ms)
            if ahead != entry.ahead and entry.job.trigger.by_elapsed_time:
                instant = entry.next_instant
                self.timetable.remove(entry)
                entry.ahead = ahead
                if instant is not None:
                    self.put(entry, instant)
            yield

    def _release(self, entry: Entry) -> None:
        entry.held, entry.parked = None, False
        self._held.pop(entry, None)

    def parked_for(self, executor: str) -> list[Entry]:
        """The entries that are parked and name this executor."""
        return [entry for entry in self._held if entry.parked and entry.job.executor == executor]

    def waiting(self) -> list[Entry]:
        """The entries with an instant that waits for a run of the job to end."""
        return [entry for entry in self._held if not entry.parked]

    def jobs(self) -> dict[str, int]:
        """How many entries are scheduled, wait for a run of their job to end, or are parked; in whatever thread."""
        held = list(self._held)
        parked = {entry.job.id for entry in held if entry.parked}
        waiting = len(held) - len(parked)
        return {"scheduled": len(self.timetable), "waiting": waiting, "parked": len(parked | self.store.parked())}

    def first_undecided(self, after: int, late: Mapping[str, int]) -> int | None:
        """The earliest instant after `after` that is not decided, claimed or not; parked jobs are not asked.

        Where one at or before `after` is not decided, neither are those of its job that follow.

        :param late: jobs that wait of which only what comes after then counts
        """
        waiting = ((entry, max(after, late.get(entry.job.id, after))) for entry in self.waiting())
        known = [instant for entry, last in waiting if (instant := entry.first_held_after(last)) is not None]
        known += (max(span.first, after + 1) for _, span in self.unsure if span.end > after)
        due = self.timetable.next_due()
        return min(known if due is None else [max(due, after + 1), *known], default=None)

    def forget_if_idle(self, entry: Entry) -> None:
        """Let go of an entry that is neither due here nor in progress, and of which nothing is owed."""
        is_idle = not entry.live and not entry.running and entry not in self.owed
        if is_idle and self.entries.get(entry.job.id) is entry:
            del self.entries[entry.job.id]

    def now(self, clock: Clock) -> int:
        """The store's time, ms. One that is not the clock's does not jump when somebody sets this machine's clock."""
        return clock.now_ms() if self.time_base is None else self.time_base + int(clock.monotonic() * 1000)

    def may_run_until(self, clock: Clock) -> int:
        """What is due up to then, in the store's time, may be run now. Called in every turn."""
        now = self._measured_now(clock)
        return min(now, self.claimed) if self.holds(clock) else NOTHING_CLAIMED

    def holds(self, clock: Clock) -> bool:
        """Whether what is claimed is surely not another's by now."""
        return clock.monotonic() < self.expires

    def follow(self, time_base: int, clock: Clock) -> None:
        """The store has a time of its own."""
        self.time_base = time_base
        self._measured_now(clock)

    def _measured_now(self, clock: Clock) -> int:
        now = self.now(clock)
        if self.time_base is not None:
            self.clock_offset = now - clock.now_ms()
        return now

    def due_within(self, ms: int, clock: Clock, most: int) -> int:
        """How many jobs are due so soon, counted up to `most`."""
        return self.timetable.count_until(self.now(clock) + ms, most)

    def next_due(self, clock: Clock) -> int | None:
        """When something that may be run is due next, in the store's time, or None."""
        due = self.timetable.next_due()
        return due if due is not None and due <= self.claimed and self.holds(clock) else None

    def has_served(self, clock: Clock) -> bool:
        """Whether all that was claimed is decided, and nothing of it is still to come."""
        return self.next_due(clock) is None and (self.now(clock) >= self.claimed or not self.holds(clock))


def count_jobs(lanes: Iterable[Lane]) -> dict[str, int]:
    """How many jobs the lanes have: scheduled, waiting for a run of theirs to end, parked; in whatever thread."""
    counts = [lane.jobs() for lane in lanes]
    return {state: sum(jobs[state] for jobs in counts) for state in ("scheduled", "waiting", "parked")}
