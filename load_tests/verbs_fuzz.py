"""All verbs at random, from several users at once, while nodes and their database are killed and frozen.

What has to hold is compared with the files that the jobs write:

- no instant of a definition runs twice, unless as a recovery of a job that asks for it
- a verb returns, or raises a documented error, in time
- in the end every job that is there is on time, and paused and removed ones are silent
- no more than max_instances runs of a job are in progress at once
- the history has the outcome of everything that began, and of every run that was asked for
- `explain` says of what began what the history says

Run: python load_tests/verbs_fuzz.py [--store memory|mongodb] [--seed N] [--seconds S]; ends with 1 if something fails
"""

from __future__ import annotations

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import argparse
import logging
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import gevent

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

from cluster.checker import Lines
from cluster.jobs import recorder
from cluster.rig import Cluster, ReplicaSet, scratch

from gsched import GeventScheduler, GschedError, MemoryJobStore, MongoDBJobStore
from gsched.history import RunInfo
from gsched.instants import from_ms

TTL = 3.0
USERS = 5
IDS = 30
LONGEST_VERB = 45.0  # seconds, while the database is away again and again
LONGEST_RUN = 4.0
SLACK = 6.0  # what a busy machine gets on top of a period
QUIET = 4 * TTL + LONGEST_RUN + SLACK  # seconds at the end in which nobody disturbs


class Traits:
    """What an id's jobs have in common, whatever else is changed: so that lines can be judged."""

    def __init__(self, job_id: str, random: Random) -> None:
        self.id = job_id
        self.recover = random.random() < 0.5
        self.max_instances = random.choice((1, 1, 3))
        self.seconds = random.choice((0, 0, 0.3, LONGEST_RUN))
        self.fails = random.random() < 0.2

    def options(self, number: int) -> dict[str, Any]:
        shared = {"id": self.id, "recover": self.recover, "max_instances": self.max_instances}
        return {"func": "cluster.jobs:numbered", "args": [number, self.seconds, self.fails], **shared}


class User:
    """Calls verbs until told to stop, and notes what they raise and how long they take."""

    def __init__(self, scheduler: GeventScheduler, traits: list[Traits], seed: float, numbers: Iterator[int]) -> None:
        self._scheduler, self._traits, self._random, self._numbers = scheduler, traits, Random(seed), numbers
        self.problems: list[str] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[str] = []
        self.resumed: list[tuple[str, float]] = []

    def run(self, until: float) -> None:
        while time.time() < until:
            verb = self._random.choice(self._VERBS)
            began, name, raised = time.monotonic(), verb.__name__.strip("_"), ""
            try:
                verb(self, self._random.choice(self._traits))
            except GschedError as error:
                raised = f" {type(error).__name__}"
            except Exception as error:
                self.problems.append(f"{name} raised {error!r}")
            took = time.monotonic() - began
            self.calls[name + raised] += 1
            if took > LONGEST_VERB:
                self.problems.append(f"{name} took {took:.1f} s{raised}")
            gevent.sleep(self._random.choice((0.0, 0.01, 0.1)))

    def _schedule(self) -> dict[str, Any]:
        if self._random.random() < 0.1:
            return {"trigger": "date", "run_date": self._soon()}
        return {"trigger": "interval", "seconds": self._random.choice((0.3, 0.5, 1, 2))}

    def _soon(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._random.uniform(0, 2))

    def _add(self, its: Traits) -> None:
        self._scheduler.add_job(**its.options(next(self._numbers)), **self._schedule())

    def _replace(self, its: Traits) -> None:
        self._scheduler.add_job(**its.options(next(self._numbers)), **self._schedule(), replace_existing=True)

    def _add_many(self, its: Traits) -> None:
        some = self._random.sample(self._traits, 4)
        jobs = [{**each.options(next(self._numbers)), **self._schedule()} for each in some]
        self._scheduler.add_jobs(jobs, replace_existing=True)

    def _modify(self, its: Traits) -> None:
        self._scheduler.modify_job(its.id, name=f"name{self._random.random()}")

    def _move(self, its: Traits) -> None:
        self._scheduler.modify_job(its.id, next_run_time=self._soon())

    def _reschedule(self, its: Traits) -> None:
        self._scheduler.reschedule_job(its.id, **self._schedule())

    def _pause(self, its: Traits) -> None:
        self._scheduler.pause_job(its.id)

    def _resume(self, its: Traits) -> None:
        self.resumed.append((its.id, time.time()))
        self._scheduler.resume_job(its.id)

    def _pause_and_resume(self, its: Traits) -> None:
        self._scheduler.pause_job(its.id)
        self._resume(its)

    def _remove(self, its: Traits) -> None:
        self._scheduler.remove_job(its.id)

    def _remove_and_add(self, its: Traits) -> None:
        self._scheduler.remove_job(its.id)
        self._add(its)

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
        *(_remove, _remove_and_add, _request, _request, _look, _explain),
    )


