"""The paths of the API, each with what answers it and who may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from gsched.web.actions import ApiActions
from gsched.web.answers import ApiAnswers
from gsched.web.news import EVERY_SECONDS

API: Final = "api/v1"

_NOW: Final = 0.0
_A_SECOND: Final = 1.0
_TEN_SECONDS: Final = 10.0
_A_MINUTE: Final = 60.0
_FIVE_MINUTES: Final = 300.0
_TEN_MINUTES: Final = 600.0


class Look(NamedTuple):
    """A path that is read.

    :ivar shared: for how many seconds users share an answer
    """

    path: str
    answer: Callable[..., dict[str, Any]]
    shared: float = EVERY_SECONDS


class Deed(NamedTuple):
    """A path that changes something.

    :ivar permission: the user needs it
    :ivar answer: gives the status and the body
    """

    method: str
    path: str
    permission: str
    answer: Callable[..., tuple[int, dict[str, Any]]]


LOOKS: Final = (
    Look("me", ApiAnswers.me, _NOW),
    Look("overview", ApiAnswers.overview),
    Look("jobs", ApiAnswers.jobs),
    Look("counts", ApiAnswers.counts),
    Look("tags", ApiAnswers.tags, _A_MINUTE),
    Look("rows", ApiAnswers.rows),
    Look("job", ApiAnswers.job),
    Look("job/instants", ApiAnswers.instants),
    Look("job/next", ApiAnswers.next),
    Look("job/explain", ApiAnswers.explain),
    Look("runs", ApiAnswers.runs),
    Look("run", ApiAnswers.run),
    Look("run/output", ApiAnswers.output, _A_SECOND),
    Look("errors", ApiAnswers.errors),
    Look("load", ApiAnswers.load, _TEN_MINUTES),
    Look("rates", ApiAnswers.rates, _A_MINUTE),
    Look("nodes", ApiAnswers.nodes),
    Look("groups", ApiAnswers.groups, _TEN_SECONDS),
    Look("audit", ApiAnswers.audit),
    Look("doctor", ApiAnswers.doctor, _FIVE_MINUTES),
)

DEEDS: Final = (
    Deed("POST", "jobs/run", "run", ApiActions.run),
    Deed("POST", "jobs/pause", "pause", ApiActions.pause),
    Deed("POST", "jobs/resume", "pause", ApiActions.resume),
    Deed("POST", "jobs/remove", "remove", ApiActions.remove),
    Deed("PATCH", "job", "edit", ApiActions.edit),
    Deed("POST", "runs/cancel", "cancel", ApiActions.cancel),
    Deed("POST", "nodes/drain", "drain", ApiActions.drain),
)
