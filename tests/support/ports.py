"""Ports for servers that tests start by number."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from typing import Final

# Below the range from which Linux gives ports to whoever asks for any: until the server listens, no connection of
# another process can take them.
_FIRST: Final = 15_000
_LAST: Final = 32_767
_TRIES: Final = 100


def free_port(neighbours: int = 0) -> int:
    """A loopback port that nobody uses, and whose next `neighbours` ports are free too."""
    any_place = random.SystemRandom()  # tests in parallel that seed `random` alike get different ports
    for _ in range(_TRIES):
        port = any_place.randint(_FIRST, _LAST - neighbours)
        try:
            with ExitStack() as bound:
                for number in range(port, port + neighbours + 1):
                    bound.enter_context(socket.create_server(("127.0.0.1", number)))
        except OSError:
            continue
        return port
    raise AssertionError(f"no {neighbours + 1} free ports in {_TRIES} tries")
