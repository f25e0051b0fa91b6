"""The verbs that users call, one file a theme: `JobVerbs` are those on jobs, `AdminVerbs` those of operators."""

from __future__ import annotations

from gsched.schedulers.verbs.add import AddVerbs
from gsched.schedulers.verbs.change import ChangeVerbs
from gsched.schedulers.verbs.export import ExportVerbs
from gsched.schedulers.verbs.history import HistoryVerbs
from gsched.schedulers.verbs.limits import LimitVerbs
from gsched.schedulers.verbs.list import ListVerbs
from gsched.schedulers.verbs.pause import PauseVerbs
from gsched.schedulers.verbs.respread import RespreadVerbs
from gsched.schedulers.verbs.retry import RetryVerbs
from gsched.schedulers.verbs.runs import RunVerbs


class JobVerbs(
    AddVerbs,
    ChangeVerbs,
    RespreadVerbs,
    PauseVerbs,
    LimitVerbs,
    ListVerbs,
    RunVerbs,
    RetryVerbs,
    HistoryVerbs,
    ExportVerbs,
):
    """All verbs on jobs and their groups."""
