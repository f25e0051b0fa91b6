"""A lane: the jobs of one store, as the hub sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from gevent.event import Event

from gsched.hub.deadlines import Deadlines
from gsched.hub.gates import Gates
from gsched.hub.later_runs import LaterRuns
from gsched.hub.tallies import Tallies
from gsched.hub.timetable import Timetable
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Span
from gsched.jobs.run import Run
from gsched.policies.planning import Hold
from gsched.stores.base import BaseJobStore
from gsched.stores.messages import ALWAYS
from gsched.times.clock import Clock
from gsched.triggers.base import TRIGGER_ERRORS

NOTHING_CLAIMED = -1


class Entry:
    """One job as the hub sees it.

    :ivar due: when it is due in the lane's time; None while it is not in the timetable, which sets this
    :ivar ahead: by how many ms its instants are ahead of that time; more than 0 if the clock was set back and the job's
        trigger goes by elapsed time
    :ivar until: its last instant here; later instants belong to another node
    :ivar held: an instant that is due and waits: for a free instance, for its group, or for the job to be healed
    :ivar held_by: why it is held; None if it is not
    :ivar live: its store lets this scheduler run it
    :ivar running: how many of its runs are in progress or wait for a worker in this process
    """

    __slots__ = ("ahead", "due", "fence", "held", "held_by", "job", "lane", "live", "running", "until")

    def __init__(self, job: Job, lane: Lane) -> None:
        self.job = job
        self.lane = lane
        self.fence = 0
        self.due: int | None = None
        self.ahead = 0
        self.until = ALWAYS
        self.held: int | None = None
        self.held_by: Hold | None = None
        self.live = False
        self.running = 0

    @property
    def instances(self) -> int:
        """How many of its runs are in progress or wait for a worker, on all nodes."""
        elsewhere = self.lane.elsewhere
        return self.running + elsewhere.get(self.job.id, 0) if elsewhere else self.running

    @property
    def parked(self) -> bool:
        """True if it is held because it cannot run."""
        return self.held_by is Hold.PARKED

    @property
    def first(self) -> int | None:
        """Its first undecided instant."""
        return self.next_instant if self.held is None else self.held

    @property
    def next_instant(self) -> int | None:
        """The instant for which it is in the timetable."""
        return None if self.due is None else self.due + self.ahead

    def undecided(self, until: int) -> Iterator[int]:
        """Its undecided instants up to `until`."""
        instant = self.first
        while instant is not None and instant <= min(until, self.until):
            yield instant
            instant = self.first_after(instant)

    def first_held_after(self, after: int) -> int | None:
        """The first instant after `after` that waits now or will wait. The entry is held."""
        return self.held if self.held is not None and self.held > after else self.first_after(after)

    def first_after(self, after: int) -> int | None:
        """The job's first instant after `after`."""
        try:
            return self.job.next_ms(after)
        except TRIGGER_ERRORS:  # then the next decision parks the job
            return after + 1


