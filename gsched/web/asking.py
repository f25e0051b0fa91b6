"""What the parts of the API have at hand: the scheduler, and one request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gsched.jobs.pause_document import LONGEST_NAME
from gsched.schedulers.acting import acting
from gsched.schedulers.base import BaseScheduler
from gsched.schedulers.engine import Engine, engine_of
from gsched.web.parameters import Parameters
from gsched.web.redaction import Redaction
from gsched.web.users import User

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

VIA = "web"


@dataclass(frozen=True)
class Ask:
    """One request of a user who may make it.

    :ivar may: what the user may do
    :ivar query: the parameters in the address
    :ivar body: those in the body; without any for GET
    :ivar redaction: masks the secrets of the answer
    """

    request: Request
    user: User
    may: frozenset[str]
    query: Parameters
    body: Parameters
    redaction: Redaction

    def check_all_taken(self) -> None:
        """Refuse the request if it has parameters that nobody has taken."""
        self.query.check_none_left()
        self.body.check_none_left()

    @contextmanager
    def acting(self, reason: str | None) -> Iterator[None]:
        """Call verbs on behalf of the user."""
        address = self.request.environ.get("REMOTE_ADDR") or None
        with acting(self.user.name, via=VIA, reason=reason, address=address and address[:LONGEST_NAME]):
            yield


@dataclass(frozen=True)
class Served:
    """The scheduler whose jobs are shown.

    :ivar title: what the pages are headed with
    """

    scheduler: BaseScheduler
    read_only: bool
    title: str

    @property
    def engine(self) -> Engine:
        """The scheduler's engine."""
        return engine_of(self.scheduler)

    def now(self) -> int:
        """The database's time, ms."""
        return self.engine.now_ms()
