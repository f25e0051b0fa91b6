"""The tables. All times are whole milliseconds since the epoch, in UTC.

- `jobs`: what the protocol and the queries need is a column; the rest of the definition is `document`, JSON text with
  the tags of `gsched.jobs.export`
- `job_tags`, `run_tags`: the tags of jobs and of records once more, for queries
- `former`: schedules of jobs that users' writes have ended, until their owner has seen to them
- `nodes`, `slots`: who lives, and who owns which 256th of the jobs
- `runs`: runs that wait or are in progress, and the history
- `limits`, `pauses`: of groups, by their patterns
- `series`: how many jobs of each series were spread
- `changes`: which jobs and limits were changed last, so that other processes look at them
- `activity`: what each node is doing; `minutes`, `hours`: what each did in a minute, and all of them in an hour
- `audit`: what was done on somebody's behalf
- `notices`: what is to be told to notifiers; `notifiers`: how their channels do
- `meta`: the version of this schema
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    literal_column,
    or_,
    text,
)

from gsched.stores.messages import ALWAYS

OF_LIMITS: Final = ""  # in place of a job's id, which is never empty

_Id = String(255)
_Ms = BigInteger
_Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by a column of exactly this type only


class Tables:
    """The tables of one store.

    :param prefix: what the names of all of them begin with
    """

    def __init__(self, prefix: str) -> None:
        self.metadata = MetaData()
        self.prefix = prefix
        self.jobs = self._table(
            "jobs",
            Column("id", _Id, primary_key=True),
            Column("slot", SmallInteger, nullable=False),
            Column("rev", BigInteger, nullable=False),
            Column("admitted", Boolean, nullable=False),
            Column("paused", Boolean, nullable=False),
            Column("pause", Text),  # why, since when, by whom; JSON
            Column("paused_until", _Ms),  # of every pause; of one without an end a time that never comes
            Column("next_run", _Ms),
            Column("schedule", BigInteger, nullable=False),  # the revision that began the schedule
            Column("begins", _Ms),  # the first instant of that schedule
            Column("late_until", _Ms),
            Column("parked", Text),
            Column("name", Text, nullable=False),
            Column("document", Text, nullable=False),
            Column("created_at", _Ms, nullable=False),
            Column("updated_at", _Ms, nullable=False),
            Column("begun", BigInteger, nullable=False, server_default=text("0")),  # instants, if they are counted
            Column("begun_until", _Ms, nullable=False, server_default=text("-1")),  # the last of them
            Column("failing", BigInteger, nullable=False, server_default=text("0")),  # runs that failed in a row
            Column("runs", BigInteger, nullable=False, server_default=text("0")),
            Column("failures", BigInteger, nullable=False, server_default=text("0")),
            Column("last_run", _Ms),
            Column("last_duration", Double),
            Column("last_error", Text),
            Column("recent", Text),
            Column("expected_since", _Ms),  # the last success, or from when on one is expected; of few jobs
            Column("overdue_at", _Ms),
            Column("overdue_told", Boolean, nullable=False, server_default=text("0")),  # the event was published
            Column("failing_since", _Ms),
        )
        self._index("jobs_due", self.jobs, "slot", "next_run")
        self._index("jobs_parked", self.jobs, "parked", where="parked IS NOT NULL")
        self._index("jobs_failing", self.jobs, "failing_since", where="failing_since IS NOT NULL")
        # The order of lists. Spelt as in the index: that a parameter is the same, SQLite cannot know.
        self.due: ColumnElement[int] = literal_column(f"coalesce(next_run, {ALWAYS})")
        self.listing = self.jobs.c.paused, self.due, self.jobs.c.id
        Index(f"{self.prefix}jobs_listing", self.jobs.c.paused, text(f"coalesce(next_run, {ALWAYS})"), self.jobs.c.id)
        self._index("jobs_paused", self.jobs, "paused_until", where="paused_until IS NOT NULL")
        self._index("jobs_overdue", self.jobs, "overdue_at", where="overdue_at IS NOT NULL")
        self.job_tags = self._table(
            "job_tags",
            Column("tag", _Id, primary_key=True),
            Column("job_id", _Id, primary_key=True),
        )
        self._index("job_tags_job", self.job_tags, "job_id")
        self.former = self._table(
            "former",
            Column("id", String(300), primary_key=True),
            Column("job_id", _Id, nullable=False),
            Column("slot", SmallInteger, nullable=False),
            Column("schedule", BigInteger, nullable=False),
            Column("begins", _Ms),
            Column("next_run", _Ms),
            Column("paused_until", _Ms),
            Column("late_until", _Ms),
            Column("until", _Ms),
            Column("name", Text, nullable=False),
            Column("document", Text, nullable=False),  # its trigger and tags
        )
        self._index("former_slot", self.former, "slot")
        self._index("former_job", self.former, "job_id")
        self.nodes = self._table(
            "nodes",
            Column("id", _Id, primary_key=True),
            Column("alive", Boolean, nullable=False),
            Column("protocol", Integer, nullable=False, server_default=text("1")),  # of the nodes: see PROTOCOL
            Column("watermark", _Ms, nullable=False),
            Column("acked", _Ms, nullable=False),
            Column("beat", BigInteger, nullable=False),
            Column("draining", Boolean, nullable=False),
            Column("drain_requested", _Ms),
            Column("left", Boolean, nullable=False),
            Column("host", Text),
            Column("pid", Integer),
            Column("process", Text),  # which process of which machine, JSON
            Column("started_at", _Ms),
            Column("beat_at", _Ms),
            Column("ended_at", _Ms),
            Column("settled_at", _Ms),
        )
        self.slots = self._table(
            "slots",
            Column("id", SmallInteger, primary_key=True, autoincrement=False),
            Column("owner", _Id),
            Column("epoch", BigInteger, nullable=False),
            Column("watermark", _Ms, nullable=False),
            Column("acked", _Ms, nullable=False),
            Column("attached", Boolean, nullable=False),
            Column("open_from", _Ms),
        )
        self.runs = self._table(
            "runs",
            Column("key", String(400), primary_key=True),
            Column("state", String(8), nullable=False),  # waiting, running, ended
            Column("node", _Id),
            Column("slot", SmallInteger, nullable=False),
            Column("job_id", _Id, nullable=False),
            Column("job_name", Text),
            Column("tags", Text),  # JSON
            Column("scheduled_at", _Ms, nullable=False),
            Column("due_at", _Ms),
            Column("attempt", Integer, nullable=False),
            Column("request", _Id),
            Column("cause", String(16)),  # of the waiting: request, retry
            Column("overlap", String(8)),  # what becomes of a request at the limit of instances
            Column("schedule", BigInteger),  # the number of the job's schedule
            Column("tries", Integer, nullable=False, server_default=text("0")),
            Column("recoveries", Integer, nullable=False, server_default=text("0")),
            Column("is_retry", Boolean, nullable=False, server_default=text("0")),
            Column("outcome", String(16)),
            Column("reason", Text),
            Column("until", _Ms),
            Column("started_at", _Ms),
            Column("finished_at", _Ms),
            Column("error_type", Text),
            Column("error_message", Text),
            Column("traceback", Text),
            Column("command", Text),  # how a shell command has ended, and what it has used, JSON
            Column("expires_at", _Ms),
            Column("cancel_requested", _Ms),
        )
        self._index("runs_unfinished", self.runs, "state", "slot", where="state <> 'ended'")
        self._index("runs_waiting", self.runs, "job_id", "due_at", where="state = 'waiting'")
        self._index("runs_waiting_slot", self.runs, "slot", "due_at", where="state = 'waiting'")
        self._index("runs_attempts", self.runs, "slot", "scheduled_at", where="attempt > 1")
        self._index("runs_of_job", self.runs, "job_id", "scheduled_at", "key")
        self._index("runs_scheduled", self.runs, "scheduled_at", "key")
        self._index("runs_outcome", self.runs, "outcome", "scheduled_at", "key")
        self._index("runs_until", self.runs, "until", where="until IS NOT NULL")
        self._index("runs_expiring", self.runs, "expires_at", where="expires_at IS NOT NULL")
        # Spelt as in the indexes: that a parameter is the same, SQLite cannot know, and would read all runs. With the
        # time, which is never less, it prefers the index to that of all runs of a job.
        self.waits = (self.runs.c.state == literal_column("'waiting'")) & (self.runs.c.due_at >= 0)
        self.unended = self.runs.c.state != literal_column("'ended'")
        self.is_later_attempt = self.runs.c.attempt > literal_column("1")
        self.run_tags = self._table(
            "run_tags",
            Column("tag", _Id, primary_key=True),
            Column("key", String(400), primary_key=True),
        )
        self._index("run_tags_run", self.run_tags, "key")
        self.outputs = self._table(
            "outputs",
            Column("key", String(400), primary_key=True),  # of the attempt, as in the table of runs
            Column("place", SmallInteger, primary_key=True),
            Column("number", BigInteger, nullable=False),  # of the piece that is in this place
            Column("content", LargeBinary, nullable=False),
            Column("expires_at", _Ms, nullable=False),
        )
        self._index("outputs_expiring", self.outputs, "expires_at")
        self.limits = self._table(
            "limits",
            Column("pattern", _Id, primary_key=True),
            Column("concurrency", BigInteger),
            Column("period_ms", Double),
            Column("burst", BigInteger, nullable=False),
            Column("declared_by", Text),
        )
        self.pauses = self._table(
            "pauses",
            Column("pattern", _Id, primary_key=True),
            Column("reason", Text),
            Column("by", Text),
            Column("at", _Ms),
            Column("until", _Ms),
        )
        self.activity = self._table(
            "activity",
            Column("node", _Id, primary_key=True),
            Column("at", _Ms, nullable=False),
            Column("document", Text, nullable=False),
        )
        self.minutes = self._table(
            "minutes",
            Column("at", _Ms, primary_key=True),
            Column("node", _Id, primary_key=True),
            Column("document", Text, nullable=False),
        )
        self.hours = self._table(
            "hours",
            Column("at", _Ms, primary_key=True, autoincrement=False),
            Column("document", Text, nullable=False),
        )
        self.audit = self._table(
            "audit",
            Column("id", String(40), primary_key=True),  # ids grow with time
            Column("action", String(20), nullable=False),
            Column("target", String(500), nullable=False),
            Column("number", Integer, nullable=False),
            Column("actor", Text),
            Column("via", Text),
            Column("reason", Text),
            Column("address", Text),
            Column("before", Text, nullable=False),  # JSON, as is `after`
            Column("after", Text, nullable=False),
        )
        for column in ("target", "actor", "action"):
            self._index(f"audit_{column}", self.audit, column, "id")
        self.notices = self._table(
            "notices",
            Column("id", String(32), primary_key=True),
            Column("notifier", _Id, nullable=False),
            Column("kind", String(20), nullable=False),
            Column("jobstore", _Id, nullable=False),
            Column("job_id", _Id, nullable=False),  # "" if it is about no job
            Column("number", Integer, nullable=False),  # how often it happened, without what was told
            Column("told", Integer, nullable=False, server_default=text("0")),
            Column("first_at", _Ms, nullable=False),
            Column("last_at", _Ms, nullable=False),
            Column("due_at", _Ms),  # none if all of it was told
            Column("next_at", _Ms, nullable=False, server_default=text("0")),  # not due again before
            Column("open", Boolean, nullable=False, server_default=text("1")),
            Column("document", Text, nullable=False),  # the last occurrence, JSON
        )
        self._index("notices_due", self.notices, "notifier", "due_at", where="due_at IS NOT NULL")
        self._index("notices_job", self.notices, "job_id")
        self.notifiers = self._table(
            "notifiers",
            Column("name", _Id, primary_key=True),
            Column("rev", BigInteger, nullable=False),
            Column("document", Text, nullable=False),  # how its channel does, JSON
        )
        self.changes = self._table(
            "changes",
            Column("seq", _Serial, primary_key=True, autoincrement=True),
            Column("job_id", _Id, nullable=False),  # OF_LIMITS if no job has changed, but limits or pauses of groups
            Column("at", _Ms, nullable=False),
            Column("origin", String(16), nullable=False),  # the store object that has made the change
            sqlite_autoincrement=True,  # a number that is free again would not be seen
        )
        self._index("changes_at", self.changes, "at")
        self.series = self._table(
            "series",
            Column("key", String(400), primary_key=True),
            Column("family", String(40), nullable=False),  # the same series, whatever the group
            Column("rank", Integer, nullable=False),  # of the group
            Column("taken", BigInteger, nullable=False),  # numbers
        )
        self._index("series_family", self.series, "family", "rank")
        self.meta = self._table(
            "meta",
            Column("key", String(50), primary_key=True),
            Column("value", Text, nullable=False),
        )

    def is_paused(self, now: int) -> ColumnElement[bool]:
        """True if a job is paused at `now` (ms)."""
        return self.jobs.c.paused_until > now

    def is_not_paused(self, now: int) -> ColumnElement[bool]:
        """True if it is not."""
        return or_(self.jobs.c.paused_until.is_(None), self.jobs.c.paused_until <= now)

    def _table(self, name: str, *columns: Column[Any], **options: Any) -> Table:
        table: Table = Table(f"{self.prefix}{name}", self.metadata, *columns, **options)
        return table

    def _index(self, name: str, table: Table, *columns: str, where: str | None = None) -> None:
        # The names of another dialect's options would import that dialect, with asyncio and what else it has.
        partial: dict[str, Any] = {} if where is None else {"sqlite_where": text(where)}
        Index(f"{self.prefix}{name}", *(table.c[column] for column in columns), **partial)
