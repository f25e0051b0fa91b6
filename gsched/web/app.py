"""The dashboard's server, as one WSGI application: it works at any place, below any prefix, on any server."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterable
from importlib.resources import files
from typing import Any, Final

from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from gsched.event_loop.slices import Slice, give_way, paced
from gsched.schedulers.base import BaseScheduler
from gsched.web.actions import ApiActions
from gsched.web.answers import ApiAnswers
from gsched.web.asking import Ask, Served
from gsched.web.assets import Assets, packed
from gsched.web.feed import Feed
from gsched.web.guard import Guard
from gsched.web.news import LiveNews
from gsched.web.parameters import Parameters, body_of, query_of
from gsched.web.reader import StoreReader
from gsched.web.redaction import Redact, Redaction, redacted
from gsched.web.refusals import RequestRefused, refused_by
from gsched.web.routes import API, DEEDS, LOOKS, Deed, Look
from gsched.web.trouble import log_failure
from gsched.web.users import Authorize, on_this_machine

PAGES: Final = ("", "overview", "jobs", "job", "runs", "run", "failures", "load", "nodes", "audit")

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_JSON: Final = "application/json"
_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_STREAM: Final = "text/event-stream"
_GZIP: Final = 31  # zlib's name of the format
_ZIPPED_AT_ONCE: Final = 1 << 15  # bytes
_LEAST_ZIPPED: Final = 1400  # bytes: what fits into one packet stays as it is
_LOOK_METHODS: Final = ("GET", "HEAD")
_EVENTS: Final = "events"
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class WebApplication:
    """A WSGI application: the pages, and the API below `api/v1/`."""

    def __init__(
        self,
        scheduler: BaseScheduler,
        *,
        authorize: Authorize = on_this_machine,
        read_only: bool = False,
        allowed_hosts: Collection[str] = (),
        redact: Redact = redacted,
        title: str = "",
    ) -> None:
        served = Served(scheduler, read_only, title)
        self._guard = Guard(authorize, allowed_hosts, read_only)
        self._redact = redact
        self._assets = Assets()
        self._reader = StoreReader(scheduler.clock.monotonic)
        self._feed = Feed(scheduler.clock.monotonic, lambda: self._news.want())
        self._news = LiveNews(scheduler, self._feed, self._reader, redact, self._reader.forget)
        self._answers = ApiAnswers(served, self._news)
        self._actions = ApiActions(served, self._answers, self._feed, self._reader.forget)
        self._routes = Map(list(self._rules()), merge_slashes=False, redirect_defaults=False)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        response = self._respond(request)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response(environ, start_response)

    def close(self) -> None:
        """End all streams, so that a server can stop in time. The scheduler goes on."""
        self._feed.close()
        self._news.close()

    # -- from a request to an answer --------------------------------------------------------------------------------

    def _rules(self) -> Iterable[Rule]:
        for page in PAGES:
            yield Rule(f"/{page}", endpoint=self._page, methods=_LOOK_METHODS)
        yield Rule("/<name>", endpoint=self._no_page, methods=_LOOK_METHODS)
        yield Rule("/static/<fingerprint>/<path:name>", endpoint=self._assets.file, methods=_LOOK_METHODS)
        for look in LOOKS:
            yield Rule(f"/{API}/{look.path}", endpoint=look, methods=_LOOK_METHODS)
        for deed in DEEDS:
            yield Rule(f"/{API}/{deed.path}", endpoint=deed, methods=[deed.method])
        yield Rule(f"/{API}/events", endpoint=_EVENTS, methods=_LOOK_METHODS)
        yield Rule(f"/{API}/openapi.json", endpoint=self._openapi, methods=_LOOK_METHODS)

    def _respond(self, request: Request) -> Response:
        try:
            self._guard.check_host(request)
            return self._answer(request)
        except RequestRefused as refused:
            return self._refused(request, refused)
        except HTTPException as error:
            return self._refused(request, _of_http(error))
        except Exception as error:
            refused_as = refused_by(error)
            if refused_as is None:
                log_failure(error, self._redact)
                remedy = "the log of the server has the details, as web.failed"
                refused_as = RequestRefused(500, "failed", "the server could not answer", remedy)
            return self._refused(request, refused_as)

    def _answer(self, request: Request) -> Response:
        if not request.environ.get("PATH_INFO"):  # below a prefix, relative addresses need the slash
            return Response(status=308, headers={"Location": f"{request.environ.get('SCRIPT_NAME', '')}/"})
        endpoint, arguments = self._routes.bind_to_environ(request.environ).match()
        if callable(endpoint):  # pages and files, which have no data of ours
            return endpoint(request, **arguments)  # type: ignore[no-any-return]
        self._guard.check_site(request)
        user = self._guard.user_of(request)
        self._guard.check_permission(user, endpoint.permission if isinstance(endpoint, Deed) else "view")
        body = body_of(request) if isinstance(endpoint, Deed) else Parameters({})
        ask = Ask(request, user, self._guard.permissions(user), query_of(request), body, Redaction(self._redact))
        if isinstance(endpoint, Look):
            return self._look(ask, endpoint)
        return self._do(ask, endpoint) if isinstance(endpoint, Deed) else self._stream(ask)

    def _look(self, ask: Ask, look: Look) -> Response:
        def answer() -> bytes:
            found = look.answer(self._answers, ask)
            ask.check_all_taken()
            pace = Slice()
            shown = ask.redaction.whole(found, pace.breathe)
            pace.breathe()
            return _encoded(shown)

        if not look.shared:
            return _json(ask.request, answer())
        self._news.want()
        key = look.path, tuple(sorted(ask.request.args.items(multi=True)))
        return _json(ask.request, self._reader.ask(key, look.shared, answer))

    def _do(self, ask: Ask, deed: Deed) -> Response:
        status, found = deed.answer(self._actions, ask)
        return _json(ask.request, _encoded(ask.redaction.whole(found)), status)

    def _stream(self, ask: Ask) -> Response:
        ask.check_all_taken()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if ask.request.method == "HEAD":  # nobody would read the stream, or end it
            return Response(content_type=_STREAM, headers=headers)
        last = ask.request.headers.get("Last-Event-ID", "")
        is_number = last.isascii() and last.isdigit() and len(last) < 16
        stream = self._feed.stream(int(last) if is_number else None, lambda: self._may_look(ask.request))
        return Response(stream, content_type=_STREAM, headers=headers, direct_passthrough=True)

    def _may_look(self, request: Request) -> bool:
        """True if whoever made a request some time ago may still look: sessions end, and permissions go."""
        try:
            self._guard.check_permission(self._guard.user_of(request), "view")
        except RequestRefused:
            return False
        except Exception as error:  # of the application that knows the users
            log_failure(error, self._redact)
            return False
        return True

    def _page(self, request: Request) -> Response:
        self._guard.user_of(request)  # a browser asks for the password before the page, not in it
        return self._assets.page(request)

    def _no_page(self, request: Request, name: str) -> Response:
        """An unknown address: browsers get a page, and programs get an error as JSON."""
        if "text/html" not in request.accept_mimetypes.values():
            raise NotFound
        response = self._page(request)
        response.status_code = 404
        return response

    def _openapi(self, request: Request) -> Response:
        return _json(request, files("gsched.web").joinpath("openapi.json").read_bytes())

    def _refused(self, request: Request, refused: RequestRefused) -> Response:
        response = _json(request, _encoded(Redaction(self._redact).whole(refused.as_object())), refused.status)
        response.headers.extend(refused.headers)
        return response


def _of_http(error: HTTPException) -> RequestRefused:
    """The answer of the routing to a request."""
    status = error.code or 400
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    remedy = f"GET {API}/openapi.json has the paths" if status in (404, 405) else None
    return RequestRefused(status, _CODES.get(status, "invalid"), str(error.description), remedy, headers=headers)


def _encoded(answer: dict[str, Any]) -> bytes:
    """As JSON; other greenlets have turns between the members of its lists."""
    return f"{{{','.join(f'{_to_json(key)}:{_member(value)}' for key, value in answer.items())}}}".encode()


def _member(value: Any) -> str:
    return f"[{','.join(_to_json(each) for each in paced(value))}]" if isinstance(value, list) else _to_json(value)


def _json(request: Request, body: bytes, status: int = 200) -> Response:
    if len(body) < _LEAST_ZIPPED:
        return Response(body, status, {"Cache-Control": "no-store"}, content_type=_JSON)
    return packed(request, body, lambda: _zipped(body), _JSON, "no-store", status)


def _zipped(body: bytes) -> bytes:
    """As gzip has it; other greenlets have turns meanwhile."""
    zipper = zlib.compressobj(4, wbits=_GZIP)
    give_way()  # what made the answer may have taken a slice already
    parts = [zipper.compress(body[at : at + _ZIPPED_AT_ONCE]) for at in paced(range(0, len(body), _ZIPPED_AT_ONCE))]
    return b"".join([*parts, zipper.flush()])
