"""What `DurableJobStore` needs from a database, beside `gsched.stores.claims.database.ClaimDatabase`.

A store for another database implements these protocols, and `DurableJobStore` does the rest. Each method raises
StoreError if the database fails; the write may have happened all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from gsched.event_loop.native_threads import NativeThreads
from gsched.history.explanation import Evidence
from gsched.history.outputs import StoredOutput
from gsched.history.queries import JobCounters, RunInfo, RunPage, RunQuery
from gsched.history.records import LiveCounters, Record
from gsched.history.reruns import NextAttempt, Obstacle
from gsched.jobs.audit import Act, AuditEntry, AuditPage, AuditQuery
from gsched.jobs.job import Job
from gsched.jobs.limits import GroupLimit, GroupLimits
from gsched.jobs.output import Piece
from gsched.jobs.pause import Pause
from gsched.jobs.query import JobQuery
from gsched.jobs.tally import Tally
from gsched.monitoring.activity import Overview
from gsched.monitoring.cluster_events import StoreEvent
from gsched.monitoring.doctor import Finding
from gsched.monitoring.histogram import Histogram
from gsched.monitoring.job_pages import StoredPage, StoredRow
from gsched.monitoring.load import JobSample
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.rates import NotedMinute
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.notices.outbox import Outbox
from gsched.policies.spreading import Numbers, Series
from gsched.stores.claims.database import ClaimDatabase
from gsched.stores.expectations import Expectations


class Removed(NamedTuple):
    """The result of removing jobs.

    :ivar gone: the ids of the jobs that the database does not have any more
    :ivar refused: the ids of the jobs that the database refuses to remove, each with the reason
    """

    gone: Collection[str]
    refused: Mapping[str, str]


class Definitions(Protocol):
    """Jobs: the methods under "definitions" of `BaseJobStore`."""

    def add(self, jobs: Sequence[Job], replace: bool, timed: Collection[str] = ()) -> list[Job]: ...
    def check_addable(self, jobs: Sequence[Job], replace: bool) -> None: ...
    def get(self, job_id: str) -> Job: ...
    def find(self, query: JobQuery) -> Iterable[Job]: ...
    def page(self, query: JobQuery) -> StoredPage: ...
    def rows(self, job_ids: Sequence[str]) -> dict[str, StoredRow]: ...
    def count(self, query: JobQuery, most: int) -> int: ...
    def tags(self, most: int) -> dict[str, int]: ...
    def sample(self, most: int) -> JobSample: ...
    def change(self, job_id: str, change: Callable[[Job], Job], act: Act | None = None) -> Job: ...
    def change_many(self, job_ids: Sequence[str], change: Callable[[Job], Job | None]) -> list[Job]: ...
    def remove(self, job_id: str, act: Act | None = None) -> Job: ...
    def remove_all(self) -> int: ...
    def take_numbers(self, wanted: Mapping[Series, int]) -> Mapping[Series, Numbers]: ...
    def request_run(self, job: Job, request: str, overlap: str | None = None) -> None: ...
    def retry_runs(self, attempts: Sequence[NextAttempt], dry_run: bool) -> Mapping[NextAttempt, Obstacle]: ...


class Limits(Protocol):
    """The methods under "limits of groups" of `BaseJobStore`."""

    def limits(self) -> GroupLimits: ...
    def set_limit(self, limit: GroupLimit) -> None: ...
    def remove_limit(self, pattern: str) -> None: ...
    def pause_group(self, pattern: str, pause: Pause) -> None: ...
    def resume_group(self, pattern: str) -> None: ...


class History(Protocol):
    """The outcomes of instants, for people to read: the methods under "the history" of `BaseJobStore`."""

    def runs(self, query: RunQuery) -> list[RunInfo]: ...
    def run_page(self, query: RunQuery) -> RunPage: ...
    def counters(self, job_id: str) -> JobCounters: ...
    def evidence(self, job: Job | None, instant: int) -> Evidence: ...


class OutputPart(NamedTuple):
    """Pieces of an output, to be written.

    :ivar ended: no other piece follows
    """

    run_id: str
    attempt: int
    pieces: Sequence[Piece]
    ended: bool


class Outputs(Protocol):
    """The output of attempts at runs, kept as long as their records."""

    def write(self, parts: Sequence[OutputPart]) -> None:
        """Write pieces. Each takes the place of the one that is there, if any is."""

    def read(self, run_id: str, attempt: int | None) -> StoredOutput | None:
        """See `BaseJobStore.output`."""


class Operations(Protocol):
    """For operators: the methods under "housekeeping" and "who shares the store" of `BaseJobStore`."""

    def ping(self) -> None: ...
    def statistics(self) -> StoreStatistics: ...
    def count_records(self, before: int) -> int: ...
    def purge(self, before: int, progress: Callable[[int], object] | None = None) -> int: ...
    def nodes(self) -> list[NodeInfo]: ...
    def claimed_until(self) -> Callable[[Job], int]: ...
    def request_drain(self, node_id: str) -> None: ...
    def request_cancel(self, run_id: str) -> bool: ...
    def cancel_requests(self, attempts: Sequence[tuple[str, int]]) -> Collection[str]:
        """The ids of those of these runs, each with its attempt, that somebody has asked to cancel."""
    def record_audit(self, entry: AuditEntry) -> None: ...
    def audit(self, query: AuditQuery) -> AuditPage: ...
    def note_minute(self, node: str, minute: NotedMinute) -> None:
        """Keep what a node did in a minute, and add it to the hour. A call may be repeated: it counts once."""
    def minutes(self, since: int, until: int) -> Iterable[NotedMinute]: ...
    def hours(self, since: int, until: int) -> Iterable[NotedMinute]: ...
    def follow(self, stop: Callable[[], bool]) -> Iterator[StoreEvent]: ...
    def overview(self) -> Overview: ...
    def diagnose(self, further: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
        """The findings, and those of `further` if the database answers."""

    def publish(self, node: str, activity: Mapping[str, Any]) -> None:
        """Publish what a node does: see `gsched.stores.durable.publisher`. Replaces what the node published before."""


class Records(Protocol):
    """How outcomes are written. `OutcomeWriter` calls these, in batches of a few hundred."""

    def write(self, records: Sequence[Record]) -> Mapping[str, str]:
        """Write records of the history. A record replaces an earlier one of the same attempt, but "lost" replaces no
        other outcome.

        :return: the ids of the jobs of which the database refuses a record, each with the reason
        """

    def count(self, counters: Mapping[str, LiveCounters]) -> Mapping[str, str]:
        """Add new figures to those of the jobs, by id. Jobs that do not exist any more are left out.

        :return: the ids of the jobs of which the database refuses the figures, each with the reason
        """

    def note_tallies(self, tallies: Mapping[str, Tally]) -> Mapping[str, str]:
        """Keep what is counted of these jobs, by id. Jobs that do not exist any more, and jobs that were added at
        another time than `since`, are left out. Neither `runs` nor `until` is ever lowered, and `failing` of a tally
        that is older than the stored one does not count.

        :return: the ids of the jobs of which the database refuses the counts, each with the reason
        """

    def remove_ended(self, jobs: Sequence[Job]) -> Removed:
        """Remove jobs whose trigger has ended, unless they have another revision by now, or a run of theirs waits or is
        recorded as in progress."""


class Audience(Protocol):
    """Gets notices of changed jobs: the ownership greenlet of a store."""

    def look_at(self, job_ids: Iterable[str]) -> None:
        """Look again at these jobs, which may have changed."""

    def look_at_limits(self) -> None:
        """Look again at the limits of groups, which may have changed."""

    def rescan(self) -> None:
        """Look again at all jobs and limits: any of them may have changed."""


class NoNewsError(Exception):
    """The database cannot report changes, and another attempt would not help. The message gives the reason, in a line.
    """


class ChangeNotice(NamedTuple):
    """A change in the database.

    :ivar job_id: the job that may have changed; None: any job may have
    :ivar made: the time of the change (ms, the database's time); None if the database does not record it
    :ivar limits: the limits of groups have changed, and no job
    """

    job_id: str | None
    made: int | None = None
    limits: bool = False


class News(Protocol):
    """Reports changes that other processes make."""

    def listen(self, stop: Callable[[], bool]) -> Iterator[ChangeNotice]:
        """Give the changes from now on, until `stop()` or until the database closes the feed. The first notice comes at
        once and names no job: no change after it is missed.

        :raises NoNewsError: if the database cannot report changes
        """


class CommandTiming(Protocol):
    """Measures the commands sent to the database.

    :ivar durations: histograms of the commands that succeeded, by their names
    :ivar errors: how often commands failed, by the names of the command and of the error
    """

    durations: dict[str, Histogram]
    errors: dict[tuple[str, str], int]


@dataclass(frozen=True)
class Answers:
    """All answers of one database.

    :ivar claims: makes the `ClaimDatabase`; its argument is called with a message about each document that is strange
    :ivar threads: the native threads in which the database is asked, if there are any
    """

    definitions: Definitions
    limits: Limits
    history: History
    outputs: Outputs
    operations: Operations
    records: Records
    expectations: Expectations
    outbox: Outbox
    news: News
    timing: CommandTiming
    claims: Callable[[Callable[[str], object]], ClaimDatabase]
    threads: Sequence[NativeThreads] = ()
