"""The claim protocol's operations on runs that wait, and on those in progress."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from gsched.event_loop.batches import batches
from gsched.jobs.outcomes import Outcome
from gsched.stores.claims.database import RunRecord, WaitingRun
from gsched.stores.sql.claims.access import ClaimsAccess
from gsched.stores.sql.jobs.write import tell
from gsched.stores.sql.rows.runs import key_of, run_record, running_row, waiting_row, waiting_run

_AT_ONCE = 500  # keys in one statement


class ClaimedRuns(ClaimsAccess):
    """Reads and writes waiting runs and recorded runs."""

    # -- writes of a live node ----------------------------------------------------------------------------------------

    def record_runs(self, node: str, runs: Sequence[RunRecord]) -> None:
        if not runs:
            return
        table = self._tables.runs
        new = self._connection.insert(into=table)
        recording = new.on_conflict_do_update(
            index_elements=[table.c.key], set_={"node": new.excluded.node}, where=table.c.state == "running"
        )
        rows = [running_row(node, run) for run in runs]
        self._if_alive(node, lambda connection: connection.execute(recording, rows))

    def add_waiting(
        self, node: str, runs: Sequence[WaitingRun], announce: Collection[str]
    ) -> Collection[RunRecord]:
        if not runs:
            return ()
        jobs, now, announced = self._tables.jobs, self.time(), list(announce)
        adding = self._connection.insert(into=self._tables.runs).on_conflict_do_nothing()
        rows = [waiting_row(each) for each in runs]
        noticed = update(jobs).where(jobs.c.id.in_(announced)).values(rev=jobs.c.rev + 1)

        def transaction(connection: Connection) -> None:
            connection.execute(adding, rows)
            connection.execute(noticed)
            tell(connection, self._tables, announced, now, self._connection.origin)

        self._if_alive(node, transaction)
        return [each.run for each in runs]

    def begin_waiting(self, node: str, runs: Sequence[RunRecord]) -> Collection[RunRecord]:
        table = self._tables.runs
        keys = {key_of(run): run for run in runs}
        these = table.c.key.in_(list(keys))
        begin = update(table).where(these, table.c.state == "waiting").values(state="running", node=node)
        begun = select(table.c.key).where(these, table.c.state == "running", table.c.node == node)

        def transaction(connection: Connection) -> Sequence[str]:
            connection.execute(begin)
            return connection.execute(begun).scalars().all()

        return [keys[key] for key in self._if_alive(node, transaction)]

    def put_back(self, node: str, runs: Collection[RunRecord]) -> None:
        if not runs:
            return
        table = self._tables.runs
        begun = table.c.key.in_([key_of(run) for run in runs]), table.c.state == "running", table.c.node == node
        waits = {"state": "waiting", "node": None, "due_at": func.coalesce(table.c.due_at, table.c.scheduled_at)}
        self._if_alive(node, lambda connection: connection.execute(update(table).where(*begun).values(waits)))

    # -- runs that wait -----------------------------------------------------------------------------------------------

    def waiting_in(self, numbers: Collection[int], after: int, until: int) -> Mapping[str, int]:
        runs = self._tables.runs
        due = self._tables.waits, runs.c.slot.in_(list(numbers)), runs.c.due_at > after, runs.c.due_at <= until
        earliest = select(runs.c.job_id, func.min(runs.c.due_at).label("due_at")).where(*due).group_by(runs.c.job_id)
        return {row.job_id: row.due_at for row in self._rows(earliest)}

    def waiting_of(self, job_ids: Collection[str], most: int) -> Sequence[WaitingRun]:
        runs = self._tables.runs
        waiting = (
            self._columns(runs.c.due_at, runs.c.schedule, runs.c.overlap, runs.c.cancel_requested)
            .where(self._tables.waits, runs.c.job_id.in_(list(job_ids)))
            .order_by(runs.c.due_at, runs.c.key)
            .limit(most)
        )
        return [*map(waiting_run, self._rows(waiting))]

    # -- runs in progress, and attempts that there are ----------------------------------------------------------------

    def runs_of(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        return self._running(numbers, self._tables.runs.c.node.in_(list(nodes)))

    def runs_of_others(self, nodes: Collection[str], numbers: Collection[int]) -> Sequence[RunRecord]:
        return self._running(numbers, self._tables.runs.c.node.not_in(list(nodes)))

    def _running(self, numbers: Collection[int], of_node: ColumnElement[bool]) -> Sequence[RunRecord]:
        runs = self._tables.runs
        running = self._columns().where(
            self._tables.unended, runs.c.state == "running", runs.c.slot.in_(list(numbers)), of_node
        )
        return [*map(run_record, self._rows(running))]

    def later_attempts(self, numbers: Collection[int], since: int) -> Collection[RunRecord]:
        runs = self._tables.runs
        later = self._columns().where(
            self._tables.is_later_attempt, runs.c.slot.in_(list(numbers)), runs.c.scheduled_at >= since
        )
        return [*map(run_record, self._rows(later))]

    def ended_runs(self, job_ids: Collection[str], since: int) -> Iterable[RunRecord]:
        runs = self._tables.runs
        for some in batches(job_ids, _AT_ONCE):
            ended = self._columns().where(
                runs.c.job_id.in_(some), runs.c.scheduled_at >= since, runs.c.state == "ended", runs.c.attempt >= 1
            )
            yield from map(run_record, self._rows(ended))

    def _columns(self, *more: ColumnElement[Any]) -> Any:
        runs = self._tables.runs.c
        of_it = runs.job_id, runs.slot, runs.scheduled_at, runs.attempt, runs.request
        return select(*of_it, runs.tries, runs.recoveries, runs.is_retry, *more)

    def is_running(self, job_id: str, slot: int) -> bool:
        runs = self._tables.runs
        # The job is not asked for in SQL: SQLite would go through all that the history has of it.
        unended = runs.c.state.in_(("running", "waiting")) & self._tables.unended
        return job_id in self._scalars(select(runs.c.job_id).where(unended, runs.c.slot == slot).distinct())

    def end_runs(self, runs: Sequence[RunRecord], outcome: Outcome) -> None:
        table = self._tables.runs
        ended = {"state": "ended", "outcome": outcome.value, "expires_at": self.time() + self._keep_ms}
        for keys in batches([key_of(run) for run in runs], _AT_ONCE):
            in_progress = table.c.key.in_(keys), table.c.state == "running"
            self._change(update(table).where(*in_progress).values(ended))
