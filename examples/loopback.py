"""What the examples share: servers in processes of their own, and a small HTTP client. Import it after patching."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.os import make_nonblocking, nb_read
from gevent.queue import LifoQueue

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@contextmanager
def child_server(script: str, *arguments: str) -> Iterator[int]:
    """Run `python script arguments... --serve FD`, where FD is a listening loopback socket; gives its port.

    The socket listens before the child is up, so that clients need not wait for the child. The child ends when its
    standard input ends: at the latest when this process ends, however it ends.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        child = subprocess.Popen(
            [sys.executable, script, *arguments, "--serve", str(fd)],
            pass_fds=[fd],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which ends the child when it is done with it
        )
    try:
        yield port
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def serve_until_orphaned(server: Any) -> None:
    """In the child: serve until standard input ends."""

    def wait_for_parent() -> None:
        make_nonblocking(0)
        while nb_read(0, 1):
            pass
        server.stop(timeout=1)

    gevent.spawn(wait_for_parent)
    server.serve_forever()


def inherited_socket(fd: int) -> socket.socket:
    """In the child: the listening socket that `--serve FD` names."""
    return socket.socket(fileno=fd)


def stop_on_sigterm(stop: Any) -> None:
    """Call `stop` in a greenlet when this process gets SIGTERM."""
    gevent.signal_handler(signal.SIGTERM, stop)


class HttpClient:
    """GETs from one server over at most `size` connections, which are kept open.

    A request costs a third of one with http.client, which would be most of the cost of a poll.
    """

    def __init__(self, port: int, size: int = 64, timeout_seconds: float = 5.0) -> None:
        self._address = ("127.0.0.1", port)
        self._timeout = timeout_seconds
        self._connections: LifoQueue = LifoQueue()  # the one used last is taken first
        for _ in range(size):
            self._connections.put(None)

    def get(self, path: str) -> bytes:
        """The body. Raises OSError (also TimeoutError) if there is none, or if the status is not 200."""
        connection = self._connections.get()
        try:
            if connection is None:
                connection = socket.create_connection(self._address, self._timeout)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            status, body = _exchange(connection, path)
        except BaseException:  # a run that is cut short must not leave half an answer to the next one
            if connection is not None:
                connection.close()
                connection = None
            raise
        finally:
            self._connections.put(connection)
        if status != 200:
            raise OSError(f"{path}: status {status}")
        return body


def _exchange(connection: socket.socket, path: str) -> tuple[int, bytes]:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    reply = _receive(connection)
    while b"\r\n\r\n" not in reply:
        reply += _receive(connection)
    head, _, body = reply.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length is None:
        raise OSError(f"{path}: an answer without a length")
    while len(body) < int(length[1]):
        body += _receive(connection)
    return int(head[9:12]), body


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise ConnectionError("the server closed the connection")
    return received

