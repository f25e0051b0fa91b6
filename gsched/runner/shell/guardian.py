"""The guardian of commands: ends the commands of a runner that was killed. Standard library only.

The runner starts it as a script. Its standard input has lines "+GROUP" and "-GROUP", for process groups that begin and
end. The runner holds the other end of the pipe. When that end closes, the runner is gone: the groups that are left get
TERM, and KILL two seconds later.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Event

GRACE_SECONDS = 2.0
POLL_SECONDS = 0.1
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the guardian ends when the runner has ended


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
