"""Asks a runner's probe port what the runner does."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from gsched.cli.probe_client import ask_probe
from gsched.monitoring.activity import NodeActivity, Overview, Period
from gsched.monitoring.loop_shares import LoopShares
from gsched.monitoring.overdue import Overdue
from gsched.monitoring.troubles import JobTrouble, LongRun, TroubleGroup
from gsched.runner.exit_codes import CommandRefused, Exit

_TIMEOUT_SECONDS: Final = 3.0


def ask_overview(address: str) -> Overview:
    """The overview of the runner whose probe port is there.

    Raises CommandRefused if no answer comes in time, or the answer is not that of a runner of this version.
    """
    status, body = ask_probe(address, "/overview", _TIMEOUT_SECONDS)
    if status == 503:
        raise CommandRefused(f"the runner at {address}: {body.decode(errors='replace').strip()}", Exit.UNHEALTHY)
    try:
        return _overview(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CommandRefused(f"what answers at {address} is no runner of this version", Exit.UNHEALTHY) from None


def _overview(found: dict[str, Any]) -> Overview:
    return Overview(
        jobs=found["jobs"],
        nodes=(),
        activities=tuple(map(_activity, found["activities"])),
        troubles=tuple(JobTrouble(**each) for each in found["troubles"]),
        groups=tuple(TroubleGroup(**each) for each in found["groups"]),
        in_progress=tuple(LongRun(**each) for each in found["in_progress"]),
        overdue=tuple(
            Overdue(**{**each, "since": datetime.fromisoformat(each["since"])}) for each in found["overdue"]
        ),
        is_shared=found["is_shared"],
    )


def _activity(found: dict[str, Any]) -> NodeActivity:
    loop = found["loop"]
    values = {"recent": Period(**found["recent"]), "loop": None if loop is None else LoopShares(**loop)}
    return NodeActivity(**{**found, **values})