class Lane:
    """The entries of one store, their timetable, and the end of the claim. Only the hub greenlet touches it."""

    def __init__(self, alias: str, store: BaseJobStore) -> None:
        self.alias = alias
        self.store = store
        self.entries: dict[str, Entry] = {}
        self.timetable: Timetable[Entry] = Timetable()
        self.claimed = NOTHING_CLAIMED
        self.expires = 0.0  # monotonic time; afterwards another node may have taken over the claim
        self.horizon = ALWAYS  # the store keeps the jobs that are due later
        self.time_base: int | None = None  # the store's time less the monotonic one, ms; None: it is the clock's
        self.clock_offset = 0  # by how many ms the store's time is ahead of the clock, as of the last turn
        self.unread = 0  # messages about jobs and runs that the hub has not handled
        self.owed: dict[Entry, deque[Run]] = {}  # runs outside the schedule that are due, and wait
        self.later = LaterRuns()  # such runs that are not due yet
        self.deadlines = Deadlines()
        self.retrying: dict[str, int] = {}  # how many failed attempts of each job are to be followed by others
        self.unsure: list[tuple[Job, Span]] = []  # given up while the claim did not hold
        self.elsewhere: Mapping[str, int] = {}  # runs in progress on the jobs' former nodes, by job id
        self.finishing = False  # no more claims, and instants that wait are not started
        self.finished = Event()  # the claimed instants are decided
        self.idle = Event()  # the last run in progress is settled
        self.released: dict[Entry, int] = {}  # the instants that waited for a free instance last
        self.replaceable: dict[Entry, list[Run]] = {}  # the runs of jobs that replace them, the oldest first
        self.tallies = Tallies()
        self.gates: Gates[Entry] = Gates()
        self._held: dict[Entry, None] = {}  # in the order in which they were held

    def admit(self, job: Job, due: int | None, fence: int) -> Entry:
        """Make `job` due at `due`, whatever its entry had before."""
        entry = self.entry(job)
        self.withdraw(entry)
        self._define(entry, job)
        entry.fence = fence
        entry.live, entry.until, entry.ahead = True, ALWAYS, 0
        if due is not None:
            self.timetable.add(entry, due)
        return entry

    def entry(self, job: Job) -> Entry:
        """The job's entry, a new one if it has none."""
        entry = self.entries.get(job.id)
        if entry is None:
            entry = self.entries[job.id] = Entry(job, self)
            self.gates.join(job.policy.group)
        return entry

    def change(self, job: Job) -> Entry | None:
        """Take a new definition with the same times; the job's entry, or None."""
        entry = self.entries.get(job.id)
        if entry is not None:
            self._define(entry, job)
        return entry

    def _define(self, entry: Entry, job: Job) -> None:
        """The entry's job is this from now on. In another group, it takes its turn there."""
        group = entry.job.policy.group
        if job.policy.group != group:
            if entry.held_by is Hold.GATE:
                self.go_on(entry)
            self.gates.leave(group, entry)
            self.gates.join(job.policy.group)
        entry.job = job

    def drop(self, job_id: str, until: int) -> None:
        """The job is not due here after `until`."""
        entry = self.entries.get(job_id)
        if until >= 0 and self.deadlines.of_runs:
            self.deadlines.hand_over(job_id)
        if entry is None:
            return
        entry.until = until
        if entry.first is None or entry.first > until:
            self.let_go(entry)

    def drop_all(self) -> None:
        """No job is due here any more."""
        for entry in self.owed:
            self.gates.settle_debt(entry.job.policy.group, entry)
        self.owed.clear()
        self.later = LaterRuns()
        self.deadlines = Deadlines()
        self.retrying.clear()
        self.unsure.clear()
        self.elsewhere = {}
        self.tallies = Tallies()
        for job_id in list(self.entries):
            self.drop(job_id, -1)

    def let_go(self, entry: Entry) -> None:
        """The entry is not due here any more. Its runs in progress go on."""
        self.withdraw(entry)
        entry.live = False
        self.retrying.pop(entry.job.id, None)
        self.forget_if_idle(entry)

    def hold(self, entry: Entry, due: int, by: Hold) -> None:
        """Let the entry's instant `due` wait."""
        entry.held, entry.held_by = due, by
        self._held[entry] = None
        if by is Hold.GATE:
            self.gates.hold(entry.job.policy.group, entry)

    def withdraw(self, entry: Entry) -> None:
        """The entry is not due any more."""
        self.timetable.remove(entry)
        if self.deadlines.of_waiting:
            self.deadlines.release(entry)
        self.release(entry)

    def go_on(self, entry: Entry) -> None:
        """Release a held entry: it is due at once."""
        due, was_parked = entry.held, entry.parked
        self.release(entry)
        if due is not None:
            self.put(entry, due)
            if not was_parked:
                self.released[entry] = due

    def put(self, entry: Entry, instant: int) -> None:
        """Put an entry that is not in the timetable there, at this instant of its job."""
        self.timetable.add(entry, instant - entry.ahead)

    def clock_was_set(self, by_ms: int) -> Iterator[None]:
        """The machine's clock was set. Yields after each entry.

        A trigger that goes by elapsed time goes on, ahead of a clock that was set back; otherwise it would stand still
        until the clock shows the same time again. Later runs go by elapsed time, too. A store with a time of its own is
        not affected.
        """
        if self.time_base is not None:
            return
        yield from self.later.shift(by_ms)
        yield from self.deadlines.shift(by_ms)
        if self.claimed < ALWAYS:  # claiming has stopped: instants that come again are not claimed
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

    def release(self, entry: Entry) -> None:
        """Hold the entry no longer."""
        if entry.held_by is Hold.GATE:
            self.gates.release(entry.job.policy.group, entry)
        entry.held = entry.held_by = None
        self._held.pop(entry, None)

    def parked_for(self, executor: str) -> list[Entry]:
        """The entries that are parked and name this executor."""
        return [entry for entry in self._held if entry.parked and entry.job.executor == executor]

    def waiting(self) -> list[Entry]:
        """The entries with an instant that waits for a run of the job to end, or for its turn in its group."""
        return [entry for entry in self._held if not entry.parked]

    def jobs(self) -> dict[str, int]:
        """How many entries are scheduled, wait with a due instant, or are parked; call it in any thread."""
        held = list(self._held)
        parked = {entry.job.id for entry in held if entry.parked}
        waiting = len(held) - len(parked)
        return {"scheduled": len(self.timetable), "waiting": waiting, "parked": len(parked | self.store.parked())}

    def first_undecided(self, after: int, late: Mapping[str, int]) -> int | None:
        """The earliest undecided instant after `after`, claimed or not, of jobs that are not parked.

        If an instant at or before `after` is undecided, the later instants of its job are undecided, too.

        :param late: for some waiting jobs, a later time than `after`
        """
        waiting = ((entry, max(after, late.get(entry.job.id, after))) for entry in self.waiting())
        known = [instant for entry, last in waiting if (instant := entry.first_held_after(last)) is not None]
        known += (max(span.first, after + 1) for _, span in self.unsure if span.end > after)
        due = self.timetable.next_due()
        return min(known if due is None else [max(due, after + 1), *known], default=None)

    def forget_if_idle(self, entry: Entry) -> None:
        """Forget an entry that is not due here, has no run in progress, and owes no run."""
        is_idle = not entry.live and not entry.running and entry not in self.owed
        if is_idle:
            self.released.pop(entry, None)
            if self.entries.get(entry.job.id) is entry:
                del self.entries[entry.job.id]
                self.gates.leave(entry.job.policy.group, entry)
                if self.tallies:
                    self.tallies.leave(entry.job.id, self.store.shared)

    def now(self, clock: Clock) -> int:
        """The store's time, ms. The time of a database does not jump when this machine's clock is set."""
        return clock.now_ms() if self.time_base is None else self.time_base + int(clock.monotonic() * 1000)

    def may_run_until(self, clock: Clock) -> int:
        """Instants up to this time, in the store's time, may run now. Called in every turn."""
        now = self._measured_now(clock)
        return min(now, self.claimed) if self.holds(clock) else NOTHING_CLAIMED

    def holds(self, clock: Clock) -> bool:
        """True while no other node can have taken over the claim."""
        return clock.monotonic() < self.expires

    def follow(self, time_base: int, clock: Clock) -> None:
        """Go by the store's own time."""
        self.time_base = time_base
        self.gates.time_is(monotonic_ms(clock), self._measured_now(clock))

    def _measured_now(self, clock: Clock) -> int:
        now = self.now(clock)
        if self.time_base is not None:
            self.clock_offset = now - clock.now_ms()
        return now

    def take_unbegun(self, job_id: str | None = None) -> list[Run]:
        """Take out the runs outside the schedule that have not begun: those of a job, or all."""
        entries = list(self.owed) if job_id is None else filter(None, [self.entries.get(job_id)])
        owed = [run for entry in entries for run in self._take_owed(entry)]
        return [*owed, *(self.later.take_all() if job_id is None else self.later.take_of(job_id))]

    def _take_owed(self, entry: Entry) -> Iterable[Run]:
        self.gates.settle_debt(entry.job.policy.group, entry)
        return self.owed.pop(entry, ())

    def awaits_runs(self, entry: Entry) -> bool:
        """True if runs of the job are to come outside its schedule, as far as the hub knows."""
        return entry.job.id in self.retrying or entry in self.owed or self.later.has(entry.job.id)

    def note_retry(self, job_id: str, change: int) -> None:
        """One more failed attempt of the job is to be followed by another, or one less."""
        count = self.retrying.get(job_id, 0) + change
        if count > 0:
            self.retrying[job_id] = count
        else:
            self.retrying.pop(job_id, None)

    def due_within(self, ms: int, clock: Clock, most: int) -> int:
        """How many jobs are due within so many ms, counted up to `most`."""
        return self.timetable.count_until(self.now(clock) + ms, most)

    def next_due(self, clock: Clock) -> int | None:
        """The next due time within the claim, in the store's time; None if there is none."""
        due = self.timetable.next_due()
        return due if due is not None and due <= self.claimed and self.holds(clock) else None

    def next_wakeup(self, clock: Clock) -> float | None:
        """The next time at which something is due, in the store's time; None if nothing is."""
        due = self.next_due(clock)
        gates = self.gates
        may_open = gates and (gates.open or gates.timers)  # without gates, nobody serves what is left of former ones
        if not (may_open or self.later.by_job or self.deadlines.of_runs or self.deadlines.of_waiting):
            return due  # the commonest case
        if gates.open and not self.finishing and self.may_run_until(clock) >= 0:
            return self.now(clock)
        times: list[float | None] = [due, self.deadlines.next_due()]
        if self.later.by_job:
            later = self.later.next_due()
            if later is not None and (self.store.shared or later <= self.claimed):
                times.append(later)
        if may_open and (opening := gates.next_opening()) is not None:
            times.append(self.now(clock) + opening - monotonic_ms(clock))
        return min((each for each in times if each is not None), default=None)

    def later_until(self, clock: Clock) -> int:
        """Later runs up to this time, in the store's time, may begin now. A shared store has claimed each of them."""
        return self.now(clock) if self.store.shared else min(self.now(clock), self.claimed)

    def has_served(self, clock: Clock) -> bool:
        """True if all claimed instants are decided, and none is still to come."""
        return self.next_due(clock) is None and (self.now(clock) >= self.claimed or not self.holds(clock))


def monotonic_ms(clock: Clock) -> float:
    """The time that no setting of a clock changes, in milliseconds."""
    return clock.monotonic() * 1000


def count_jobs(lanes: Iterable[Lane]) -> dict[str, int]:
    """How many jobs of the lanes are scheduled, wait with a due instant, or are parked; call it in any thread."""
    counts = [lane.jobs() for lane in lanes]
    return {state: sum(jobs[state] for jobs in counts) for state in ("scheduled", "waiting", "parked")}
