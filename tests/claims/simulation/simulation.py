"""One history: nodes, users and faults, as a seed has them; then quiet, until the dust has settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gsched.jobs.limits import GroupLimit, GroupLimits

from .cluster import Database
from .ledger import MARGIN, Ledger
from .process import Process
from .users import Users
from .world import BEGINNING, World, real_code_in

SLOTS = 6
CHAOS = 16_000  # ms in which things go wrong
QUIET = 8_000  # ms after that


class Verdict(NamedTuple):
    """What became of a seed."""

    problems: list[str]
    dispatched: int
    digest: int


class Scenario(NamedTuple):
    """What may go wrong.

    :ivar faults: kinds of what happens to nodes, as often as they are named
    :ivar trouble: kinds of what happens to single requests, with their shares
    :ivar spoils: how many jobs cannot be run by some nodes
    :ivar pauses_end: how many of the users' writes begin or end a pause that has an end
    :ivar counted: how many jobs end after so many runs
    :ivar groups: how many jobs are in groups
    :ivar limits: groups have limits, and no job changes its group; otherwise many do
    :ivar one_machine: whether all nodes are on one machine, and see when the processes of others have ended
    :ivar punctual: whether everything has to run on time, once the nodes have begun, because nothing goes wrong
    """

    nodes: int
    jobs: int
    faults: tuple[str, ...] = ()
    trouble: tuple[tuple[str, float], ...] = ()
    slowness: float = 0.0
    feed_trouble: float = 0.0
    writes: float = 0.3  # how many of the things that happen are writes of users
    skew: int = 0
    spoils: float = 0.0
    one_machine: bool = False
    pauses_end: float = 0.0
    counted: float = 0.0
    groups: float = 0.0
    limits: bool = False
    punctual: bool = False


def scenario_of(world: World) -> Scenario:
    """A scenario at random: any kind of fault may be absent, so that one kind also meets calm."""
    kinds = ("kill", "pause", "cut", "outage", "jump", "stop", "join", "failover")
    faults = [kind for kind in kinds if world.chance(0.4)]
    trouble = [(kind, world.random.choice((0.01, 0.05))) for kind in ("refused", "silent", "late") if world.chance(0.3)]
    return Scenario(
        nodes=world.random.randint(1, 3),
        jobs=world.random.randint(1, 8),
        faults=tuple(faults),
        trouble=tuple(trouble),
        slowness=world.random.choice((0.0, 0.0, 0.02, 0.1)),
        feed_trouble=world.random.choice((0.0, 0.0, 0.3)),
        writes=world.random.choice((0.0, 0.3, 0.7)),
        skew=world.random.choice((0, 0, 300, 5000)),
        spoils=world.random.choice((0.0, 0.0, 0.3)),
    )


STORMS = {
    "pauses": Scenario(3, 6, ("pause", "pause", "join"), (), slowness=0.1, writes=0.5),
    "beats": Scenario(3, 4, ("pause",), (), slowness=0.5, writes=0.1),
    "kills": Scenario(3, 6, ("kill", "kill", "join"), (), slowness=0.1, writes=0.3),
    "stops": Scenario(3, 6, ("stop", "cut", "outage"), (("silent", 0.05),), slowness=0.1),
    "moves": Scenario(2, 6, ("stop", "join", "kill"), (), slowness=0.1, writes=0.1),
    "slow moves": Scenario(3, 8, ("join", "join", "kill"), (), slowness=0.4, writes=0.1),
    "silent moves": Scenario(3, 6, ("join", "stop", "pause"), (("silent", 0.1), ("late", 0.1)), 0.3, 0.0, 0.1),
    "late writes": Scenario(3, 6, ("pause", "cut", "kill"), (("late", 0.1), ("silent", 0.05)), 0.1, 0.3, 0.5),
    "failovers": Scenario(3, 6, ("failover", "failover", "kill", "join", "stop"), (("silent", 0.03),), 0.1, 0.3, 0.5),
    "spoilt jobs": Scenario(
        3, 8, ("join", "kill", "stop", "pause"), (("silent", 0.03), ("late", 0.03)), 0.1, 0.2, 0.4, spoils=0.6
    ),
    "changes": Scenario(2, 5, ("kill", "kill", "pause", "join"), (("silent", 0.02),), slowness=0.1, writes=0.6),
    "one machine": Scenario(
        3, 6, ("kill", "kill", "pause", "join", "stop"), (("late", 0.05), ("silent", 0.03)), 0.1, one_machine=True
    ),
    "alone": Scenario(1, 2, writes=0.7, punctual=True),
    "newcomers": Scenario(1, 3, ("join", "stop", "kill", "pause"), (("silent", 0.02),), 0.1, writes=0.4),
    "pauses that end": Scenario(
        2, 6, ("kill", "join", "stop"), (("silent", 0.03),), 0.1, 0.3, writes=0.8, pauses_end=0.6
    ),
    "counted runs": Scenario(
        3, 6, ("kill", "kill", "join", "stop", "pause"), (("silent", 0.03), ("late", 0.03)), 0.1, 0.2, 0.3, counted=0.9
    ),
    "groups": Scenario(
        3, 6, ("kill", "join", "stop", "pause"), (("silent", 0.03), ("late", 0.03)), 0.1, 0.2, writes=0.6, groups=0.7
    ),
    "limits": Scenario(
        3, 8, ("kill", "join", "stop", "pause"), (("silent", 0.03),), 0.1, 0.2, groups=1.0, limits=True
    ),
    "users": Scenario(2, 3, ("kill", "join"), (("silent", 0.03),), slowness=0.3, feed_trouble=0.3, writes=0.9),
}
"""Much of one kind of trouble."""


class Simulation:
    """Runs one seed.

    :param scenario: instead of one at random
    :param show: told what happens
    """

    def __init__(
        self, seed: int, scenario: Scenario | None = None, show: Callable[[str], object] | None = None
    ) -> None:
        self.world = World(seed, show)
        self.scenario = scenario or scenario_of(self.world)
        self.database = Database(SLOTS, BEGINNING - 1)
        self.database.one_machine = self.scenario.one_machine
        self.database.announce = self._announce
        self.ledger = Ledger(self.world, self.database)
        if self.scenario.punctual:
            self.ledger.punctual_from = BEGINNING + 2_000
        self.users = Users(self.world, self.database, self.ledger, self._announce)
        self.users.spoils = self.scenario.spoils
        self.users.pauses_end = self.scenario.pauses_end
        self.users.counted = self.scenario.counted
        self.users.groups = self.scenario.groups
        if self.scenario.limits:
            self.ledger.limits = GroupLimits([GroupLimit("one", 1), GroupLimit("two", 2, 500.0, 2)])
            self.users.regroups = False
        self._processes = self.ledger.processes
        self._count = 0
        self._calm = False

    def run(self) -> Verdict:
        """Live through it."""
        self.world.note(f"{self.scenario}")
        with real_code_in(self.world, SLOTS):
            for _ in range(self.scenario.nodes):
                self.world.at(self.world.random.randrange(1000), None, self._start)
            for _ in range(self.scenario.jobs):
                self.world.at(self.world.random.randrange(3000), None, lambda: self._let_users(self.users.add))
            self.world.at(2000, None, self._disturb)
            self.world.at(0, None, self._look)
            self.world.run(BEGINNING + CHAOS)
            self._calm_down()
            self.world.run(BEGINNING + CHAOS + QUIET)
            self.ledger.check_end(self.world.now - MARGIN)
            self.world.end()
        return Verdict(self.ledger.problems, self.ledger.count, self.world.digest)

    # -- nodes --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._count += 1
        skew = self.world.random.randint(-self.scenario.skew, self.scenario.skew)
        process = Process(self.world, self.database, self.ledger, self._count, skew)
        if not self._calm:
            process.network.trouble = dict(self.scenario.trouble)
            process.network.slowness = self.scenario.slowness
        self._processes.append(process)

    def _living(self) -> list[Process]:
        return [process for process in self._processes if not process.dead and not process.stopping]

    def _look(self) -> None:
        self.ledger.check_owners(self.database.slots)
        self.world.at(100, None, self._look)

    # -- the change feed ------------------------------------------------------------------------------------------

    def _announce(self, job_id: str) -> None:
        for process in self._processes:
            if process.dead:
                continue
            trouble = self.world.chance(0 if self._calm else self.scenario.feed_trouble)
            kind = self.world.random.choice(("lost", "doubled", "delayed", "reopened")) if trouble else "heard"
            self._tell(process, job_id, kind)

    def _tell(self, process: Process, job_id: str, kind: str) -> None:
        store, random = process.store, self.world.random
        soon, later = random.choice((0, 2, 20)), random.randrange(20, 4000)
        if kind in ("heard", "doubled"):
            self.world.at(soon, process, lambda: store.hear(job_id))
        if kind in ("doubled", "delayed"):
            self.world.at(later, process, lambda: store.hear(job_id))
        if kind == "reopened":
            self.world.at(later, process, store.rescan)

    def _let_users(self, write: Callable[[], None]) -> None:
        """Users' writes are confirmed, or wait until they can be."""
        if self.database.is_cut_off():
            self.world.at(100, None, lambda: self._let_users(write))
        else:
            write()

    # -- what goes wrong ------------------------------------------------------------------------------------------

    def _disturb(self) -> None:
        if self._calm:
            return
        if self.world.chance(self.scenario.writes):
            self._let_users(self.users.do_something)
        elif self.scenario.faults:
            kind = self.world.random.choice(self.scenario.faults)
            self.world.note(f"fault: {kind}")
            getattr(self, f"_{kind}")()
        self.world.at(self.world.random.randrange(20, 900), None, self._disturb)

    def _victim(self) -> Process | None:
        living = self._living()
        return self.world.random.choice(living) if living else None

    def _kill(self) -> None:
        running = [process for process in self._processes if not process.dead]
        if running:  # also one that is about to stop
            self.world.random.choice(running).kill()
            self.world.at(self.world.random.randrange(3000), None, self._start)

    def _pause(self) -> None:
        if (process := self._victim()) is not None:
            process.stand_still()
            self.world.at(self.world.random.choice((100, 1000, 2500, 6000)), None, process.go_on)

    def _cut(self) -> None:
        if (process := self._victim()) is not None:
            process.network.cut_until = self.world.now + self.world.random.choice((200, 1500, 4000))

    def _outage(self) -> None:
        until = self.world.now + self.world.random.choice((200, 1500, 4000))
        for process in self._processes:
            process.network.cut_until = until

    def _failover(self) -> None:
        """The primary is cut off from the other members, and after a while one of them takes its place."""
        if not self.database.is_cut_off():
            self.database.cut_off()
            self.world.at(self.world.random.choice((50, 500, 1500, 4000)), None, self._elect)

    def _elect(self) -> None:
        if self.database.is_cut_off():
            self.world.note("another primary")
            self.database.fail_over()

    def _jump(self) -> None:
        if (process := self._victim()) is not None:
            by = self.world.random.choice((-10_000, -700, 700, 3000, 10_000))
            self.world.note(f"{process.name}: the clock jumps by {by}")
            process.clock.skew += by
            self.world.at(self.world.random.randrange(2000), process, process.hub.wake)

    def _stop(self) -> None:
        if (process := self._victim()) is not None:
            process.stop()
            self.world.at(self.world.random.randrange(2000), None, self._start)

    def _join(self) -> None:
        if len(self._living()) < 4:
            self._start()

    def _calm_down(self) -> None:
        self.world.note("calm")
        self._calm = True
        self._elect()
        for process in self._processes:
            process.network.trouble, process.network.slowness, process.network.cut_until = {}, 0.0, 0
            process.go_on()
        if self.world.chance(0.5):
            self.users.mend()
        if not self._living():
            self._start()
