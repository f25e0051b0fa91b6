"""Addresses: where a server listens, and by which name a request calls it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from gsched.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
USUAL: Final = f"{LOOPBACK}:8788"  # of the probe
USUAL_WEB: Final = f"{LOOPBACK}:8789"


def parse_address(address: str, what: str = "probe") -> tuple[str, int]:
    """Host and port of "HOST:PORT", "[IPv6]:PORT", ":PORT" or "PORT"; loopback where no host is named.

    :param what: the server, for messages
    :raises ConfigurationError: if it is none of these
    """
    host, _, port = address.strip().rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"{what}: expected HOST:PORT or a port from 0 to 65535, got {address!r}")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def shown_address(host: str, port: int) -> str:
    """HOST:PORT."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def name_in(host_header: str) -> str:
    """The name or address in a request's Host, in small letters, without the port."""
    name = host_header.lower()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] if ":" in name else name
    return name.removeprefix("[").removesuffix("]")


def is_address(name: str) -> bool:
    """True for an address in numbers."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(peer: str) -> bool:
    """True for an address of this machine alone."""
    return is_address(peer) and ip_address(peer.removeprefix("::ffff:")).is_loopback
