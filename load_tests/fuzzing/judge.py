"""Compares what the jobs wrote with what the store tells of them, and with what was done to their nodes."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from fuzzing.cpu_waits import CpuWaits
from fuzzing.places import SLACK, TAKEOVER_SLICE, TTL, Place
from fuzzing.users import LONGEST_RUN, SOON, WITNESS_PERIOD, Imported, Traits, User
from gsched.history.queries import RunInfo
from gsched.times.instants import from_ms, to_ms

OPEN = ("running", "waiting")  # in place of the outcomes of attempts that have none
LONGEST_PAUSE = WITNESS_PERIOD + TTL + TAKEOVER_SLICE
# How long after the last verb a job may begin a last run: it is due a little later, and waits for a run to end.
LATE_END = SOON + LONGEST_RUN + SLACK


class Judge:
    """Judges one fuzz.

    :param since: when its jobs had been added
    :ivar runs: what the history has
    :ivar count: how many runs began
    :ivar longest_pause: for how long, in seconds, a witness was not run after the last damage
    """

    def __init__(self, place: Place, traits: list[Traits], waits: CpuWaits, since: float) -> None:
        self._waits, self._since = waits, since
        self._place, self._traits = place, {each.id: each for each in traits}
        self.problems: list[str] = []
        self.runs: list[RunInfo] = []
        self.count = 0
        self.longest_pause = 0.0
        self._starts: list[dict[str, Any]] = []
        self._by_job: defaultdict[str, list[RunInfo]] = defaultdict(list)
        # The same by run and, of those without a run, by job: an hour has 200,000 of them.
        self._by_run: defaultdict[tuple[str, str | int], list[RunInfo]] = defaultdict(list)
        self._without_run: defaultdict[str, list[RunInfo]] = defaultdict(list)

    def judge(self, calm: float, users: list[User]) -> None:
        """:param calm: since when nobody calls verbs or disturbs"""
        jobs = {job.id: job for job in self._place.scheduler.get_jobs()}
        over = time.time()
        self._place.end()
        lines = self._place.lines.all()
        self._starts = [line for line in lines if line["what"] == "start"]
        self.count = len(self._starts)
        self.runs = self._place.scheduler.get_runs(limit=10_000_000)
        for run in self.runs:
            self._by_job[run.job_id].append(run)
            self._by_run[run.job_id, run.request or to_ms(run.scheduled_at)].append(run)
            if run.until is not None:
                self._without_run[run.job_id].append(run)
        self._judge_attempts([each for user in users for each in user.imports])
        self._judge_instances(lines)
        self._judge_pauses(over)
        self._judge_end(jobs, calm, over)
        self._judge_outcomes([each for user in users for each in user.imports])
        self._judge_last_attempts([each for user in users for each in user.imports], over)
        self._judge_requests([each for user in users for each in user.requests])
        self._judge_explanations(jobs)

    @staticmethod
    def _key(line: dict[str, Any]) -> tuple[Any, ...]:
        return line["job"], line["number"], line["at"], line["request"], line["attempt"]

    def _judge_attempts(self, imports: list[Imported]) -> None:
        """An attempt begins once. Retries run by the newest definition: of an instant that an import made due once more
        there may be two with the same number."""
        for key, times in Counter(self._key(line) for line in self._starts).items():
            if times > 1 and not (key[-1] > 1 and _is_due_anew(key[0], key[2], imports)):
                its = [line for line in self._starts if self._key(line) == key]
                known = [str(run) for run in self._by_job[key[0]] if run.scheduled_at == from_ms(key[2])]
                self.problems.append(f"{key} began {times} times: {its}; {known}{self._told(key[0])}")
            its = self._traits[key[0]]
            if key[-1] > 1 and not its.recover and not its.retries:
                self.problems.append(f"{key} began again, and its job neither retries nor recovers")
        begun: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for line in sorted(self._starts, key=lambda line: line["time"]):
            begun[self._key(line)[:-1]].append(line["attempt"])
        for run, attempts in begun.items():
            if attempts != sorted(attempts):
                self.problems.append(f"{run} began its attempts in this order: {attempts}{self._told(run[0])}")

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

    def _judge_pauses(self, over: float) -> None:
        """A witness runs again TTL and TAKEOVER_SLICE after the last damage at the latest; if nothing was damaged since
        its last run, as much after that. The time for which processes waited for a CPU is not counted."""
        began: defaultdict[str, list[float]] = defaultdict(list)
        for line in self._starts:
            began[line["job"]].append(line["time"])
        for job_id, its in self._traits.items():
            if its.is_witness:
                for before, after in pairwise([self._since, *sorted(began[job_id]), over]):
                    self._judge_pause(job_id, before, after)

    def _judge_pause(self, job_id: str, before: float, after: float) -> None:
        since = max([before, *(min(each.end, after) for each in self._place.damages if each.begin < after)])
        if after - since > LONGEST_PAUSE:
            paused = after - since - self._waits.between(since, after)
            self.longest_pause = max(self.longest_pause, paused)
            if paused > LONGEST_PAUSE:
                what = f"{job_id} did not run from {before:.3f} to {after:.3f}"
                self.problems.append(f"{what}, {paused:.1f} s after {since:.3f}{self._told(job_id)}")
        else:
            self.longest_pause = max(self.longest_pause, after - since)

    def _judge_end(self, jobs: dict[str, Any], calm: float, over: float) -> None:
        first_attempts = [line for line in self._starts if line["request"] is None and line["attempt"] == 1]
        lines = {line["job"]: line for line in sorted(first_attempts, key=lambda line: line["time"])}
        last = {job_id: line["time"] for job_id, line in lines.items()}
        last_attempts: defaultdict[str, float] = defaultdict(float)  # retries may take the place of the next instants
        for line in self._starts:
            last_attempts[line["job"]] = max(line["time"], last_attempts[line["job"]])
        for job_id in self._traits:
            job = jobs.get(job_id)
            if job is None or job.definition.paused:
                if last.get(job_id, 0) > calm + LATE_END:
                    late = last[job_id] - calm
                    what = f"{job_id} ran {late:.1f} s after the last verb: {job}, {lines[job_id]}"
                    self.problems.append(what + self._told(job_id))
            elif last_attempts[job_id] < over - LONGEST_RUN - SLACK:
                recent = [str(run) for run in self._by_job[job_id][:5]]
                self.problems.append(
                    f"{job_id} ran last {over - last_attempts[job_id]:.1f} s before the end: {job.definition}; {recent}"
                    f"{self._told(job_id)}"
                )

    def _told(self, job_id: str) -> str:
        return "".join(f"\n    {event}" for event in self._place.events(job_id))

    def _judge_outcomes(self, imports: list[Imported]) -> None:
        """An instant has one outcome; but for those that an import made due once more, and those that another node
        recovered, while the node that it took for dead had decided them or did so later."""
        for line in self._starts:
            attempts, spans = self._attempts(line), self._spans(line)
            if not attempts and not spans:
                cut = self._place.cut_off(line)
                self.problems.append(f"{self._key(line)} began on {line['node']} and has no outcome; cut off: {cut}")
            elif any(self._contradicts(span, attempts) for span in spans) and not _is_due_anew(
                line["job"], line["at"], imports
            ):
                both = [str(run) for run in (*attempts, *spans)]
                self.problems.append(f"{self._key(line)} has two outcomes: {both}")

    def _judge_last_attempts(self, imports: list[Imported], over: float) -> None:
        """A run has the outcome of its last attempt. The attempts before that are retried, or lost and recovered."""
        runs: defaultdict[tuple[str, str], list[RunInfo]] = defaultdict(list)
        for each in self.runs:
            if each.attempt > 0:
                runs[each.job_id, each.run_id].append(each)
        for (job_id, run_id), its in runs.items():
            *before, last = sorted(its, key=lambda run: run.attempt)
            if last.outcome == "retried" and last.finished_at.timestamp() < over - SLACK:
                self.problems.append(f"{run_id} has no attempt after {last}{self._told(job_id)}")
            ended = [run for run in before if run.outcome != "retried"]
            is_excused = self._traits[job_id].recover or _is_due_anew(job_id, to_ms(last.scheduled_at), imports)
            if ended and not is_excused:
                self.problems.append(f"{run_id} has attempts after its end: {[*map(str, its)]}{self._told(job_id)}")

    def _attempts(self, line: dict[str, Any]) -> list[RunInfo]:
        """What the history says of a run, and of later attempts at it."""
        its = self._by_run[line["job"], line["request"] or line["at"]]
        return [run for run in its if run.attempt >= line["attempt"] and run.outcome not in OPEN]

    def _spans(self, line: dict[str, Any]) -> list[RunInfo]:
        """What the history says of instants without a run, of which this one's is one."""
        if line["request"] is not None:
            return []
        at = from_ms(line["at"])
        return [run for run in self._without_run[line["job"]] if run.scheduled_at <= at < run.until]

    def _contradicts(self, span: RunInfo, attempts: list[RunInfo]) -> bool:
        """What lies within a span, but is not its first instant, may be due by another schedule alone."""
        its = [run for run in attempts if run.scheduled_at == span.scheduled_at and span.outcome != "lost"]
        recovers = self._traits[span.job_id].recover
        return any(run.node == span.node or not recovers for run in its)

    def _judge_requests(self, requests: list[str]) -> None:
        known = {run.run_id for its in self._by_job.values() for run in its if run.outcome not in OPEN}
        self.problems += [f"{each} was asked for, and has no outcome" for each in requests if each not in known]

    def _judge_explanations(self, jobs: dict[str, Any]) -> None:
        recent = [line for line in self._starts if line["request"] is None and line["job"] in jobs][-100:]
        for line in recent:
            said = self._place.scheduler.explain(line["job"], from_ms(line["at"]))
            attempts, spans = self._attempts(line), self._spans(line)
            known = [max(attempts, key=lambda run: run.attempt)] if attempts else spans
            if known and known[0].outcome != "retried" and said.outcome not in {run.outcome for run in known}:
                self.problems.append(f"{self._key(line)} is {[*map(str, known)]}, but explained as {said}")


def _is_due_anew(job_id: str, instant: int, imports: list[Imported]) -> bool:
    """Whether an import made the instant due once more."""
    return any(job_id == each.job_id and each.due <= instant <= each.by for each in imports)
