"""Access to the shared documents for the claim protocol: collections, transactions, and reports of strange documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from pymongo.client_session import ClientSession

from gsched.jobs.document import DocumentReader
from gsched.stores.claims.database import FencedError
from gsched.stores.claims.partition import SLOTS
from gsched.stores.mongodb.documents.claims import alive
from gsched.stores.mongodb.driver.codec import Document
from gsched.stores.mongodb.driver.connection import Connection

_KEEP_LOST: Final = timedelta(days=14)
_LONGEST_COMPLAINT: Final = 300  # characters: it quotes the document


class ClaimAccess:
    """One process's access to the shared documents, on connections that bulk work does not use.

    :param reader: makes a reader for a batch of job documents
    :param keep: how long the record of a lost run is kept
    :param complain: called with a message about a document that is malformed, or that the database refuses to change
    """

    def __init__(
        self,
        connection: Connection,
        reader: Callable[[], DocumentReader],
        keep: timedelta = _KEEP_LOST,
        complain: Callable[[str], object] = lambda message: None,
    ) -> None:
        self._connection = connection
        self._keep = keep
        self._reader = reader
        self.exclusive = False
        self._complain = complain
        self._complained: set[str] = set()  # the documents about which `complain` was called
        self._started: ClientSession | None = None

    @property
    def _session(self) -> ClientSession:
        """The session of all transactions. If this process is killed, other nodes can end its transaction by it."""
        client = self._connection.control().client
        if self._started is None or self._started.client is not client:  # the connection has a new client
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
        """Find slots in one round trip: there are more than the server puts into a first batch by itself."""
        found: Iterable[Document] = self._slots.find(wanted, fields, batch_size=SLOTS + 1)
        return found

    def _sane(
        self, what: str, documents: Iterable[Document], is_sane: Callable[[Document], bool]
    ) -> Iterator[Document]:
        """The well-formed documents. Each of the others, which somebody wrote by hand, is reported once."""
        for document in documents:
            if is_sane(document):
                yield document
            else:
                key = f"{what} {document['_id']!r}"
                self._complain_once(key, f"{key} is malformed, and left out: {document!r}")

    def _report_refused(self, job_id: str, reason: object) -> None:
        """Report that the database refuses to change the job's document, which stays as it is."""
        key = f"job {job_id!r}"
        self._complain_once(key, f"the database refuses to change the document of {key}: {reason}")

    def _complain_once(self, key: str, message: str) -> None:
        if key not in self._complained:
            self._complained.add(key)
            self._complain(message[:_LONGEST_COMPLAINT])

    def _if_alive(self, node: str, write: Callable[[ClientSession | None], bool]) -> bool:
        """Call `write` in a transaction that commits if `write` returns True and the node is alive.

        A standalone server has no transactions. There, the one node that owns all slots looks whether it is alive
        before it writes, and what `write` did stays even if it returns False. The protocol allows for that, as it does
        for a lost answer.

        :return: what `write` returned
        :raises FencedError: if the node is dead
        """
        if not self.exclusive:
            return self._in_transaction(node, write)
        if self._nodes.find_one(alive(node), ["_id"]) is None:
            raise FencedError
        return write(None)

    def _in_transaction(self, node: str, write: Callable[[ClientSession | None], bool]) -> bool:
        """One attempt at a transaction. The driver's with_transaction would retry for two minutes without an event.

        A transaction ignores the collections' options and would take those of the user's client: all are given here.
        """
        jobs, session = self._jobs, self._session
        with session.start_transaction(jobs.read_concern, jobs.write_concern, jobs.read_preference):
            if not write(session):
                session.abort_transaction()
                return False
            # Last: from here until the commit, no other node can bury this one.
            guard = {"$inc": {"transactions": 1}}
            if not self._nodes.update_one(alive(node), guard, session=session).matched_count:
                raise FencedError
        return True
