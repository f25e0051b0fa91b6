"""Who may ask what: a table of requests and their status; permissions; what no answer gives away."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO
from itertools import product
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from web_rig import API, FROM_PAGE, WebRig

from gsched import ConfigurationError
from gsched.web import PERMISSIONS, User, create_app
from gsched.web.parameters import MOST_BODY_BYTES
from gsched.web.routes import DEEDS, LOOKS
from gsched.web.users import first_known, known_by_header, known_by_token

TOKEN = "0123456789abcdef"
JSON = "application/json"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.fixture
def web(unstarted):
    unstarted.every(10, id="job")
    return WebRig(unstarted.scheduler, allowed_hosts=["dash.example"])


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


# -- the table ------------------------------------------------------------------------------------------------------

# method, Host, Origin, Sec-Fetch-Site, Content-Type, X-Gsched -> status
TABLE = [
    # Host: loopback names, addresses and allowed names
    ("GET", "localhost", None, None, None, None, 200),
    ("GET", "localhost:8789", None, "same-origin", None, None, 200),
    ("GET", "LOCALHOST", None, None, None, None, 200),
    ("GET", "127.0.0.1:8789", None, None, None, None, 200),
    ("GET", "[::1]:8789", None, None, None, None, 200),
    ("GET", "10.0.0.7", None, None, None, None, 200),
    ("GET", "dash.example:443", None, None, None, None, 200),
    ("GET", "evil.example", None, None, None, None, 421),
    ("GET", "evil.example:8789", None, "same-origin", None, None, 421),
    ("GET", "127.0.0.1.evil.example", None, None, None, None, 421),
    ("GET", "localhost.evil.example", None, None, None, None, 421),
    ("GET", "dash.example.evil.example", None, None, None, None, 421),
    ("GET", "user@127.0.0.1", None, None, None, None, 421),
    ("GET", "127.0.0.1, evil.example", None, None, None, None, 421),
    ("GET", "", None, None, None, None, 421),
    # GET: other sites' pages read nothing
    ("GET", "localhost", None, "none", None, None, 200),
    ("GET", "localhost", "http://evil.example", "cross-site", None, None, 403),
    ("GET", "localhost", None, "same-site", None, None, 403),
    # POST: from our own pages, and from programs
    ("POST", "localhost", "http://localhost", "same-origin", JSON, "1", 200),
    ("POST", "localhost:8789", "http://localhost:8789", None, JSON, "1", 200),
    ("POST", "dash.example", "https://dash.example", None, JSON, "1", 200),
    ("POST", "dash.example:443", "https://dash.example", None, JSON, "1", 200),
    ("POST", "localhost", None, None, JSON, "1", 200),
    ("POST", "localhost", None, None, "application/json; charset=utf-8", "1", 200),
    ("POST", "evil.example", "http://evil.example", "same-origin", JSON, "1", 421),
    ("POST", "localhost", "http://evil.example", "cross-site", JSON, "1", 403),
    ("POST", "localhost", "http://evil.example", None, JSON, "1", 403),
    ("POST", "localhost", "null", None, JSON, "1", 403),
    ("POST", "localhost:8789", "http://localhost:8000", None, JSON, "1", 403),
    ("POST", "localhost", None, "same-site", JSON, "1", 403),
    ("POST", "localhost", None, "none", JSON, "1", 403),
    ("POST", "localhost", "http://localhost", "same-origin", JSON, None, 403),
    ("POST", "localhost", "http://localhost", "same-origin", JSON, "2", 403),
    ("POST", "localhost", "http://localhost", "same-origin", "text/plain", "1", 403),
    ("POST", "localhost", "http://localhost", "same-origin", "application/x-www-form-urlencoded", "1", 403),
    ("POST", "localhost", "http://localhost", "same-origin", None, "1", 403),
]


@pytest.mark.parametrize(("method", "host", "origin", "site", "kind", "own", "status"), TABLE)
def test_a_request_is_answered_only_if_a_user_has_meant_it(web, method, host, origin, site, kind, own, status):
    given = {"Host": host, "Origin": origin, "Sec-Fetch-Site": site, "Content-Type": kind, "X-Gsched": own}
    headers = {name: value for name, value in given.items() if value is not None}
    path, body = ("me", None) if method == "GET" else ("jobs/pause", b'{"ids": ["job"]}')
    response = web.request(method, f"{API}/{path}", headers=headers, data=body)
    assert response.status_code == status, response.data
    if status != 200:
        code = json.loads(response.data)["error"]["code"]
        assert code == {421: "host_not_allowed", 403: "cross_site"}[status]
        assert web.job("job")["state"] == "scheduled"


@pytest.mark.parametrize(
    "path", ["/", "/jobs", "/static/x/app.js", f"{API}/openapi.json", f"{API}/events", "/nowhere"]
)
def test_the_name_is_looked_at_before_anything_else(web, path):
    assert web.request("GET", path, headers={"Host": "evil.example"}).status_code == 421


def test_an_application_that_checks_names_itself_allows_all_of_them(unstarted):
    web = WebRig(unstarted.scheduler, allowed_hosts=["*"])
    assert web.request("GET", f"{API}/me", headers={"Host": "any.example"}).status_code == 200


def test_no_answer_allows_other_sites_anything(web):
    headers = {
        "Host": "localhost", "Origin": "http://evil.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-gsched, content-type",
    }  # fmt: skip
    for method in ("OPTIONS", "GET", "POST"):
        response = web.request(method, f"{API}/jobs/pause", headers=headers)
        assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]
        assert response.status_code >= 400


@pytest.mark.parametrize(
    "path", ["/", "/jobs", f"{API}/me", f"{API}/nowhere", "/static/x/y", f"{API}/jobs?x=1", "/..", ""]
)
def test_every_answer_has_the_headers_that_keep_browsers_in_check(web, path):
    for host in ("localhost", "evil.example"):
        response = web.request("GET", path, headers={"Host": host})
        assert {name: response.headers[name] for name in HEADERS} == HEADERS


# -- who asks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("10.1.2.3", {}, 401),
        ("", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "10.1.2.3"}, 401),
        ("127.0.0.1", {"Forwarded": "for=10.1.2.3"}, 401),
    ],
)
def test_unless_the_application_knows_its_users_only_this_machine_is_answered(web, peer, headers, status):
    for path in ("/", f"{API}/me", f"{API}/jobs"):
        assert web.request("GET", path, peer=peer, headers={"Host": "localhost", **headers}).status_code == status


@pytest.mark.parametrize(
    ("authorization", "actor"),
    [
        (f"Bearer {TOKEN}", "token"),
        (f"bearer  {TOKEN}", "token"),
        (basic("ops", TOKEN), "ops"),
        (basic("", TOKEN), "anonymous"),
        (basic("müller", TOKEN), "müller"),
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer wrong", None),
        (f"Bearer {TOKEN}x", None),
        (f"Bearer {TOKEN[:-1]}", None),
        (f"Digest {TOKEN}", None),
        (basic("ops", "wrong"), None),
        (basic(TOKEN, "x"), None),
        ("Basic ###", None),
        ("Basic " + "é" * 8, None),
    ],
)
def test_users_with_a_token_are_known_by_it_alone(unstarted, authorization, actor):
    web = WebRig(unstarted.scheduler, authorize=known_by_token(TOKEN))
    headers = FROM_PAGE if authorization is None else {**FROM_PAGE, "Authorization": authorization}
    response = web.request("GET", f"{API}/me", headers=headers, peer="10.1.2.3")
    assert response.status_code == (200 if actor else 401)
    if actor:
        assert json.loads(response.data)["actor"] == actor
    else:
        assert response.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("peer", "name", "actor"),
    [("127.0.0.1", "ops", "ops"), ("127.0.0.1", " ", None), ("127.0.0.1", None, None), ("10.1.2.3", "ops", None)],
)
def test_a_proxy_on_this_machine_may_name_the_user(unstarted, peer, name, actor):
    web = WebRig(unstarted.scheduler, authorize=first_known(known_by_header("X-Forwarded-User"), known_by_token(TOKEN)))
    headers = FROM_PAGE if name is None else {**FROM_PAGE, "X-Forwarded-User": name}
    response = web.request("GET", f"{API}/me", headers=headers, peer=peer)
    assert (response.status_code, json.loads(response.data).get("actor")) == (200 if actor else 401, actor)


def test_a_user_does_what_they_may_and_nothing_else(unstarted):
    unstarted.every(10, id="job")
    for count, allowed in product((0, 1), PERMISSIONS):
        may = {"view", allowed} if count else {allowed}
        web = WebRig(unstarted.scheduler, authorize=lambda environ, may=may: User("ops", may))
        for deed in DEEDS:
            response = web.request(deed.method, f"{API}/{deed.path}", headers=FROM_PAGE, json={})
            assert (response.status_code == 403) == (deed.permission not in may), (deed, may)
        for look in LOOKS:
            status = web.request("GET", f"{API}/{look.path}", headers=FROM_PAGE).status_code
            assert (status == 403) == ("view" not in may), (look, may)


def test_a_server_that_changes_nothing_refuses_all_deeds(unstarted):
    web = WebRig(unstarted.scheduler, read_only=True)
    assert web.get("me")["may"] == ["view"]
    for deed in DEEDS:
        response = web.request(deed.method, f"{API}/{deed.path}", headers=FROM_PAGE, json={})
        assert (response.status_code, json.loads(response.data)["error"]["code"]) == (403, "read_only")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allowed_hosts": "dash.example"}, "allowed_hosts: expected a list"),
        ({"authorize": "ops"}, "authorize: 'ops' is not callable"),
        ({"redact": 5}, "redact: 5 is not callable"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(unstarted, options, message):
    with pytest.raises(ConfigurationError, match=message):
        create_app(unstarted.scheduler, **options)


def test_a_permission_that_does_not_exist_is_refused():
    with pytest.raises(ConfigurationError, match="fly: the permissions are view, run"):
        User("ops", {"view", "fly"})


# -- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(web, chunked):
    body = json.dumps({"ids": ["job"], "reason": "x" * MOST_BODY_BYTES}).encode()
    headers = {**FROM_PAGE, "Content-Type": JSON}
    options: dict[str, Any] = {"data": body}
    if chunked:
        options = {"input_stream": BytesIO(body), "environ_overrides": {"wsgi.input_terminated": True}}
    response = web.request("POST", f"{API}/jobs/pause", headers=headers, **options)
    assert (response.status_code, json.loads(response.data)["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "name",
    [
        *("../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "..\\app.py", "index.html"),
        *("app.js/../../app.py", "%00"),
    ],
)
def test_no_file_outside_the_directory_is_served(web, name):
    fingerprint = web.app._assets.fingerprint
    response = web.request("GET", f"/static/{fingerprint}/{name}", headers={"Host": "localhost"})
    assert response.status_code == 404
    assert b"import" not in response.data and b"root:" not in response.data


def test_files_are_kept_for_ever_and_pages_are_not(web):
    page = web.request("GET", "/", headers={"Host": "localhost"})
    fingerprint = web.app._assets.fingerprint
    assert page.headers["Cache-Control"] == "no-cache"
    assert f"static/{fingerprint}/app.js" in page.text and "{{" not in page.text
    file = web.request("GET", f"/static/{fingerprint}/app.js", headers={"Host": "localhost"})
    assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert file.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert web.request("GET", "/static/old/app.js", headers={"Host": "localhost"}).status_code == 404


# -- secrets --------------------------------------------------------------------------------------------------------

SECRET = "hunter2-correct-horse"


def leak(*args: Any, **kwargs: Any) -> None:
    raise ConnectionError(f"login of {kwargs} failed: password={SECRET}, see https://user:{SECRET}@db.example/")


def by_position(host: str, password: str) -> None:
    raise ConnectionError(f"{host} refuses --password {SECRET}")


def every_answer(web: WebRig, job_ids: list[str]) -> bytes:
    """All that the API tells."""
    answers = [web.request("GET", f"{API}/{look.path}", headers=FROM_PAGE).data for look in LOOKS]
    runs = [run["run_id"] for run in web.get("runs")["runs"]]
    for path, ids in (("job", job_ids), ("job/instants", job_ids), ("job/next", job_ids), ("run", runs)):
        for each in ids:
            answers.append(web.request("GET", f"{API}/{path}", headers=FROM_PAGE, query_string={"id": each}).data)
    explained = {"id": job_ids[0], "at": "2026-03-02T12:00:10Z"}
    answers.append(web.request("GET", f"{API}/job/explain", headers=FROM_PAGE, query_string=explained).data)
    return b"".join(answers)


def test_a_secret_in_a_job_is_in_no_answer(bench):
    kwargs = {"password": SECRET, "nested": [{"api_key": SECRET}], "url": f"mongodb://root:{SECRET}@db/x"}
    bench.every(10, leak, id="named", kwargs=kwargs, metadata={"authToken": SECRET})
    bench.every(10, by_position, id="placed", args=["db.example", SECRET])
    bench.every(10, leak, id="headers", kwargs={"headers": {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET}})
    bench.advance(35)
    web = WebRig(bench.scheduler)
    frames = iter(web.request("GET", f"{API}/events", headers=FROM_PAGE).response)
    next(frames)
    bench.advance(10)
    seen = every_answer(web, ["named", "placed", "headers"]) + next(frames)
    assert seen.count(b"failed") > 10 and b"db.example" in seen
    assert SECRET.encode() not in seen
    rev = web.job("named")["rev"]
    changed = web.patch("job", {"timeout": 3}, query={"id": "named"}, If_Match=rev)
    assert SECRET not in json.dumps([changed, web.get("audit")])
    web.close()


def test_a_masked_value_stays_when_the_rest_is_edited(bench):
    bench.every(10, leak, id="job", kwargs={"password": SECRET, "host": "a"})
    web = WebRig(bench.scheduler)
    job = web.job("job")
    edited = job["kwargs"].replace('"a"', '"b"')
    assert SECRET not in edited and edited != job["kwargs"]
    web.patch("job", {"kwargs": edited}, query={"id": "job"}, If_Match=job["rev"])
    assert bench.scheduler.get_job("job").kwargs == {"password": SECRET, "host": "b"}
    replaced = json.dumps({"password": "another-one", "host": "b"})
    web.patch("job", {"kwargs": replaced}, query={"id": "job"}, If_Match=web.job("job")["rev"])
    assert bench.scheduler.get_job("job").kwargs["password"] == "another-one"


def test_a_mask_in_another_place_is_refused(bench):
    bench.every(10, leak, id="job", kwargs={"password": SECRET})
    web = WebRig(bench.scheduler)
    moved = web.job("job")["kwargs"].replace("password", "shown")
    refused = web.patch("job", {"kwargs": moved}, 400, query={"id": "job"}, If_Match=web.job("job")["rev"])
    assert "stands for a secret that is not in this place" in refused["error"]["message"]


def test_an_application_decides_what_is_shown(bench):
    def redact(name: str, value: Any) -> Any:
        return "hidden" if name == "customer" else value

    bench.every(10, leak, id="job", kwargs={"customer": "acme", "password": "shown"})
    kwargs = json.loads(WebRig(bench.scheduler, redact=redact).job("job")["kwargs"])
    assert kwargs == {"customer": "hidden", "password": "shown"}


def test_an_error_that_nobody_expects_is_in_the_log_without_its_secrets(unstarted, monkeypatch):
    def fail(*_: Any) -> Any:
        raise RuntimeError(f"password={SECRET}")

    web = WebRig(unstarted.scheduler)
    monkeypatch.setattr(type(unstarted.scheduler.admin), "get_nodes", fail)
    structlog.configure()
    with capture_logs() as logged:
        answer = web.get("nodes", 500)
    assert answer["error"]["code"] == "failed" and SECRET not in json.dumps(answer)
    (line,) = [line for line in logged if line["event"] == "web.failed"]
    assert "RuntimeError" in line["traceback"] and SECRET not in json.dumps(line)
