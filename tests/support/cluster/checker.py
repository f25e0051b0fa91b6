"""The checker: whether every instant at which a job was due had exactly one outcome, whatever happened to the nodes.

What is compared: the triggers' arithmetic, the lines that runs wrote outside the database, the history in the database,
and the events. A run that ended and is reported as lost all the same is what a crash cannot tell apart: it is counted,
and must be no older than the time for which a crash leaves things uncertain.

The attempts at an instant begin in order, and each begins once. The outcome `retried` is of an attempt that another one
follows, and never of an instant: an instant has the outcome of its last attempt.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gsched.jobs.job import Job
from gsched.times.instants import from_ms, to_ms

UNCERTAIN_SECONDS = 5.0  # runs shorter than 3 s hold back what is known to have ended; and a margin for busy machines
SPAN_EVENTS = frozenset({"run.missed", "run.skipped", "run.coalesced", "run.lost"})

Line = dict[str, Any]


@dataclass(frozen=True)
class Pause:
    """A node stood still (seconds): what it was about to write down then, it wrote down when it went on."""

    node: str
    since: float
    until: float

    def when(self, line: Line, events: Sequence[Line]) -> float:
        """When a run did what the line says: if it was about to do so, when its node was stopped.

        Only of instants that were due then, and only until the node learns that it is dead.
        """
        if line["node"] != self.node or line["at"] > self.since * 1000 or line["time"] < self.until:
            return float(line["time"])
        fenced = [said["time"] for said in events if said["name"] == "node.fenced" and said["node_name"] == self.node]
        learnt = next((time for time in fenced if time >= self.until), float("inf"))
        return self.since if line["time"] <= learnt else float(line["time"])


class Lines:
    """A file of JSON lines that others append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: list[Line] = []
        self._position = 0

    def all(self) -> list[Line]:
        """All lines so far."""
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self._position)
                for line in file:
                    if not line.endswith(b"\n"):  # seen half written
                        break
                    self._position += len(line)
                    self._read.append(json.loads(line))
        return self._read

    def named(self, name: str) -> list[Line]:
        """Events of this name."""
        return [line for line in self.all() if line["name"] == name]


