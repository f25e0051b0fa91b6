"""Serves the dashboard on a port of its own: who may reach it, and by what they are known."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

from gevent.socket import getaddrinfo

from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.files.text import read_text
from gsched.schedulers.base import BaseScheduler
from gsched.web.address import is_address, is_loopback, parse_address, shown_address
from gsched.web.embedding import create_app
from gsched.web.lasting import LastingServer
from gsched.web.users import Authorize, first_known, known_by_header, known_by_token

TOKEN_VARIABLE: Final = "GSCHED_WEB_TOKEN"
LEAST_TOKEN: Final = 16  # characters
STOP_SECONDS: Final = 1.0  # for requests that are being answered


class Dashboard:
    """The dashboard, served.

    :ivar address: where it listens, as HOST:PORT
    """

    def __init__(self, host: str, port: int, scheduler: BaseScheduler, configuration: Configuration) -> None:
        hosts = [*configuration.web_hosts, *([] if is_address(host) else [host])]
        authorize = _authorize(configuration)
        listening = _reachable(host, port, authorize)
        self._app = create_app(
            scheduler,
            authorize=authorize,
            read_only=configuration.web_read_only,
            allowed_hosts=hosts,
            title=configuration.web_title,
        )
        self._server = LastingServer(listening, port, self._app)
        self._server.start()
        self.address = shown_address(host, self._server.server_port)

    def stop(self) -> None:
        """End all streams, and stop listening. Requests that are being answered have a second to end."""
        self._app.close()
        self._server.stop(STOP_SECONDS)


def serve_dashboard(address: str, scheduler: BaseScheduler, configuration: Configuration) -> Dashboard:
    """Listen on `address` and answer, in greenlets of the calling thread's hub.

    :param address: HOST:PORT, or a port alone, which is on loopback; with port 0 the system chooses one
    :raises ConfigurationError: if the address is none, or cannot be listened on, or is reached by others than this
        machine though users need no token; or if the token cannot be used
    """
    host, port = parse_address(address, "web")
    try:
        return Dashboard(host, port, scheduler, configuration)
    except OSError as error:
        why = (error.strerror or str(error)).partition(": (")[0]  # gevent adds the address
        raise ConfigurationError(f"web: cannot listen on {address}: {why}") from error


def _reachable(host: str, port: int, authorize: Authorize | None) -> str:
    """The address to listen on. Raises ConfigurationError if others could reach it without proof of who they are."""
    found = [str(each[4][0]) for each in getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if authorize is None and not all(map(is_loopback, found)):
        raise ConfigurationError(
            f"web: others than this machine reach {shown_address(host, port)}, and users need no token: set"
            f" --web-token-file or {TOKEN_VARIABLE}, or listen on 127.0.0.1, behind a proxy that asks for passwords"
        )
    return found[0]


def _authorize(configuration: Configuration) -> Authorize | None:
    """How users are known; None: they need only be on this machine."""
    ways = []
    if (token := _token(configuration)) is not None:
        ways.append(known_by_token(token))
    if configuration.web_user_header is not None:
        ways.append(known_by_header(configuration.web_user_header))
    return first_known(*ways) if ways else None


def _token(configuration: Configuration) -> str | None:
    path = configuration.web_token_file
    if path is None:
        token, where = os.environ.pop(TOKEN_VARIABLE, None), TOKEN_VARIABLE  # jobs need not see it
    else:
        _refuse_readable(path)
        token, where = read_text(path).strip(), path
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise ConfigurationError(
            f"{where}: the token needs at least {LEAST_TOKEN} printable ASCII characters; `openssl rand -hex 32` makes"
            " one"
        )
    return token


def _refuse_readable(path: str) -> None:
    """Raises ConfigurationError if every user of the machine can read the file."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    if mode & stat.S_IROTH:
        raise ConfigurationError(
            f"{path}: all users can read the token (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}"
        )