class Place:
    """Where the jobs run.

    :ivar lines: what they wrote
    :ivar scheduler: for whoever judges
    """

    lines: Lines
    scheduler: GeventScheduler

    def make_user(self) -> GeventScheduler:
        """A scheduler for one user."""
        return self.scheduler

    def disturb(self, random: Random, until: float) -> None:
        """Do damage for so long; then everything is as it should be."""
        gevent.sleep(max(0.0, until - time.time()))

    def cut_off(self, line: dict[str, Any]) -> float | None:
        """When the node of this line was killed, or frozen, after it: what it did from then on, nobody answers for."""
        return None

    def end(self) -> None:
        """Stop running jobs."""


class InMemory(Place):
    """A scheduler of this process, with the memory store."""

    def __init__(self, directory: Path) -> None:
        recorder.node, recorder.path = "here", str(directory / "runs.jsonl")
        self.lines = Lines(directory / "runs.jsonl")
        store = MemoryJobStore(history_successes="all", history_size=1_000_000)
        self.scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC", modules=["cluster.jobs"])
        self.scheduler.start()

    def end(self) -> None:
        self.scheduler.pause()
        while self.scheduler.get_running():
            gevent.sleep(0.05)

    def close(self) -> None:
        self.scheduler.shutdown()


class InMongoDB(Place):
    """Three nodes and a database that are killed and frozen."""

    def __init__(self, directory: Path) -> None:
        self._server = ReplicaSet(directory / "server")
        self._cluster = Cluster(self._server.uri, directory, node_ttl=TTL)
        self._names = (f"node{number}" for number in count())
        self.lines, self.scheduler = self._cluster.runs, self._cluster.scheduler
        self._users: list[GeventScheduler] = []
        self._cluster.start_and_wait(*(next(self._names) for _ in range(3)), lifetime=86_400)

    def make_user(self) -> GeventScheduler:
        store = MongoDBJobStore(self._cluster.uri, database=self._cluster.database)
        self._users.append(GeventScheduler(jobstores={"default": store}, timezone="UTC"))
        return self._users[-1]

    def disturb(self, random: Random, until: float) -> None:
        while time.time() < until:
            gevent.sleep(random.uniform(0.5, 4))
            nodes = (self._kill, self._kill, self._freeze, self._stop)
            random.choice((*nodes, *nodes, self._kill_server, self._freeze_server))(random)

    def _any(self, random: Random) -> str:
        return random.choice([name for name, node in self._cluster.nodes.items() if node.alive()])

    def _kill(self, random: Random) -> None:
        self._cluster.kill(self._any(random))
        self._start()

    def _stop(self, random: Random) -> None:
        self._cluster.nodes[self._any(random)].ask_to_end()
        self._start()

    def _freeze(self, random: Random) -> None:
        name = self._any(random)
        self._cluster.freeze(name)
        gevent.sleep(random.uniform(0.3, 1.7) * TTL)
        self._cluster.nodes[name].thaw()

    def _kill_server(self, random: Random) -> None:
        self._server.members[0].kill()
        gevent.sleep(random.uniform(0, TTL))
        self._server.members[0].start_again()
        gevent.sleep(2 * TTL)

    def _freeze_server(self, random: Random) -> None:
        self._server.members[0].freeze()
        gevent.sleep(random.uniform(0, TTL))
        self._server.members[0].thaw()

    def _start(self) -> None:
        self._cluster.start(next(self._names), lifetime=86_400)

    def cut_off(self, line: dict[str, Any]) -> float | None:
        ended = self._cluster.ended.get(line["node"], [])
        return min((when for when in ended if when >= line["time"] - SLACK), default=None)

    def end(self) -> None:
        self._cluster.stop()

    def close(self) -> None:
        for each in self._users:
            each.close()
        self._cluster.close()
        self._server.end_at_once()


