"""The guardian of commands: ends what a runner's commands left when the runner was killed. Standard library only.

Run as a script. It reads lines "+GROUP" and "-GROUP", the process groups that begin and end, from standard input, whose
other end the runner holds: when that closes, the runner is gone, and the groups that are left get TERM, then KILL.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Event

GRACE_SECONDS = 2.0
POLL_SECONDS = 0.1
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the guardian's life is bounded by the runner's


def main() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end(groups)


def end(groups: set[int]) -> None:
    left = {group for group in groups if signalled(group, signal.SIGTERM)}
    for _ in range(round(GRACE_SECONDS / POLL_SECONDS)):
        left = {group for group in left if signalled(group, 0)}
        if not left:
            return
        Event().wait(POLL_SECONDS)
    for group in left:
        signalled(group, signal.SIGKILL)


def signalled(group: int, number: int) -> bool:
    """Signal a group: True if it exists and may be signalled."""
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
