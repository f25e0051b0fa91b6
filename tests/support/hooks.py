"""Servers on loopback that take messages, and keep them."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

CERTIFICATE: Final = Path(__file__).parent / "tls" / "certificate.pem"  # for localhost; a key made for these tests


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HookServer:
    """An HTTP server.

    :ivar requests: what it got
    :ivar status: its answer; 0: it closes the connection
    :ivar headers: of its answer
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append(Request(self.path, dict(self.headers), body))
                if server.status:
                    self.send_response(server.status)
                    for name, value in server.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(b"said by the server")

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"http{'' if tls is None else 's'}://127.0.0.1:{self._server.server_port}/hook/of-secret-path"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def messages(self) -> list[Any]:
        return [request.json for request in self.requests]

    def subjects(self) -> list[str]:
        return [message["subject"] for message in self.messages()]


class MailServer:
    """An SMTP server with STARTTLS and login.

    :ivar mails: what it took: the sender, the recipients and the text
    :ivar refuses: it refuses recipients
    """

    def __init__(self, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.mails: list[tuple[str, list[str], str]] = []
        self.refuses = False
        self._tls = tls
        self._login = None if login is None else base64.b64encode(f"\0{login[0]}\0{login[1]}".encode()).decode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            self._say(client, "220 ready")
            is_secret, is_known, sender, to = False, self._login is None, "", []
            lines = client.makefile("rb")
            while line := lines.readline().decode(errors="replace").strip():
                verb = line.partition(" ")[0].upper()
                if verb == "EHLO":
                    offers = ["AUTH PLAIN"] if is_secret else ["STARTTLS"] if self._tls else []
                    self._say(client, "250-here", *(f"250-{offer}" for offer in offers), "250 8BITMIME")
                elif verb == "STARTTLS" and self._tls is not None:
                    self._say(client, "220 go on")
                    client = self._tls.wrap_socket(client, server_side=True)
                    lines, is_secret = client.makefile("rb"), True
                elif verb == "AUTH":
                    is_known = line.endswith(f" {self._login}")
                    self._say(client, "235 known" if is_known else f"535 no: {line}")
                elif verb == "MAIL":
                    sender = line
                    self._say(client, "250 ok" if is_known else "530 log in")
                elif verb == "RCPT":
                    to.append(line.partition("<")[2].rstrip(">"))
                    self._say(client, "550 nobody" if self.refuses else "250 ok")
                elif verb == "DATA":
                    self._say(client, "354 go on")
                    text = b"".join(iter(lines.readline, b".\r\n")).decode()
                    self.mails.append((sender, to, text))
                    self._say(client, "250 taken")
                else:
                    self._say(client, "221 bye" if verb == "QUIT" else "250 ok")

    def _say(self, client: socket.socket, *lines: str) -> None:
        client.sendall("".join(f"{line}\r\n" for line in lines).encode())


def tls_server() -> ssl.SSLContext:
    """What a server with our certificate, for localhost, needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))
    return context
