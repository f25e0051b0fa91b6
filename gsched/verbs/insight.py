"""Insight: the verbs that look at what all schedulers of a store do, and ask them to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gsched.activity import Overview
from gsched.callables import check_callable
from gsched.doctor import Finding, environment_findings
from gsched.errors import ConfigurationError, NodeNotFoundError
from gsched.facts import Fact
from gsched.nodes import NodeInfo
from gsched.stores import BaseJobStore
from gsched.verbs.housekeeping import Housekeeping


class Insight(Housekeeping):
    """What operators see. A base of GeventScheduler; nothing here needs it to run."""

    def get_nodes(self, jobstore: str | None = None) -> list[NodeInfo]:
        """The schedulers that share a store, or all stores of this one, and those that ended within the last day.

        A memory store has none.
        """
        return self._at_home(lambda: [node for alias in self._aliases(jobstore) for node in self._store(alias).nodes()])

    def claimed_until(self, jobstore: str) -> Callable[[str], int]:
        """How far the claims of a store's schedulers have come, as of now.

        An instant that is past and not claimed is overdue. While all is well there is none.

        :return: a function of a job's id that gives the time up to which its instants are claimed, milliseconds since
            the epoch
        """
        return self._at_home(self._store(jobstore).claimed_until)

    def drain_node(self, node_id: str, jobstore: str | None = None) -> NodeInfo:
        """Ask a node, on whatever machine, to drain: to claim nothing more, finish what is in progress, and end.

        The node hears of it within half a second, as the event `node.drain_requested`. `gsched run` drains then;
        in an embedded scheduler a listener has to call `shutdown`.

        :return: the node as it was when it was asked; one that is dead is left alone
        :raises NodeNotFoundError: if there is no such node
        """
        return self._at_home(self._drain_node, node_id, jobstore)

    def _drain_node(self, node_id: str, jobstore: str | None) -> NodeInfo:
        for alias in self._aliases(jobstore):
            known = {node.id: node for node in self._store(alias).nodes()}
            if node_id in known:
                self._store(alias).request_drain(node_id)
                return known[node_id]
        raise NodeNotFoundError(node_id)

    def follow(self, jobstore: str | None = None, stop: Callable[[], bool] = lambda: False) -> Iterator[Fact]:
        """What happens in a shared store from now on, by whichever process, within milliseconds; see `gsched.facts`.

        The first fact is feed.opened, or feed.unsupported. To be used in the scheduler's thread.

        :param jobstore: which store; default: the only one
        :param stop: asked about twice a second, and after each fact; True ends it
        :raises ConfigurationError: if the store is not shared, or there are several
        :raises StoreError: if the store cannot be followed from the start; what breaks later is opened anew
        """
        check_callable("stop", stop)
        return self._one_store(jobstore).follow(stop)

    def get_overview(self, jobstore: str | None = None) -> Overview:
        """A store at a glance: jobs, nodes, what they are doing, and which jobs are in trouble.

        It costs the database a few milliseconds, however many jobs there are; ask every few seconds at most.

        :param jobstore: which store; default: the only one
        """
        return self._at_home(self._one_store(jobstore).overview)

    def diagnose(self, jobstore: str | None = None) -> Iterator[Finding]:
        """Look for what is wrong with this process and the stores, one finding after the other."""
        yield from environment_findings(runs_jobs=self._hub is not None)
        yield from self.diagnose_stores(jobstore)

    def diagnose_stores(self, jobstore: str | None = None) -> Iterator[Finding]:
        """Look for what is wrong with the stores."""
        for alias in self._aliases(jobstore):
            yield from self._store(alias).diagnose()

    def _one_store(self, jobstore: str | None) -> BaseJobStore:
        aliases = self._aliases(jobstore)
        if len(aliases) != 1:
            raise ConfigurationError(f"jobstore: name one of {', '.join(aliases)}" if aliases else "there is no store")
        return self._store(aliases[0])
