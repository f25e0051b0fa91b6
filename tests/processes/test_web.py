"""The dashboard on real servers: its own, beside a runner, and inside applications."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_line import EXECUTABLE, gsched, in_process
from ports import free_port
from waiting import LONGEST_SECONDS, wait_until
from web_site import Serve, Site

pytest_plugins = ["web_site"]

HERE = Path(__file__).parents[1] / "support"
PREFIX = "/ops/gsched"
TOKEN = "0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The address of a SQLite store with a job."""
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    lines = [{"format": "gsched jobs", "version": 1}]
    lines.append({"id": "job", "func": "builtins:print", "trigger": {"type": "interval", "seconds": 3600}})
    assert in_process("store", "init", "--store", url).code == 0
    done = in_process("store", "import", "-", "--store", url, stdin="".join(f"{json.dumps(each)}\n" for each in lines))
    assert done.code == 0, done
    return url


def first_overview(site: Site) -> Any:
    """The first overview of the stream of live events."""
    with site.open("/api/v1/events") as stream:
        for line in stream:
            if line == b"event: overview\n":
                next(stream)
                return json.loads(next(stream).removeprefix(b"data: "))
    raise AssertionError("the stream has ended")


# -- gsched web -----------------------------------------------------------------------------------------------------


def test_gsched_web_shows_a_store_and_changes_it_and_runs_nothing(serve: Serve, store: str) -> None:
    site = serve(EXECUTABLE, "web", "127.0.0.1:0", "--store", store, "--log-format", "json").wait_for_address()
    assert site.get("me")["running"] is False
    assert site.get("jobs")["jobs"][0]["state"] == "scheduled"  # though its function is not looked up here
    assert site.post("jobs/pause", {"ids": ["job"], "reason": "vendor down"})["changed"] == 1
    shown = json.loads(in_process("job", "show", "job", "--store", store, "-o", "json").out)
    assert (shown["state"], shown["pause"]["reason"]) == ("paused", "vendor down")
    assert first_overview(site)["jobs"]["paused"] == 1
    stream = site.open("/api/v1/events")  # one that is open when the server ends
    assert site.end() == 0
    assert stream.read().startswith(b"retry")
    assert "Traceback" not in site.output()


def test_pages_and_files_are_served_with_relative_addresses(serve: Serve, store: str) -> None:
    site = serve(EXECUTABLE, "web", "127.0.0.1:0", "--store", store, "--log-format", "json").wait_for_address()
    page = site.open("/").read().decode()
    (place,) = set(re.findall(r'"(static/[0-9a-f]+)/', page))
    waiting, seen = {"app.js"}, set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        text = site.open(f"/{place}/{name}").read().decode()
        found = re.findall(r'(?:from ?|await import\()"(\.\.?/[^"]+)"', text)
        waiting |= {os.path.normpath(os.path.join(os.path.dirname(name), each)) for each in found} - seen
    assert {"live.js", "pages/jobs.js", "vendor/preact.js", "vendor/uplot.js"} <= seen


def test_a_foreign_name_is_refused_by_the_real_server(serve: Serve, store: str) -> None:
    site = serve(
        EXECUTABLE, "web", "127.0.0.1:0", "--store", store, "--log-format", "json", "--web-hosts", "dash.example"
    ).wait_for_address()  # fmt: skip
    assert [site.status("/", Host=host) for host in ("evil.example", "dash.example")] == [421, 200]


