"""Asks a runner's probe port. Imports little: exec probes start this every few seconds."""

from __future__ import annotations

import socket
from time import monotonic
from typing import Final

from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.web.address import parse_address, shown_address

_LONGEST: Final = 1 << 26  # bytes of an answer


def ask_probe(address: str, path: str, timeout_seconds: float) -> tuple[int, bytes]:
    """The status and the body that the probe port answers with.

    :param address: as `gsched run --probe` takes it
    :param timeout_seconds: to connect, and then for the whole answer
    :raises CommandRefused: if no answer comes in time, or one that is not HTTP (exit code 7)
    """
    host, port = parse_address(address)
    where = shown_address(host, port)
    request = f"GET {path} HTTP/1.0\r\nHost: {where}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), timeout_seconds) as connection:
            connection.sendall(request.encode("ascii"))
            answer = _whole(connection, timeout_seconds)
    except TimeoutError:
        raise _unhealthy(f"{where} does not answer within {timeout_seconds:g} s") from None
    except OSError as error:
        remedy = "is the runner up, and started with --probe?"
        raise _unhealthy(f"nobody answers at {where}: {error.strerror or error}", remedy) from None
    return _parsed(answer, where)


def _whole(connection: socket.socket, timeout_seconds: float) -> bytes:
    """All bytes that arrive until the other end closes the connection. Raises TimeoutError."""
    answer, deadline = bytearray(), monotonic() + timeout_seconds
    while (remaining := deadline - monotonic()) > 0:
        connection.settimeout(remaining)
        part = connection.recv(1 << 16)
        if not part:
            return bytes(answer)
        answer += part
        if len(answer) > _LONGEST:
            break
    raise TimeoutError


def _parsed(answer: bytes, where: str) -> tuple[int, bytes]:
    if not answer:
        raise _unhealthy(f"what listens at {where} gives no answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise _unhealthy(f"what answers at {where} is no probe port of gsched")
    return int(words[1]), body


def _unhealthy(message: str, remedy: str | None = None) -> CommandRefused:
    return CommandRefused(message, Exit.UNHEALTHY, remedy)
