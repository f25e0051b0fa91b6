"""The socket between the process executor and a worker process: how the worker gets its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

from gevent.monkey import get_original


def start_with_socket(command: list[str]) -> tuple[Any, Any]:
    """A new process, and the socket to it.

    :param command: what to start. It gets one more argument, for `inherited_socket`, and no standard input
    :return: the socket, which waits as gevent's do, and the process
    """
    from gevent.socket import socketpair  # late, for programs that monkey-patch after they imported gsched

    ours, theirs = socketpair()
    try:
        # Under monkey-patching this is gevent's Popen, which fits gevent's handling of SIGCHLD.
        if sys.platform == "win32":
            process = subprocess.Popen([*command, "-"], stdin=subprocess.PIPE)
            _share(theirs, process)
        else:
            fd = theirs.fileno()
            process = subprocess.Popen([*command, str(fd)], stdin=subprocess.DEVNULL, pass_fds=[fd])
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours, process


def _share(theirs: Any, process: Any) -> None:
    """Windows hands sockets on by a text that only the process can use to which it is addressed."""
    native = get_original("socket", "socket")(fileno=theirs.detach())
    with native, process.stdin as stdin:
        stdin.write(native.share(process.pid))


def inherited_socket(argument: str) -> socket.socket:
    """The end of the process that was started, from its last argument. It waits natively."""
    if sys.platform == "win32":
        ours = socket.fromshare(sys.stdin.buffer.read())
    else:
        ours = socket.socket(fileno=int(argument))
        # Otherwise programs that a run starts would hide this worker's end from the parent.
        os.set_inheritable(ours.fileno(), False)
    ours.setblocking(True)
    return ours