class Judge:
    """Compares what the jobs wrote with what is said of them."""

    def __init__(self, place: Place, traits: list[Traits]) -> None:
        self._place, self._traits = place, {each.id: each for each in traits}
        self.problems: list[str] = []
        self._starts: list[dict[str, Any]] = []
        self._ends: set[tuple[Any, ...]] = set()
        self._by_job: defaultdict[str, list[RunInfo]] = defaultdict(list)

    def judge(self, calm: float, users: list[User]) -> None:
        """:param calm: since when nobody calls verbs or disturbs"""
        resumed = [each for user in users for each in user.resumed]
        jobs = {job.id: job for job in self._place.scheduler.get_jobs()}
        over = time.time()
        self._place.end()
        lines = self._place.lines.all()
        self._starts = [line for line in lines if line["what"] == "start"]
        self._ends = {self._key(line) for line in lines if line["what"] == "end"}
        runs = self._place.scheduler.get_runs(limit=10_000_000)
        for run in runs:
            self._by_job[run.job_id].append(run)
        self._judge_attempts(resumed)
        self._judge_instances(lines)
        self._judge_end(jobs, calm, over)
        self._judge_outcomes()
        self._judge_requests([each for user in users for each in user.requests])
        self._judge_explanations(jobs)

    @staticmethod
    def _key(line: dict[str, Any]) -> tuple[Any, ...]:
        return line["job"], line["number"], line["at"], line["request"], line["attempt"]

    def _judge_attempts(self, resumed: list[tuple[str, float]]) -> None:
        """A job that is resumed right before an instant, of which its owner has not heard, is due then once more."""
        for key, times in Counter(self._key(line) for line in self._starts).items():
            just_resumed = any(job == key[0] and 0 < key[2] / 1000 - at < LONGEST_VERB for job, at in resumed)
            if times > 1 and not just_resumed:
                self.problems.append(f"{key} began {times} times")
            if key[-1] > 1 and not self._traits[key[0]].recover:
                self.problems.append(f"{key} began again, and its job does not recover")

    def _judge_instances(self, lines: list[dict[str, Any]]) -> None:
        """Of nodes that were killed or frozen nobody answers for what they have in progress."""
        running: defaultdict[str, set[tuple[Any, ...]]] = defaultdict(set)
        for line in sorted(lines, key=lambda line: line["time"]):
            its = running[line["job"]]
            if line["what"] == "end":
                its.discard(self._key(line))
            elif self._place.cut_off(line) is None:
                its.add(self._key(line))
                if len(its) > self._traits[line["job"]].max_instances:
                    self.problems.append(f"{len(its)} runs of {line['job']} at once: {sorted(its, key=str)}")

    def _judge_end(self, jobs: dict[str, Any], calm: float, over: float) -> None:
        last: dict[str, float] = {}
        for line in self._starts:
            if line["request"] is None and line["attempt"] == 1:
                last[line["job"]] = max(line["time"], last.get(line["job"], 0))
        for job_id in self._traits:
            job = jobs.get(job_id)
            if job is None or job.definition.paused:
                if last.get(job_id, 0) > calm + SLACK:
                    self.problems.append(f"{job_id} ran {last[job_id] - calm:.1f} s after the last verb: {job}")
            elif last.get(job_id, 0) < over - LONGEST_RUN - SLACK:
                self.problems.append(f"{job_id} ran last {over - last.get(job_id, 0):.1f} s before the end: {job}")

    def _judge_outcomes(self) -> None:
        for line in self._starts:
            if not self._outcome_of(line):
                cut = self._place.cut_off(line)
                self.problems.append(f"{self._key(line)} began on {line['node']} and has no outcome; cut off: {cut}")

    def _outcome_of(self, line: dict[str, Any]) -> str | None:
        """What the history says of a run, or of a later attempt at it."""
        name = f"{line['job']}!{line['request']}" if line["request"] else None
        for run in self._by_job.get(line["job"], ()):
            is_it = run.run_id == name if name else run.request is None and run.scheduled_at == from_ms(line["at"])
            if is_it and run.attempt >= line["attempt"] and run.outcome != "running":
                return str(run.outcome)
            if run.until is not None and not name and run.scheduled_at <= from_ms(line["at"]) < run.until:
                return str(run.outcome)
        return None

    def _judge_requests(self, requests: list[str]) -> None:
        known = {run.run_id for its in self._by_job.values() for run in its if run.outcome != "running"}
        self.problems += [f"{each} was asked for, and has no outcome" for each in requests if each not in known]

    def _judge_explanations(self, jobs: dict[str, Any]) -> None:
        recent = [line for line in self._starts if line["request"] is None and line["job"] in jobs][-100:]
        for line in recent:
            said = self._place.scheduler.explain(line["job"], from_ms(line["at"]))
            outcome = self._outcome_of(line)
            if outcome is not None and said.outcome != outcome and said.outcome not in ("coalesced", "lost"):
                self.problems.append(f"{self._key(line)} is {outcome}, but explained as {said}")


