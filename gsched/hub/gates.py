"""Gates: what waits because its group has a limit, and when it may begin. Only the hub greenlet changes them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Final, Generic, TypeVar

from gsched.jobs.limits import NO_LIMITS, GroupLimit, GroupLimits
from gsched.stores.messages import NONE_ELSEWHERE

MOST_GROUPS: Final = 100  # in `Gates.activity`

_ANY: Final = 1 << 30  # runs
_ROUNDING: Final = 1e-6  # of a run: times are floats
_PART_MS: Final = 10_000  # starts are counted in sixths of a minute
_PARTS: Final = 6

EntryT = TypeVar("EntryT")


class Gate(Generic[EntryT]):
    """The gate of one group in one lane. Times are monotonic milliseconds.

    - Entries wait here, not runs: an entry has at most one place in the queue of due instants (`waiting`), and one in
      the queue of runs outside the schedule (`owed`). The two queues take turns.
    - Runs in progress, or waiting for a worker, count towards the concurrency: here and on the jobs' former nodes.
    - The rate is a token bucket with one number, `tat`: the time at which the bucket is full again (GCRA). A run may
      begin if now >= tat - (burst - 1) * period; then tat = max(tat, now) + period. So in any window of w seconds, at
      most rate * w + burst runs begin.

    :ivar limit: None if the group is paused and has no limit
    :ivar jobs: how many entries of the lane are in the group
    :ivar running: how many runs of the group are in progress or wait for a worker in this process
    :ivar elsewhere: how many are still in progress on other nodes, which owned the jobs before
    :ivar begun: how many runs have begun in the current sixth of a minute
    :ivar is_timed: False if time plays no part in what may begin; most runs need not read the clock then
    :ivar paused_until: the group is paused until then
    :ivar closed_until: a run has raised RateLimited
    :ivar waiting_since: since when somebody has been waiting without a break; None if nobody waits
    :ivar timer: when time may open the gate, if somebody waits for that
    """

    __slots__ = (
        "_begun_before", "_favoured", "_is_turn_of_owed", "_looked_at", "_most", "begun", "closed_until", "elsewhere",
        "group", "is_timed", "jobs", "limit", "owed", "paused_until", "running", "tat", "timer", "waiting",
        "waiting_since",
    )  # fmt: skip

    def __init__(self, group: str, limit: GroupLimit | None, paused_until: float) -> None:
        self.group = group
        self.jobs = self.running = self.elsewhere = self.begun = 0
        self.tat = self.closed_until = -inf
        self._looked_at = 0.0
        self.waiting: OrderedDict[EntryT, None] = OrderedDict()
        self.owed: OrderedDict[EntryT, None] = OrderedDict()
        self.waiting_since: float | None = None
        self.timer: float | None = None
        self._favoured: set[EntryT] = set()
        self._is_turn_of_owed = False
        self._begun_before: deque[int] = deque(maxlen=_PARTS - 1)
        self._obey(limit, paused_until)

    def _obey(self, limit: GroupLimit | None, paused_until: float) -> None:
        self.limit, self.paused_until = limit, paused_until
        self._most = _ANY if limit is None or limit.concurrency is None else limit.concurrency
        self._note_times()

    def _note_times(self) -> None:
        has_rate = self.limit is not None and self.limit.period_ms is not None
        self.is_timed = has_rate or self.paused_until > -inf or self.closed_until > -inf

    @property
    def is_awaited(self) -> bool:
        """True if somebody waits here."""
        return bool(self.waiting or self.owed)

    def is_closed(self, now: float) -> bool:
        """True if nothing may begin, whatever the limit allows."""
        return now < self.paused_until or now < self.closed_until

    def lets_pass(self, count: int) -> bool:
        """True if so many runs of a job that comes may begin, by a quick look: time plays no part, and nobody waits."""
        has_room = (count or 1) <= self._most - self.running - self.elsewhere
        return has_room and not (self.is_timed or self.waiting or self.owed)

    def room(self, now: float) -> int:
        """How many runs may begin now. `begin` counts them from this time on."""
        limit, self._looked_at = self.limit, now
        if now < self.paused_until or now < self.closed_until:
            return 0
        room = self._most - self.running - self.elsewhere
        if limit is None or limit.period_ms is None or room <= 0:
            return room
        wait = self.tat - now
        return min(room, limit.burst if wait <= 0 else int(limit.burst - wait / limit.period_ms + _ROUNDING))

    def opens(self, now: float) -> float:
        """When time will open the gate; infinity if something else does: the end of a run, or a change of the limit."""
        limit, opens = self.limit, max(self.paused_until, self.closed_until)
        if self.running + self.elsewhere >= self._most:
            return inf
        if limit is None or limit.period_ms is None:
            return opens
        return max(opens, self.tat - (limit.burst - 1) * limit.period_ms)

    def begin(self) -> None:
        """A run begins for which there was room a moment ago."""
        self.running += 1
        self.begun += 1
        if self.is_timed and self.limit is not None and self.limit.period_ms is not None:
            self.tat = max(self.tat, self._looked_at) + self.limit.period_ms

    def close(self, until: float, entry: EntryT) -> None:
        """A server refused the run of this entry: let no run begin until that time, and then this run first."""
        self.closed_until = max(self.closed_until, until)
        self._favoured.add(entry)
        self._note_times()

    def pause(self, until: float) -> None:
        """Let nothing begin until then."""
        self._obey(self.limit, until)

    def take(self) -> tuple[EntryT, bool]:
        """Take out the entry whose turn it is, and say if it has owed runs. At least one entry must wait."""
        is_owed = bool(self.owed) and (self._is_turn_of_owed or not self.waiting)
        self._is_turn_of_owed = not is_owed
        return (self.owed if is_owed else self.waiting).popitem(last=False)[0], is_owed

    def add_owed(self, entry: EntryT) -> None:
        """Let an entry wait with its owed runs."""
        self.owed.setdefault(entry)
        if entry in self._favoured:
            self._favoured.discard(entry)
            self.owed.move_to_end(entry, last=False)
            self._is_turn_of_owed = True

    def forget(self, entry: EntryT) -> None:
        """The entry is not in the group any more, or not in the lane."""
        self.waiting.pop(entry, None)
        self.owed.pop(entry, None)
        self._favoured.discard(entry)

    def fit(self, limit: GroupLimit | None, paused_until: float, now: float) -> None:
        """Take another limit and pause. The bucket lacks as many runs as before."""
        former = self.limit
        self._obey(limit, paused_until)
        if former is None or former.period_ms is None or limit is None or limit.period_ms is None:
            self.tat = -inf
        elif self.tat > now:
            self.tat = now + min((self.tat - now) / former.period_ms, limit.burst) * limit.period_ms

    def own_since(self, since: float) -> None:
        """This scheduler owns the group's jobs since then. The bucket was empty then: another scheduler may have spent
        what was in it."""
        if self.limit is not None and self.limit.period_ms is not None:
            self.tat = max(self.tat, since + self.limit.burst * self.limit.period_ms)

    def count_elsewhere(self, count: int, now: float) -> None:
        """So many runs are in progress on other nodes. Each that has ended there may have begun there lately."""
        ended, self.elsewhere = self.elsewhere - count, count
        if ended > 0 and self.limit is not None and self.limit.period_ms is not None:
            period, burst = self.limit.period_ms, self.limit.burst
            self.tat = max(self.tat, min(max(self.tat, now) + ended * period, now + burst * period))

    def count_anew(self, parts: int) -> None:
        """So many sixths of a minute have passed."""
        self._begun_before.extendleft([self.begun, *[0] * (parts - 1)][:_PARTS])
        self.begun = 0

    def activity(self, now: float, now_ms: int, parts: int) -> dict[str, Any]:
        """What it does, in plain values.

        :param now_ms: the same time, milliseconds since the epoch
        :param parts: how many sixths of a minute have passed that are not counted anew
        """
        since = self.waiting_since if self.is_awaited else None
        return {
            "group": self.group,
            "running": self.running + self.elsewhere,
            "waiting": len(self.waiting) + len(self.owed),
            "starts": sum([self.begun, *self._begun_before][: max(0, _PARTS - parts)]),
            "held_since": None if since is None else now_ms - round(now - since),
        }


class Gates(dict["str | None", Gate[EntryT]]):
    """The gates of a lane by group: of those groups with a limit or a pause that have jobs in the lane.

    Each decision looks whether there are any, and if so, whether there is one for the job's group; None is no group. A
    gate without jobs stays until its bucket is full: a job that comes again finds the bucket as it would be then.

    A new gate's bucket is full. In a shared store it was empty when this scheduler took the group's slot, and has been
    filling since then: the former owner may have spent it. That holds for new jobs of the group, too.

    A gate at which somebody waits is in `open`, or has a timer, or is full until a run of its group ends, or is paused
    without an end.

    :ivar limits: the limits and pauses of the store's groups
    :ivar open: gates that may let somebody pass. The hub serves them
    :ivar timers: when time may open gates (a heap): monotonic ms, a number that breaks ties, the gate
    """

    def __init__(self) -> None:
        super().__init__()
        self.limits = NO_LIMITS
        self.open: dict[Gate[EntryT], None] = {}
        self._elsewhere: Mapping[str, int] = NONE_ELSEWHERE
        self._paused_until: dict[str, float] = {}  # by pattern
        self._taken: dict[int, float] = {}  # when slots were taken, in a shared store
        self._slot_of: Callable[[str], int] = hash
        self.timers: list[tuple[float, int, Gate[EntryT]]] = []
        self._order = count()
        self._part = 0  # of all time, in sixths of a minute

    # -- jobs come and go -----------------------------------------------------------------------------------------

    def join(self, group: str | None) -> None:
        """A job of the group comes to the lane."""
        if group is None or self.limits is NO_LIMITS:
            return
        gate = self.get(group)
        if gate is None and (gate := self._made(group)) is not None:
            gate.own_since(self._owned_since(group))
        if gate is not None:
            gate.jobs += 1

    def leave(self, group: str | None, entry: EntryT) -> None:
        """A job of the group leaves the lane, or changes its group."""
        gate = self.get(group)
        if gate is None:
            return
        gate.forget(entry)
        gate.jobs -= 1
        self._leave_empty(gate)

    def _made(self, group: str) -> Gate[EntryT] | None:
        """A new gate for the group; None if it needs none."""
        limit, paused_until = self.limits.of(group), self._pause_of(group)
        if limit is None and paused_until == -inf:
            return None
        gate = self[group] = Gate(group, limit, paused_until)
        gate.elsewhere = self._elsewhere.get(group, 0)
        return gate

    def take_slots(self, numbers: Collection[int], slot_of: Callable[[str], int], now: float) -> None:
        """This scheduler owns the jobs in these slots from now on."""
        self._taken.update(dict.fromkeys(numbers, now))
        self._slot_of = slot_of
        for gate in self.values():
            gate.own_since(self._owned_since(gate.group))

    def _owned_since(self, group: str) -> float:
        return self._taken.get(self._slot_of(group), -inf) if self._taken else -inf

    # -- waiting --------------------------------------------------------------------------------------------------

    def hold(self, group: str | None, entry: EntryT) -> None:
        """Let an entry wait for its turn with its due instants."""
        gate = self[group]
        self._await(gate)
        gate.waiting[entry] = None

    def owe(self, gate: Gate[EntryT], entry: EntryT) -> None:
        """Let an entry wait for its turn with its owed runs."""
        self._await(gate)
        gate.add_owed(entry)

    def release(self, group: str | None, entry: EntryT) -> None:
        """The entry's due instants do not wait here any more."""
        if (gate := self.get(group)) is not None:
            gate.waiting.pop(entry, None)

    def settle_debt(self, group: str | None, entry: EntryT) -> None:
        """The entry has no owed runs any more."""
        if (gate := self.get(group)) is not None:
            gate.owed.pop(entry, None)

    def _await(self, gate: Gate[EntryT]) -> None:
        if not gate.is_awaited:  # otherwise it is open, or it is known what opens it
            gate.waiting_since = None
            self.open[gate] = None

    # -- what opens gates -------------------------------------------------------------------------------------------

    def has_room(self, gate: Gate[EntryT]) -> None:
        """A run of the gate's group has ended here, and somebody waits, or the run was the last of the group."""
        if gate.is_awaited:
            self.open[gate] = None
        else:
            self._leave_empty(gate)

    def count_elsewhere(self, counts: Mapping[str, int], now: float) -> None:
        """So many runs of each group are in progress on other nodes."""
        self._elsewhere = counts
        for gate in self.values():
            gate.count_elsewhere(counts.get(gate.group, 0), now)
        self._open_all()

    def rest(self, gate: Gate[EntryT], now: float) -> None:
        """Nobody may pass the gate now."""
        self.open.pop(gate, None)
        if gate.is_awaited:
            if gate.waiting_since is None:
                gate.waiting_since = now
            self._start_timer(gate, gate.opens(now))
        else:
            gate.waiting_since = None
            self._forget_if_idle(gate, now)

    def wake(self, now: float) -> None:
        """Time has passed: look at the gates that it opens."""
        if (part := int(now // _PART_MS)) != self._part:
            for gate in self.values():
                gate.count_anew(part - self._part)
            self._part = part
        while self.timers and self.timers[0][0] <= now:
            gate = heappop(self.timers)[2]
            gate.timer = None
            if gate.is_awaited:
                self.open[gate] = None
            else:
                self._forget_if_idle(gate, now)

    def next_opening(self) -> float | None:
        """When time opens a gate next (monotonic ms); None if it opens none."""
        return self.timers[0][0] if self.timers else None

    def _start_timer(self, gate: Gate[EntryT], at: float) -> None:
        if at < inf and (gate.timer is None or at < gate.timer):
            gate.timer = at
            heappush(self.timers, (at, next(self._order), gate))

    def _open_all(self) -> None:
        self.open.update((gate, None) for gate in self.values() if gate.is_awaited)

    def _leave_empty(self, gate: Gate[EntryT]) -> None:
        """Forget the gate when its bucket is full, if it has no jobs any more."""
        if not gate.jobs and not gate.running:
            self._start_timer(gate, gate.tat)

    def _forget_if_idle(self, gate: Gate[EntryT], now: float) -> None:
        if gate.limit is None:
            is_idle = not gate.is_closed(now)
        else:
            is_idle = not gate.jobs and not gate.running and gate.tat <= now
        if is_idle and not gate.is_awaited and self.get(gate.group) is gate:
            del self[gate.group]

    # -- limits and pauses --------------------------------------------------------------------------------------------

    def set_limits(
        self, limits: GroupLimits, jobs: Mapping[str, int], running: Mapping[str, int], now: float, now_ms: int
    ) -> None:
        """The limits and pauses of the groups are these from now on. Runs in progress go on.

        :param jobs: how many jobs of the lane are in each group
        :param running: how many runs of each group are in progress, or wait for a worker
        :param now_ms: the same time as `now`, in the lane's time
        """
        self.limits = limits
        self._time_pauses(now, now_ms)
        for gate in list(self.values()):
            gate.fit(limits.of(gate.group), self._pause_of(gate.group), now)
            self._forget_if_idle(gate, now)
        for group in jobs.keys() - self.keys():
            self._made(group)
        for gate in self.values():  # while a group had no limit, nothing was counted
            gate.jobs, gate.running = jobs.get(gate.group, 0), running.get(gate.group, 0)
        self._open_all()

    def time_is(self, now: float, now_ms: int) -> None:
        """The lane's time was set: pauses end by that time."""
        if self.limits.pauses:
            self._time_pauses(now, now_ms)
            for gate in self.values():
                gate.pause(self._pause_of(gate.group))
            self._open_all()

    def _time_pauses(self, now: float, now_ms: int) -> None:
        ends = {pattern: pause.until_ms for pattern, pause in self.limits.pauses.items()}
        self._paused_until = {pattern: inf if end is None else now + end - now_ms for pattern, end in ends.items()}

    def _pause_of(self, group: str) -> float:
        """When the last of the group's pauses ends; minus infinity if it has none."""
        return max((self._paused_until[pattern] for pattern in self.limits.paused_patterns(group)), default=-inf)

    # -- looking --------------------------------------------------------------------------------------------------

    def activity(self, now: float, now_ms: int) -> list[dict[str, Any]]:
        """What the gates do, in plain values: those at which most wait, at most MOST_GROUPS. Call it in any thread."""
        gates = sorted([*self.values()], key=lambda gate: (-len(gate.waiting) - len(gate.owed), gate.group))
        parts = int(now // _PART_MS) - self._part
        return [gate.activity(now, now_ms, parts) for gate in gates[:MOST_GROUPS] if gate.jobs]
