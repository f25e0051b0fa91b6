"""The probe port: is the runner well, what does it do? For orchestrators, Prometheus and people on the machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from gsched.errors import ConfigurationError, SchedulerNotRunningError
from gsched.event_loop.stacks import stacks_text
from gsched.metrics import REMEDY, collector
from gsched.monitoring.health import Check, Health, health_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.web.address import is_loopback, parse_address, shown_address
from gsched.web.overview import LocalOverview
from gsched.web.server import BoundedServer
from gsched.wording import escaped

STOP_SECONDS: Final = 1.0  # for requests that are being answered

_STACKS: Final = "/stacks"
_TEXT: Final = "text/plain; charset=utf-8"

Answer = tuple[str, str, bytes]  # status, content type, body


class ProbeServer:
    """Serves /livez, /readyz, /health, /metrics, /overview and /stacks.

    :ivar address: where it listens, as HOST:PORT
    """

    def __init__(self, host: str, port: int, scheduler: GeventScheduler, draining: Callable[[], bool]) -> None:
        self._overview = LocalOverview(scheduler)
        self._pages = _Pages(scheduler, draining, self._overview)
        self._server = BoundedServer(host, port, self._serve)
        self._server.start()
        self.address = shown_address(host, self._server.server_port)

    def stop(self) -> None:
        """Stop listening. Requests that are being answered have a second to end."""
        self._overview.stop()
        self._server.stop(timeout=STOP_SECONDS)

    def _serve(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        page = self._pages.by_path.get(environ["PATH_INFO"])
        headers = []
        if page is None:
            answer = _plain("404 Not Found", f"there are: {' '.join(self._pages.by_path)}")
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            answer = _plain("405 Method Not Allowed", "GET or HEAD")
            headers = [("Allow", "GET, HEAD")]
        elif not self._is_addressed(environ):
            answer = _plain("421 Misdirected Request", "the Host is neither an address nor localhost")
        else:
            answer = page(environ)
        status, kind, body = answer
        headers += [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(status, [*headers, ("Connection", "close")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _is_addressed(self, environ: Mapping[str, Any]) -> bool:
        """A port that strangers can reach answers to any name, except on the paths that are for this machine only."""
        for_all = environ["PATH_INFO"] != _STACKS and not self._server.is_private
        return for_all or self._server.is_named_by(environ.get("HTTP_HOST", ""))


def serve_probe(address: str, scheduler: GeventScheduler, *, draining: Callable[[], bool]) -> ProbeServer:
    """Listen on `address` and answer, in greenlets of the calling thread's hub, without a log line per request.

    :param address: HOST:PORT, or a port alone, which is on loopback; with port 0 the system chooses one
    :param draining: True once the process has been asked to end
    :raises ConfigurationError: if the address is none, or cannot be listened on
    """
    host, port = parse_address(address)
    try:
        return ProbeServer(host, port, scheduler, draining)
    except OSError as error:
        why = (error.strerror or str(error)).partition(": (")[0]  # gevent adds the address
        raise ConfigurationError(f"probe: cannot listen on {address}: {why}") from error


class _Pages:
    """The answers, by path."""

    def __init__(
        self, scheduler: GeventScheduler, draining: Callable[[], bool], overview: LocalOverview
    ) -> None:
        self._overview = overview
        self._scheduler = scheduler
        self._draining = draining
        self._collector: Any = None
        self.by_path: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "/livez": lambda _: _verdict(self._health().liveness),
            "/readyz": lambda _: _verdict(self._health().checks()),
            "/health": self._as_json,
            "/metrics": self._metrics,
            "/overview": self._overview_page,
            _STACKS: _stacks,
        }

    def _health(self) -> Health:
        return health_of(self._scheduler.status(), self._draining())

    def _as_json(self, _: Mapping[str, Any]) -> Answer:
        health = self._health()
        body = json.dumps(health.as_dict(), indent=2) + "\n"
        return _status(health.ready), "application/json", body.encode()

    def _overview_page(self, environ: Mapping[str, Any]) -> Answer:
        """For people on this machine only: it names jobs and shows errors."""
        if not is_loopback(environ.get("REMOTE_ADDR", "")):
            return _FORBIDDEN
        try:
            found = self._overview.read()
        except SchedulerNotRunningError as error:
            return _plain("503 Service Unavailable", str(error))
        return "200 OK", "application/json", f"{json.dumps(asdict(found), default=datetime.isoformat)}\n".encode()

    def _metrics(self, environ: Mapping[str, Any]) -> Answer:
        """Ours, and what the application registered in the registry of the process."""
        try:
            from prometheus_client.exposition import choose_encoder
        except ImportError:
            return _plain("501 Not Implemented", REMEDY)
        if self._collector is None:
            self._collector = _WithTheProcess(collector(self._scheduler))
        encode, kind = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        return "200 OK", kind, encode(self._collector)


class _WithTheProcess:
    """A collector's metrics, and all others of the process."""

    def __init__(self, ours: Any) -> None:
        self._ours = ours

    def collect(self) -> Iterator[Any]:
        from prometheus_client import REGISTRY

        ours = {family.name for family in self._ours.describe()}
        yield from self._ours.collect()
        yield from (family for family in REGISTRY.collect() if family.name not in ours)


def _stacks(environ: Mapping[str, Any]) -> Answer:
    """For people on this machine only: stacks show code."""
    if not is_loopback(environ.get("REMOTE_ADDR", "")):
        return _FORBIDDEN
    return "200 OK", _TEXT, stacks_text().encode(errors="replace")


def _verdict(checks: Iterable[Check]) -> Answer:
    failing = [f"{check.name}: {check.what}" for check in checks if not check.ok]
    return _plain(_status(not failing), "\n".join(map(escaped, failing)) or "ok")


def _status(ok: bool) -> str:
    return "200 OK" if ok else "503 Service Unavailable"


def _plain(status: str, text: str) -> Answer:
    return status, _TEXT, f"{text}\n".encode()


_FORBIDDEN: Final = _plain("403 Forbidden", "only from this machine")