@dataclass
class Verdict:
    """What the checker found.

    :ivar counts: instants, and how many of them ended in which way
    :ivar problems: each instant that is wrong, in words
    :ivar lateness: seconds, of all first attempts
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    not_in_history: list[str] = field(default_factory=list)


@dataclass
class Told:
    """All that is told of one instant of a job."""

    started: list[int] = field(default_factory=list)  # attempts
    start_times: list[float] = field(default_factory=list)  # seconds, of these attempts
    ended: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    spans: set[tuple[str, int, int]] = field(default_factory=set)  # outcome, first, end: by events or history
    written: set[str] = field(default_factory=set)  # outcomes of spans that the history has
    recorded: dict[int, str] = field(default_factory=dict)  # outcomes that the history has, by attempt
    waiting: set[int] = field(default_factory=set)  # attempts that wait in the database
    running: set[int] = field(default_factory=set)  # attempts that the database counts as in progress

    lost_at: float | None = None  # when it was first reported as lost

    def began_after(self, when: float) -> bool:
        """Whether an attempt after the first one began after that time."""
        return any(attempt > 1 and time > when for attempt, time in zip(self.started, self.start_times))

    @property
    def last(self) -> int:
        """The number of the last attempt that there is."""
        return max([0, *self.started, *self.recorded, *self.waiting])


def check(
    jobs: Iterable[Job],
    until: Mapping[str, int],
    runs: Sequence[Line],
    events: Sequence[Line],
    history: Sequence[Mapping[str, Any]],
    crashes: Sequence[float],
    pauses: Sequence[Pause] = (),
) -> Verdict:
    """Compare what was due with what was told of it.

    :param jobs: with intervals since their start_date, which nobody has changed
    :param until: the last instant (ms) of each job, by its id, that is looked at
    :param crashes: when nodes were killed or stopped in mid-air (seconds)
    :param pauses: of nodes that were stopped, and went on
    """
    verdict = Verdict()
    told: dict[str, dict[int, Told]] = defaultdict(lambda: defaultdict(Told))
    for line in runs:
        if line["request"] is None:
            about = told[line["job"]][line["at"]]
            (about.started if line["what"] == "start" else about.ended).append(line["attempt"])
            when = min([line["time"], *(pause.when(line, events) for pause in pauses)])
            about.times.append(when)
            if line["what"] == "start":
                about.start_times.append(when)
    for document in history:
        if "job_id" not in document or "scheduled_at" not in document:  # a test has put it there
            continue
        about = told[document["job_id"]][to_ms(document["scheduled_at"])]
        attempt, outcome = document.get("attempt", 1), document.get("outcome")
        is_span = "until" in document and attempt < 2  # a lost attempt after the first has an end, too
        if outcome is not None and attempt and not is_span:
            about.recorded[attempt] = outcome
        elif document["state"] == "waiting":
            about.waiting.add(attempt)
        elif document["state"] == "running":
            about.running.add(attempt)
    spans = _spans(events, history)
    for said in events:
        if said["name"] == "run.lost" and "first" in said and said["end"] == said["first"] + 1:
            about = told[said["job_id"]][said["first"]]
            about.lost_at = min(said["time"], about.lost_at or said["time"])
    for job in jobs:
        last = until[job.id]
        due = list(_due(job, last))
        strange = told[job.id].keys() - set(due)
        stray = sorted(instant for instant in strange if instant <= last and told[job.id][instant].started)
        verdict.problems += [f"{job.id} {_show(instant)} ran and was never due" for instant in stray]
        covering = iter(sorted(spans[job.id], key=lambda span: span[1]))
        open_spans: list[tuple[str, int, int, bool]] = []
        upcoming = next(covering, None)
        for instant in due:
            while upcoming is not None and upcoming[1] <= instant:
                open_spans.append(upcoming)
                upcoming = next(covering, None)
            open_spans = [span for span in open_spans if instant < span[2]]
            about = told[job.id][instant]
            about.spans = {span[:3] for span in open_spans}
            about.written = {span[0] for span in open_spans if span[3]}
            _judge(job, instant, about, crashes, verdict)
    return verdict


def _due(job: Job, until: int) -> Iterator[int]:
    instant = job.next_ms(0)
    while instant is not None and instant <= until:
        yield instant
        instant = job.next_ms(instant)


def _spans(
    events: Sequence[Line], history: Sequence[Mapping[str, Any]]
) -> dict[str, list[tuple[str, int, int, bool]]]:
    """What ended without a run: outcome, first, end, and whether the history has it."""
    found: dict[str, dict[tuple[str, int, int], bool]] = defaultdict(dict)
    for said in events:
        if said["name"] in SPAN_EVENTS and "first" in said:
            found[said["job_id"]].setdefault((said["outcome"], said["first"], said["end"]), False)
    for document in history:
        outcome = document.get("outcome")
        if outcome in ("lost", "missed", "skipped", "coalesced"):
            first = to_ms(document["scheduled_at"])
            end = to_ms(document["until"]) if "until" in document else first + 1
            found[document["job_id"]][(outcome, first, end)] = True
    spans: dict[str, list[tuple[str, int, int, bool]]] = defaultdict(list)
    for job_id, theirs in found.items():
        spans[job_id] = [(*span, written) for span, written in theirs.items()]
    return spans


def _judge(job: Job, instant: int, about: Told, crashes: Sequence[float], verdict: Verdict) -> None:
    """Count the instant, or say what is wrong with it."""
    counts = verdict.counts
    counts["instants"] += 1
    outcomes = {outcome for outcome, _, _ in about.spans}
    problems: list[str] = []
    if job.recover and "coalesced" in outcomes:  # into a run after a crash: what was said before was not written
        outcomes &= {"coalesced", "lost", *about.written}
    if len(about.started) > 1 and not job.recover and not job.policy.retries:
        counts["doubled"] += 1
        problems.append(f"started {len(about.started)} times, attempts {about.started}")
    elif len(about.started) != len(set(about.started)):
        counts["repeated_attempts"] += 1
        problems.append(f"began twice in the same attempt: {about.started}")
    problems += _wrong_attempts(job, about, outcomes, crashes, counts)
    if len(outcomes - {"lost"}) > 1 or (outcomes - {"lost"} and about.started and not job.recover):
        counts["two_outcomes"] += 1
        problems.append(f"has several outcomes: {outcomes}, attempts {about.started}")
    if outcomes and not about.written and not about.ended:
        counts["not_in_history"] += 1
        verdict.not_in_history.append(f"{job.id} {_show(instant)} is said to be {outcomes}, which the history lacks")
    if about.started:
        _judge_run(job, instant, about, outcomes, crashes, verdict, problems)
    elif outcomes:
        counts[sorted(outcomes)[0]] += 1
    else:
        counts["missing"] += 1
        problems.append("has no outcome")
    verdict.problems += [f"{job.id} {_show(instant)} {problem}" for problem in problems]


def _wrong_attempts(
    job: Job, about: Told, outcomes: set[str], crashes: Sequence[float], counts: Counter[str]
) -> Iterator[str]:
    """What is wrong with the order of the attempts, and with their outcomes."""
    if about.started != sorted(about.started):
        counts["disordered"] += 1
        yield f"began its attempts in this order: {about.started}"
    for attempt, outcome in about.recorded.items():
        if outcome == "retried":
            counts["retried"] += 1
        if outcome == "retried" and attempt == about.last:
            counts["unfollowed"] += 1
            yield f"has no attempt after attempt {attempt}, which is retried: {about}"
        elif outcome not in ("retried", "lost") and attempt < about.last:
            counts["recovered_though_ended"] += 1
            if not job.recover:
                counts["two_outcomes"] += 1
                yield f"has attempts after attempt {attempt}, which is {outcome}: {about}"
        elif outcome == "lost" and attempt < about.last and not job.recover:
            counts["two_outcomes"] += 1
            yield f"has attempts after attempt {attempt}, which is lost: {about}"
    if about.lost_at is not None and not job.recover and (about.waiting or about.began_after(about.lost_at)):
        counts["two_outcomes"] += 1
        yield f"is retried, though it was reported as lost before: {about}"
    unknown = [
        attempt
        for attempt, began in zip(about.started[:-1], about.start_times)
        if attempt not in about.recorded and not _is_uncertain(began, crashes)
    ]
    if job.policy.retries and not job.recover and unknown:
        counts["unrecorded"] += 1
        yield f"has attempts {unknown} of which the history does not say how they ended: {about}"


def _is_uncertain(began: float, crashes: Sequence[float]) -> bool:
    """Whether a node crashed so soon after that time that it may not have written the outcome of what began then."""
    return any(began - 1.0 <= crash <= began + UNCERTAIN_SECONDS for crash in crashes)


def _judge_run(
    job: Job,
    instant: int,
    about: Told,
    outcomes: set[str],
    crashes: Sequence[float],
    verdict: Verdict,
    problems: list[str],
) -> None:
    counts = verdict.counts
    counts["run"] += 1
    if 1 in about.started:
        verdict.lateness.append(min(about.times) - instant / 1000)
    last = max(about.started)
    if any(about.recorded.get(attempt) != "retried" for attempt in range(1, last)):
        counts["recovered"] += 1
    if about.waiting:
        counts["waiting"] += 1
    if last in about.ended:
        # As of attempts that others followed, the record may be lost with the node that was to write it.
        may_lack_it = about.last > last and _is_uncertain(about.start_times[about.started.index(last)], crashes)
        if not outcomes and last not in about.recorded and not may_lack_it:
            counts["unrecorded"] += 1
            problems.append(f"ended, and the history, which keeps all, does not say how: {about}")
        if about.recorded.get(about.last) == "lost" and about.last > last:
            counts["lost_before_begin"] += 1
        elif "lost" in outcomes and (last == 1 or not job.recover):
            counts["uncertain"] += 1
            if not _is_uncertain(max(about.times), crashes):
                problems.append(f"ended, and was reported as lost, but no node crashed soon after: {about}")
    elif outcomes:
        counts["cut_" + sorted(outcomes)[0]] += 1
        if job.recover and "coalesced" not in outcomes:  # else it ran again for a later one
            problems.append(f"was cut, and is not run again: {about}")
    else:
        counts["silent"] += 1
        problems.append(f"was cut without a word: {about}")


def _show(instant: int) -> str:
    return from_ms(instant).isoformat(timespec="milliseconds")