def test_users_need_the_token_in_the_file(serve: Serve, store: str, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    secret.chmod(0o600)
    site = serve(
        EXECUTABLE, "web", "127.0.0.1:0", "--store", store, "--log-format", "json", "--web-token-file", secret
    ).wait_for_address()  # fmt: skip
    assert [site.status(path) for path in ("/", "/api/v1/me", "/api/v1/events")] == [401] * 3
    site.headers = {"Authorization": f"Bearer {TOKEN}"}
    assert site.get("me")["actor"] == "token"
    assert TOKEN not in site.output()


@pytest.mark.parametrize(
    ("arguments", "token", "code", "said"),
    [
        (["0.0.0.0:0"], None, 3, "others than this machine reach 0.0.0.0:0, and users need no token"),
        (["[::]:0"], None, 3, "others than this machine reach"),
        (["127.0.0.1:0", "--web-token-file", "FILE"], None, 3, "all users can read the token (mode 0644): chmod 600"),
        (["127.0.0.1:0", "--web-token-file", "none"], None, 3, "none: No such file or directory"),
        (["127.0.0.1:0"], "short", 3, "GSCHED_WEB_TOKEN: the token needs at least 16"),
        (["nonsense"], None, 3, "web: expected HOST:PORT"),
        (["127.0.0.1:0", "--memory"], None, 3, "a memory store is inside the process that runs it"),
    ],
)
def test_a_server_that_would_be_open_to_strangers_is_refused(
    store: str, tmp_path: Path, arguments: list[str], token: str | None, code: int, said: str
) -> None:
    (tmp_path / "FILE").write_text(TOKEN)
    (tmp_path / "FILE").chmod(0o644)
    place = [] if "--memory" in arguments else ["--store", store]
    variables = {} if token is None else {"GSCHED_WEB_TOKEN": token}
    done = gsched("web", *arguments, *place, directory=tmp_path, **variables)
    assert (done.code, said in done.err, TOKEN in done.err) == (code, True, False), done


def test_a_port_that_is_taken_is_an_error_that_says_so(serve: Serve, store: str) -> None:
    site = serve(EXECUTABLE, "web", "127.0.0.1:0", "--store", store, "--log-format", "json").wait_for_address()
    done = gsched("web", site.base.removeprefix("http://"), "--store", store)
    assert done.code == 1 and "Address already in use" in done.err


# -- gsched run --web -----------------------------------------------------------------------------------------------


def test_a_runner_serves_its_dashboard_whatever_its_store(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "gsched.toml").write_text(
        '[store]\nmemory = true\n[web]\naddress = "127.0.0.1:0"\ntitle = "prices"\n[log]\nformat = "json"\n'
        '[[job]]\nid = "beat"\ncommand = "true"\ntrigger = { type = "interval", seconds = 0.2 }\n'
    )
    site = serve(EXECUTABLE, "run", "-c", "gsched.toml").wait_for_address()
    wait_until(lambda: site.get("me")["running"], site.output)
    assert site.get("me")["title"] == "prices"
    wait_until(lambda: site.get("job?id=beat")["runs"], site.output)
    site.post("jobs/pause", {"ids": ["beat"], "reason": "x"})
    wait_until(lambda: site.get("job?id=beat")["state"] == "paused", site.output)
    stream = site.open("/api/v1/events")
    assert site.end() == 0
    stream.close()
    assert "Traceback" not in site.output()


# -- inside applications --------------------------------------------------------------------------------------------

SERVERS = {
    "flask": ([sys.executable, HERE / "web_servers.py", "flask", "PORT"], "flask"),
    "django": ([sys.executable, HERE / "web_servers.py", "django", "PORT"], "django"),
    "fastapi": ([sys.executable, "-W", "ignore", HERE / "web_servers.py", "fastapi", "PORT"], "fastapi"),
    "pywsgi": ([sys.executable, HERE / "web_servers.py", "pywsgi", "PORT"], "gevent"),
    "unpatched-pywsgi": ([sys.executable, HERE / "web_servers.py", "unpatched-pywsgi", "PORT"], "gevent"),
    **{
        f"gunicorn-{kind}": (
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:web_servers", "-k", kind, "--threads", "4"),
                *("-b", "127.0.0.1:PORT", "--graceful-timeout", "3", "web_servers:of_gunicorn()"),
            ],
            "gunicorn",
        )
        for kind in ("gthread", "gevent")
    },
}


@pytest.mark.parametrize("kind", SERVERS)
def test_an_application_serves_the_dashboard_below_a_prefix(serve: Serve, kind: str) -> None:
    command, package = SERVERS[kind]
    if find_spec(package) is None and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {package}")
    port = free_port()
    arguments = [str(each).replace("PORT", str(port)) for each in command]
    site = serve(*arguments, PYTHONPATH=str(HERE)).wait_for_answer(f"http://127.0.0.1:{port}{PREFIX}")
    me = site.get("me")
    assert (me["actor"], me["title"], me["running"]) == ("ops", "test", True)
    wait_until(lambda: site.get("job?id=tick")["runs"], site.output)
    assert site.post("jobs/pause", {"ids": ["tick"], "reason": "x"})["changed"] == 1
    assert site.get("job?id=tick")["pause"]["by"] == "ops"
    assert first_overview(site)["jobs"]["scheduled"] is not None
    assert re.search(r'src="static/[0-9a-f]+/app\.js"', site.open("/").read().decode())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{PREFIX}", timeout=LONGEST_SECONDS) as page:
        assert page.url.endswith(f"{PREFIX}/")
    assert site.status("/api/v1/me", **{"Sec-Fetch-Site": "cross-site"}) == 403
