"""The operators' verbs: on stores as a whole, and on all schedulers that share them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from gsched.errors import ConfigurationError, NodeNotFoundError
from gsched.jobs.audit import Act
from gsched.jobs.callables import check_callable, check_progress
from gsched.monitoring.activity import Overview
from gsched.monitoring.cluster_events import StoreEvent
from gsched.monitoring.doctor import Finding, environment_findings
from gsched.monitoring.groups import GroupInfo
from gsched.monitoring.nodes import NodeInfo
from gsched.monitoring.overdue import Overdue, in_overview
from gsched.monitoring.store_statistics import StoreStatistics
from gsched.schedulers.acting import act
from gsched.schedulers.verbs.questions import QuestionVerbs
from gsched.times.relative import as_past

if TYPE_CHECKING:
    from gsched.notices.status import NotifierStatus


class AdminVerbs(QuestionVerbs):
    """`scheduler.admin`: what operators do, and the `gsched` command for them. The scheduler need not run."""

    # -- stores -------------------------------------------------------------------------------------------------

    def prepare_store(self, jobstore: str = "default") -> None:
        """Create the collections and indexes that the store needs in its database and does not have yet."""
        self._engine.call(self._engine.store(jobstore).prepare)

    def ping_store(self, jobstore: str = "default") -> None:
        """Check that the store answers. Raises StoreUnreachableError, or another StoreError, if it does not."""
        self._engine.call(self._engine.store(jobstore).ping)

    def get_statistics(self, jobstore: str = "default") -> StoreStatistics:
        """What the store holds. The database counts it, which takes about a second for 10^6 jobs."""
        return self._engine.call(self._engine.store(jobstore).statistics)

    def backup_store(self, path: str | os.PathLike[str], jobstore: str = "default") -> None:
        """Copy a SQLite store, which may be in use, to a new file that only this user can read.

        :raises ConfigurationError: if the file exists or cannot be made, or the store is not in SQLite
        :raises StoreError: if the copy fails
        """
        self._engine.call(self._engine.store(jobstore).backup, path)

    def count_runs(self, before: datetime | date | timedelta | str, jobstore: str = "default") -> int:
        """How many records of the history `purge_runs` would remove."""
        return self._engine.call(self._engine.store(jobstore).count_records, self._past(before))

    def purge_runs(
        self,
        before: datetime | date | timedelta | str,
        jobstore: str = "default",
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Remove records of the history. The database also removes each record by itself after `history_keep`.

        :param before: remove the records of instants before this: a datetime, ISO text, or how long ago (timedelta,
            "14d")
        :param progress: called after each thousand with how many were removed so far
        :return: how many were removed
        :raises ConfigurationError: if `before` is not understood
        """
        check_progress(progress)
        return self._engine.call(self._engine.store(jobstore).purge, self._past(before), progress)

    def _past(self, before: datetime | date | timedelta | str) -> int:
        instant = as_past(before, self._engine.now_ms(), self._engine.timezone, "before")
        if instant is None:
            raise ConfigurationError("before: expected a time or how long ago")
        return instant

    # -- nodes --------------------------------------------------------------------------------------------------

    def get_nodes(self, jobstore: str | None = None) -> list[NodeInfo]:
        """The schedulers that share a store, and those that ended within the last day. A memory store has none.

        :param jobstore: which store; default: all stores of this scheduler
        """
        return self._engine.call(self._get_nodes, jobstore)

    def _get_nodes(self, jobstore: str | None) -> list[NodeInfo]:
        return [node for alias in self._engine.aliases(jobstore) for node in self._engine.store(alias).nodes()]

    def drain_node(self, node_id: str, jobstore: str | None = None) -> NodeInfo:
        """Ask a node, on whatever machine, to drain: to claim nothing more, finish its runs, and end.

        The node gets the event `node.drain_requested` within half a second. `gsched run` drains then. In an embedded
        scheduler a listener has to call `shutdown`.

        :return: the node as it was before; a dead one is left alone
        :raises NodeNotFoundError: if there is no such node
        """
        done = act("node.drain", self._engine.now_ms())
        return self._engine.call(self._drain_node, node_id, jobstore, done)

    def _drain_node(self, node_id: str, jobstore: str | None, done: Act | None) -> NodeInfo:
        for alias in self._engine.aliases(jobstore):
            known = {node.id: node for node in self._engine.store(alias).nodes()}
            if node_id in known:
                self._engine.store(alias).request_drain(node_id)
                self._engine.record(done, alias, node_id, 1)
                return known[node_id]
        raise NodeNotFoundError(node_id)

    # -- groups -------------------------------------------------------------------------------------------------

    def get_groups(self, jobstore: str | None = None) -> list[GroupInfo]:
        """The groups that jobs are in, and those with a limit or a pause of their own, by name.

        :param jobstore: which store; default: the only one
        """
        return self._engine.call(self._one_store(jobstore).groups)

    # -- notifiers ----------------------------------------------------------------------------------------------

    def get_notifiers(self, jobstore: str = "default") -> list[NotifierStatus]:
        """How the notifiers of this scheduler do, and those of others that share the store, by name."""
        from gsched.notices.status import statuses  # few programs need it

        outbox = self._engine.store(jobstore).outbox()
        return self._engine.call(statuses, outbox, self._engine.notifiers, self._engine.now_ms())

    # -- looking ------------------------------------------------------------------------------------------------

    def follow(self, jobstore: str | None = None, stop: Callable[[], bool] = lambda: False) -> Iterator[StoreEvent]:
        """What happens in a shared store from now on, in whichever process, within milliseconds.

        `gsched.monitoring.cluster_events` lists the events. The first one is feed.opened, or feed.unsupported. Use it
        in the scheduler's thread.

        :param jobstore: which store; default: the only one
        :param stop: called about twice a second, and after each event; True ends the iteration
        :raises ConfigurationError: if the store is not shared, or there are several
        :raises StoreError: if the store cannot be followed from the start; a stream that breaks later is opened anew
        """
        check_callable("stop", stop)
        return self._one_store(jobstore).follow(stop)

    def get_overview(self, jobstore: str | None = None) -> Overview:
        """A store at a glance: jobs, nodes, what the nodes are doing, and which jobs are in trouble.

        It costs the database a few milliseconds, however many jobs there are; call it every few seconds at most.

        :param jobstore: which store; default: the only one
        """
        return self._engine.call(self._one_store(jobstore).overview)

    def get_overdue(self, jobstore: str | None = None) -> list[Overdue]:
        """The jobs of which no run has succeeded within their `expect_success_every`, the longest overdue first.

        The store gives the jobs of all its schedulers, up to two thousand.

        :param jobstore: which store; default: all stores of this scheduler
        """
        return self._engine.call(self._get_overdue, jobstore)

    def _get_overdue(self, jobstore: str | None) -> list[Overdue]:
        found = [each for alias in self._engine.aliases(jobstore) for each in self._engine.store(alias).overdue()]
        found.sort(key=lambda each: each.overdue_at)
        return list(in_overview(found, self._engine.now_ms()))

    def diagnose(self, jobstore: str | None = None) -> Iterator[Finding]:
        """Look for what is wrong with this process and the stores, one finding after the other."""
        yield from self._fetched(environment_findings(runs_jobs=self._engine.hub is not None))
        yield from self.diagnose_stores(jobstore)

    def diagnose_stores(self, jobstore: str | None = None) -> Iterator[Finding]:
        """Look for what is wrong with the stores."""
        for alias in self._engine.aliases(jobstore):
            yield from self._fetched(self._engine.store(alias).diagnose())

    def _fetched(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """Findings, looked for in the scheduler's thread."""
        while (finding := self._engine.call(next, findings, None)) is not None:
            yield finding
