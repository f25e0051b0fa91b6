"""A day of an operator, who has the JSON API and nothing else: one process runs jobs, another one serves the API."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from command_line import EXECUTABLE
from waiting import wait_until
from web_site import Serve, Site

pytest_plugins = ["web_site"]

TOKEN = "0123456789abcdef"
FILE = """
[store]
url = "sqlite:///jobs.sqlite"
[log]
format = "json"

[[job]]
id = "mail"
command = "echo no route to 10.0.4.17; exit 3"
trigger = { type = "interval", seconds = 0.5 }

[[job]]
id = "report"
command = "sleep 600"
trigger = { type = "interval", seconds = 0.5 }
timeout = "1h"

[[job]]
id = "refresh"
command = "true"
trigger = { type = "interval", hours = 1 }
"""


def log_in(site: Site, name: str) -> None:
    site.headers = {"Authorization": "Basic " + b64encode(f"{name}:{TOKEN}".encode()).decode()}


@pytest.fixture
def site(serve: Serve, tmp_path: Path) -> Site:
    (tmp_path / "gsched.toml").write_text(FILE)
    serve(EXECUTABLE, "run", "-c", "gsched.toml")
    wait_until(lambda: (tmp_path / "jobs.sqlite").exists(), "the store")
    made = serve(EXECUTABLE, "web", "127.0.0.1:0", "-c", "gsched.toml", GSCHED_WEB_TOKEN=TOKEN).wait_for_address()
    log_in(made, "anna")
    return made


def test_a_day_of_an_operator(site: Site) -> None:
    # What fails? One job, again and again, and all failures are alike.
    failing = wait_until(lambda: site.get("jobs?state=failing")["jobs"], site.output)
    assert [job["id"] for job in failing] == ["mail"]
    (group,) = [group for group in site.get("errors?since=1h")["groups"] if group["outcome"] == "failed"]
    assert (group["job_ids"], group["error_type"]) == (["mail"], "CommandFailedError")
    run = site.get(f"run?id={quote(group['example'], safe='')}")
    assert "no route to 10.0.4.17" in run["attempts"][0]["error_message"]

    # Why did an instant of the report not run? The run before it is still in progress.
    def skipped() -> list[dict[str, str]]:
        instants = site.get("job/instants?id=report&since=1h")["instants"]
        return [each for each in instants if each["outcome"] == "skipped"]

    instant = wait_until(skipped, site.output)[0]
    assert instant["reason"] == "max_instances"
    explained = site.get("job/explain?" + urlencode({"id": "report", "at": instant["at"]}))
    assert explained["recorded"] and "max_instances" in explained["sentence"]

    # The mail waits until the network is mended: everybody sees why.
    assert site.post("jobs/pause", {"ids": ["mail"], "reason": "network is down", "until": "8h"})["changed"] == 1
    pause = site.get("job?id=mail")["pause"]
    assert (pause["reason"], pause["by"]) == ("network is down", "anna")

    # Another trigger for the refresh; a colleague is faster, and is not overwritten.
    seen = site.get("job?id=refresh")["rev"]
    log_in(site, "bert")
    site.post("job?id=refresh", {"timeout": 30, "reason": "it hangs at times"}, "PATCH", **{"If-Match": seen})
    log_in(site, "anna")
    wanted = {"trigger": "*/15 * * * *", "reason": "customers wait"}
    path = "/api/v1/job?id=refresh"
    assert site.status(path, "PATCH", wanted, **{"If-Match": seen}) == 409
    now = site.get("job?id=refresh")
    assert (now["timeout"], now["last_change"]["by"], now["last_change"]["reason"]) == (30, "bert", "it hangs at times")
    tried = site.post("job?id=refresh&check=1", wanted, "PATCH")
    assert {each["at"][14:19] for each in tried["next"]} <= {"00:00", "15:00", "30:00", "45:00"}
    changed = site.post("job?id=refresh", wanted, "PATCH", **{"If-Match": now["rev"]})
    assert "*/15 * * * *" in changed["trigger"] and changed["timeout"] == 30

    # The report hangs, in another process than the one that is asked.
    (hanging,) = wait_until(lambda: site.get("runs?job=report&outcome=running")["runs"], site.output)
    assert site.post("runs/cancel", {"id": hanging["run_id"], "reason": "hangs since noon"}) == {
        "run_id": hanging["run_id"]
    }
    ended = wait_until(lambda: site.get("runs?job=report&outcome=cancelled")["runs"], site.output)
    assert hanging["run_id"] in [each["run_id"] for each in ended]

    # Who did what, the newest first.
    done = site.get("audit")["entries"]
    assert [(each["actor"], each["action"], each["target"], each["reason"]) for each in done] == [
        ("anna", "run.cancel", hanging["run_id"], "hangs since noon"),
        ("anna", "job.change", "refresh", "customers wait"),
        ("bert", "job.change", "refresh", "it hangs at times"),
        ("anna", "job.pause", "mail", "network is down"),
    ]
    assert {each["via"] for each in done} == {"web"}
    assert done[2]["after"] == {"timeout_seconds": "30"}
