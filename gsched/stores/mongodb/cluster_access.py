"""How the claim protocol reaches the shared documents: collections, transactions, and what to do with strange ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from pymongo.client_session import ClientSession

from gsched.document import DocumentReader
from gsched.stores.mongodb.cluster import FencedError
from gsched.stores.mongodb.cluster_documents import alive
from gsched.stores.mongodb.connection import Connection, Document
from gsched.stores.mongodb.partition import SLOTS

_KEEP_LOST: Final = timedelta(days=14)
_MOST_SAID: Final = 300  # characters of a document that is not understood


class ClusterAccess:
    """One process's access to the shared documents, on the connections that are only for what must be on time.

    :param reader: makes a reader for a batch of job documents
    :param keep: how long it is kept that a run was lost
    :param complain: told of documents that are not understood, or that the database refuses to change
    """

    def __init__(
        self,
        connection: Connection,
        reader: Callable[[], DocumentReader],
        keep: timedelta = _KEEP_LOST,
        complain: Callable[[str], object] = lambda said: None,
    ) -> None:
        self._connection = connection
        self._keep = keep
        self._reader = reader
        self.exclusive = False
        self._complain = complain
        self._complained: set[str] = set()  # of what
        self._started: ClientSession | None = None

    @property
    def _session(self) -> ClientSession:
        """The one of all transactions, so that others can end what this process had begun when it was killed."""
        client = self._connection.control().client
        if self._started is None or self._started.client is not client:  # which was renewed
            self._started = client.start_session()
        return self._started

    @property
    def _jobs(self) -> Any:
        return self._connection.control()[self._connection.name]

    @property
    def _nodes(self) -> Any:
        return self._jobs.nodes

    @property
    def _slots(self) -> Any:
        return self._jobs.slots

    @property
    def _formers(self) -> Any:
        return self._jobs.former

    @property
    def _runs(self) -> Any:
        return self._jobs.runs

    def _find_slots(self, wanted: Document, fields: list[str] | None = None) -> Iterable[Document]:
        """In one round trip: there are more slots than the server puts into the first batch by itself."""
        found: Iterable[Document] = self._slots.find(wanted, fields, batch_size=SLOTS + 1)
        return found

    def _sane(
        self, what: str, documents: Iterable[Document], is_sane: Callable[[Document], bool]
    ) -> Iterator[Document]:
        """Without those that people's hands have made; of each of them is complained once."""
        for document in documents:
            if is_sane(document):
                yield document
            else:
                key = f"{what} {document['_id']!r}"
                self._complain_once(key, f"{key} is not understood, and left out: {document!r}")

    def _say_refused(self, job_id: str, reason: object) -> None:
        """The database will not change the job's document: it stays as it is, and the others go on."""
        key = f"job {job_id!r}"
        self._complain_once(key, f"the database refuses to change the document of {key}: {reason}")

    def _complain_once(self, key: str, said: str) -> None:
        if key not in self._complained:
            self._complained.add(key)
            self._complain(said[:_MOST_SAID])

    def _if_alive(self, node: str, write: Callable[[ClientSession | None], bool]) -> bool:
        """Do what `write` does if it returns True and the node is alive; raises FencedError if that is dead.

        In a transaction. A standalone server has none: there the one node that owns everything looks before it writes,
        and what `write` did stays, whatever it returns: it is found later, as after an answer that was lost.
        """
        if not self.exclusive:
            return self._in_transaction(node, write)
        if self._nodes.find_one(alive(node), ["_id"]) is None:
            raise FencedError
        return write(None)

    def _in_transaction(self, node: str, write: Callable[[ClientSession | None], bool]) -> bool:
        """Not by the driver's with_transaction: it tries for two minutes, and nobody hears that the server is away.

        Collections' options do not count in a transaction, and the client's are the user's: all are named here.
        """
        jobs, session = self._jobs, self._session
        with session.start_transaction(jobs.read_concern, jobs.write_concern, jobs.read_preference):
            if not write(session):
                session.abort_transaction()
                return False
            # Last: from here to the end, nobody can bury the node.
            guard = {"$inc": {"transactions": 1}}
            if not self._nodes.update_one(alive(node), guard, session=session).matched_count:
                raise FencedError
        return True
