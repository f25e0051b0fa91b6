"""Words of other tools, and verbs without their noun, each with the command line that the user means.

{} stands for the arguments.
"""

from __future__ import annotations

from typing import Final

OF_JOBS: Final[dict[str, str]] = {
    **dict.fromkeys(("create", "new", "schedule"), "gsched job add {}"),
    **dict.fromkeys(("delete", "rm", "del", "unschedule"), "gsched job remove {}"),
    **dict.fromkeys(("disable", "suspend", "stop"), "gsched job pause {}"),
    **dict.fromkeys(("enable", "unpause", "continue", "start"), "gsched job resume {}"),
    **dict.fromkeys(("trigger", "run-now", "exec", "execute"), "gsched job run {}"),
    **dict.fromkeys(("update", "change", "modify", "reschedule"), "gsched job set {}"),
    **dict.fromkeys(("cp", "clone", "duplicate"), "gsched job copy {}"),
    **dict.fromkeys(("mv", "move"), "gsched job rename {}"),
    "ls": "gsched job list {}",
    **dict.fromkeys(("logs", "log", "history"), "gsched runs list --job {}"),
}
OF_ALL: Final[dict[str, str]] = {
    **OF_JOBS,
    **{verb: f"gsched job {verb} {{}}" for verb in ("list", "show", "next", "add", "edit", "copy", "rename", "set")},
    **{verb: f"gsched job {verb} {{}}" for verb in ("pause", "resume", "respread", "remove")},
    "jobs": "gsched job list {}",
    **dict.fromkeys(("status", "ps", "monitor"), "gsched top {}"),
    **dict.fromkeys(("tail", "follow"), "gsched runs tail --job {}"),
    **{verb: f"gsched runs {verb} {{}}" for verb in ("cancel", "retry", "output")},
    "kill": "gsched runs cancel {}",
    **dict.fromkeys(("start", "worker", "beat", "scheduler", "daemon", "serve"), "gsched run {}"),
    **dict.fromkeys(("nodes", "workers"), "gsched node list {}"),
    "drain": "gsched node drain {}",
    **dict.fromkeys(("dashboard", "ui", "server"), "gsched web {}"),
    **{verb: f"gsched store {verb} {{}}" for verb in ("export", "import", "backup", "purge", "init", "stats")},
    **dict.fromkeys(("validate", "test", "lint"), "gsched check {}"),
    "version": "gsched --version",
    "help": "gsched --help",
}