PLACES: dict[str, Callable[[Path], Any]] = {"memory": InMemory, "mongodb": InMongoDB}


@contextmanager
def place_of(store: str) -> Iterator[Any]:
    with scratch() as directory:
        place = PLACES[store](directory)
        try:
            yield place
        finally:
            place.close()


def fuzz(store: str, seed: int, seconds: float) -> list[str]:
    """What does not hold."""
    random = Random(seed)
    traits = [Traits(f"job{number}", random) for number in range(IDS)]
    with place_of(store) as place:
        numbers = count(1)
        users = [User(place.make_user(), traits, random.random(), numbers) for _ in range(USERS)]
        until = time.time() + seconds
        calling = [gevent.spawn(user.run, until) for user in users]
        place.disturb(Random(random.random()), until)
        gevent.joinall(calling, timeout=2 * LONGEST_VERB)
        problems = [f"a verb has not returned: {each}" for each in calling if not each.dead]
        calm = time.time()
        gevent.sleep(QUIET)
        judge = Judge(place, traits)
        judge.judge(calm, users)
        calls = sum((user.calls for user in users), Counter())
        print(f"{store}, seed {seed}: {len(judge._starts)} runs, {calls.total()} calls: {dict(calls.most_common())}")
        return [*problems, *(each for user in users for each in user.problems), *judge.problems]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=PLACES, action="append", help="default: each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    logging.getLogger("gsched").setLevel(logging.CRITICAL)  # jobs are meant to fail
    problems = [
        f"{store}, seed {options.seed}: {problem}"
        for store in options.store or PLACES
        for problem in fuzz(store, options.seed, options.seconds)
    ]
    print("\n".join([*problems[:50], f"{len(problems)} problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
