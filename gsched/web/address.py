"""Where the probe listens."""

from __future__ import annotations

from typing import Final

from gsched.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
USUAL: Final = f"{LOOPBACK}:8788"


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT", "[IPv6]:PORT", ":PORT" or "PORT"; loopback where no host is named.

    :raises ConfigurationError: if it is none of these
    """
    host, _, port = address.strip().rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"probe: expected HOST:PORT or a port from 0 to 65535, got {address!r}")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def shown_address(host: str, port: int) -> str:
    """HOST:PORT."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
