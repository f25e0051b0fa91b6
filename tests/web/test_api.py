"""The JSON API: each path on each store, compared with the OpenAPI file; and each error, with its remedy."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from store_bench import StoreBench
from web_rig import API, FROM_PAGE, OPENAPI, WebRig

from gsched import GeventScheduler, acting, current_run
from gsched.stores import BaseJobStore
from gsched.web.routes import DEEDS, LOOKS

pytest_plugins = ["mongodb"]

THRICE_A_DAY = {"hour": 12, "minute": 0, "second": "10,20,30"}  # from the bench's start on


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    made = StoreBench(any_store, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def web(bench: StoreBench) -> Iterator[WebRig]:
    made = WebRig(bench.scheduler, title="test")
    yield made
    made.close()


@pytest.fixture
def played(bench: StoreBench) -> StoreBench:
    """Two jobs have run three times, and one of them has failed. Their fourth runs are a day away."""
    bench.add("good/one", "cron", **THRICE_A_DAY, tags=["etl"])
    bench.add("bad", "cron", **THRICE_A_DAY, acts="SFF", tags=["mail"])
    bench.start()
    bench.until(lambda: len(bench.began("bad")) == 3 and len(bench.began("good/one")) == 3)
    bench.until(lambda: bench.scheduler.get_counters("bad").failures == 2)
    return bench


# -- the description ------------------------------------------------------------------------------------------------


def test_the_openapi_file_has_the_paths_of_the_api_and_no_others():
    described = {(method.upper(), path[1:]) for path, each in OPENAPI["paths"].items() for method in each}
    there = {("GET", look.path) for look in LOOKS} | {(deed.method, deed.path) for deed in DEEDS}
    assert described == there | {("GET", "events"), ("GET", "openapi.json")}


def test_the_openapi_file_is_served():
    assert WebRig(GeventScheduler()).get("openapi.json") == OPENAPI


# -- what is read ---------------------------------------------------------------------------------------------------


def test_me_tells_who_asks_and_what_they_may_do(web):
    me = web.get("me")
    assert (me["actor"], me["title"], me["read_only"], me["zone"]) == ("anonymous", "test", False, "UTC")
    assert set(me["may"]) == {"view", "run", "pause", "edit", "remove", "cancel", "drain"}


def test_a_page_of_jobs_has_their_last_outcomes_and_the_place_of_the_next_page(played, web):
    first = web.get("jobs", limit=1, sort="id")
    second = web.get("jobs", limit=1, sort="id", after=first["next"])
    bad, good = first["jobs"][0], second["jobs"][0]
    assert (bad["id"], bad["recent"], bad["runs"], bad["failures"]) == ("bad", "sff", 3, 2)
    assert (good["id"], good["recent"], good["failing_since"]) == ("good/one", "sss", None)
    assert bad["failing_since"] is not None and bad["last"]["outcome"] == "failed"
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"state": "failing"}, ["bad"]),
        ({"state": "paused"}, []),
        ({"tag": "etl"}, ["good/one"]),
        ({"q": "OOD"}, ["good/one"]),
        ({"prefix": "ba"}, ["bad"]),
    ],
)
def test_jobs_are_chosen_by_state_tag_and_text(played, web, query, ids):
    assert [job["id"] for job in web.get("jobs", **query)["jobs"]] == ids


def test_jobs_that_are_overdue_are_found_and_counted(bench, web):
    bench.start().add("late", "interval", days=1, expect_success_every=60)
    bench.add("other", "interval", days=1)
    bench.clock.skip(61_000)
    found = web.get("jobs", state="overdue")["jobs"]
    assert [(row["id"], row["overdue_at"]) for row in found] == [("late", "2026-03-02T12:01:00+00:00")]
    counts = web.get("counts", state="overdue")
    assert (counts["overdue"], counts["matched"], counts["total"]) == (1, 1, 2)


def test_counts_and_tags_are_told(played, web):
    counts = web.get("counts")
    assert (counts["total"], counts["failing"], counts["paused"], counts["overdue"]) == (2, 1, 0, 0)
    assert {each["tag"]: each["jobs"] for each in web.get("tags")["tags"]} == {"etl": 1, "mail": 1}


def test_rows_are_some_jobs_without_those_that_are_gone(played, web):
    assert [row["id"] for row in web.get("rows", id=["bad", "gone"])["rows"]] == ["bad"]
    assert web.get("rows")["rows"] == []


def test_a_job_is_shown_with_all_its_options(played, web):
    job = web.get("job", id="good/one")
    assert (job["args"], job["kwargs"], job["tags"]) == ('["good/one"]', "{}", ["etl"])
    assert (job["retries"], job["overlap"], len(job["recent"])) == (0, "skip", 3)


def test_the_instants_of_a_job_tell_their_outcomes(played, web):
    outcomes = [each["outcome"] for each in web.get("job/instants", id="bad", since="1h")["instants"]]
    assert outcomes[:2] == ["succeeded", "failed"]


def test_an_instant_is_explained(played, web):
    explained = web.get("job/explain", id="bad", at="2026-03-02T12:00:20Z")
    assert explained["outcome"] == "failed" and "vendor down" in explained["sentence"]
    assert (explained["before"], explained["after"]) == ("2026-03-02T12:00:10+00:00", "2026-03-02T12:00:30+00:00")


def says(token: str) -> None:
    output = current_run().output
    assert output is not None
    output.add(f"\x1b[1mthe word\x1b[0m is {token}, Authorization: Bearer abcdefgh\n".encode())


def test_the_output_of_a_run_is_told_without_what_is_masked_in_its_jobs_arguments(bench, web):
    bench.start().scheduler.add_job(
        says, "interval", seconds=10, id="a@b", kwargs={"token": "hunter2"}, keep_output=1024
    )
    bench.until(lambda: web.get("runs", job="a@b")["runs"])
    run_id = web.get("runs", job="a@b")["runs"][0]["run_id"]
    bench.until(lambda: (stored := bench.store.output(run_id, 1)) is not None and stored.has_ended)
    told = web.get("run/output", id=run_id, attempt=1)
    assert told["text"] == "the word is \u2022\u2022\u2022, Authorization: Bearer \u2022\u2022\u2022\n"
    assert (told["run_id"], told["attempt"], told["truncated"], told["going_on"]) == (run_id, 1, False, False)


def test_the_next_times_mark_where_clocks_are_set(bench, web):
    bench.add("daily", "cron", hour=12, timezone="Europe/Paris")
    times = web.get("job/next", id="daily", count=30)["next"]
    assert [each["at"][:10] for each in times if each["offset_changes"]] == ["2026-03-29"]


def test_runs_come_in_pages_and_one_is_shown_with_its_traceback(played, web):
    first = web.get("runs", limit=1)
    second = web.get("runs", limit=1, before=first["next"])
    assert first["runs"][0]["run_id"] != second["runs"][0]["run_id"]
    run = web.get("run", id=first["runs"][0]["run_id"])
    assert "vendor down" in run["attempts"][0]["traceback"]
    assert run["explained"]["outcome"] == "failed"


def test_runs_of_a_node_are_those_that_it_ran(played, web):
    everyone = web.get("runs", outcome="failed")["runs"]
    node = everyone[0]["node"]
    assert web.get("runs", outcome="failed", node="another")["runs"] == []
    assert node is None or web.get("runs", outcome="failed", node=node)["runs"] == everyone


def test_a_row_tells_after_how_many_seconds_a_run_is_ended(bench, web):
    bench.add("limited", "interval", seconds=10, timeout=12)
    bench.add("endless", "interval", seconds=10)
    assert {row["id"]: row["timeout"] for row in web.get("rows", id=["limited", "endless"])["rows"]} == {
        "limited": 12.0, "endless": None,
    }  # fmt: skip


def test_alike_failures_are_one_group(played, web):
    groups = web.get("errors", since="1h")["groups"]
    assert [(group["error_type"], group["count"], group["job_ids"]) for group in groups] == [
        ("ConnectionError", 2, ["bad"])
    ]


def test_each_hour_of_the_load_names_its_triggers(bench, web):
    bench.add("often", "interval", minutes=30)
    bench.add("nightly", "cron", hour=3)
    load = web.get("load")
    night = next(hour for hour in load["hours"] if hour["at"] == "2026-03-03T03:00:00+00:00")
    made = [(load["triggers"][each["number"]], each["runs"]) for each in night["triggers"]]
    assert [(trigger["schedule"], trigger["examples"], trigger["least"], runs) for trigger, runs in made] == [
        ("every 30 min", ["often"], 2.0, 2.0), ("every day at 03:00", ["nightly"], 0.0, 1.0),
    ]  # fmt: skip
    assert len(load["triggers"]) == 2 and len(load["hours"]) == 168


def test_groups_whose_jobs_wait_come_first_then_those_that_are_held(bench, web, monkeypatch):
    monkeypatch.setattr("gsched.stores.durable.publisher._EVERY_SECONDS", 0.02)
    for group in ("a-free", "m-paused", "q-limited", "z-full"):
        for number in range(3 if group == "z-full" else 1):
            acts = "W" if group == "z-full" else "S"
            bench.add(f"{group}-{number}", "interval", acts=acts, seconds=10, group=group)
    bench.scheduler.set_limit("z-full", concurrency=1)
    bench.scheduler.set_limit("q-limited", rate="5/s")
    with acting("ops", reason="vendor down"):
        bench.scheduler.pause_group("m-paused")
    bench.start()
    doing = bench.scheduler.admin.get_groups
    bench.until(lambda: sum(each.activity.waiting for each in doing() if each.activity) == 3)
    answer = web.get("groups")
    groups = {each["group"]: each for each in answer["groups"]}
    assert list(groups) == ["z-full", "m-paused", "q-limited", "a-free"] and answer["of"] == 4
    full, paused = groups["z-full"], groups["m-paused"]
    assert (full["jobs"], full["running"], full["waiting"], full["limit"]["concurrency"]) == (3, 1, 2, 1)
    assert full["held_since"] is not None and groups["a-free"]["limit"] is None
    assert (paused["pause"]["by"], paused["pause"]["reason"]) == ("ops", "vendor down")
    assert [each["group"] for each in web.get("groups", limit=1)["groups"]] == ["z-full"]


def test_pauses_in_the_overview_tell_since_when(bench, web):
    for job_id in ("a", "b"):
        bench.add(job_id, "interval", seconds=10)
    web.post("jobs/pause", {"ids": ["a", "b"], "reason": "vendor down"})
    (pause,) = web.get("overview")["pauses"]
    assert (pause["jobs"], pause["since"][:19]) == (2, "2026-03-02T12:00:00")


@pytest.mark.parametrize("path", ["overview", "nodes", "groups", "doctor", "load", "rates", "audit"])
def test_the_other_paths_answer_as_they_are_described(played, web, path):
    assert web.get(path)


def test_head_gives_the_headers_alone(web):
    response = web.request("HEAD", f"{API}/me", headers=FROM_PAGE)
    assert (response.status_code, response.data) == (200, b"")


def test_long_answers_are_zipped_for_those_who_take_that(unstarted):
    web, headers = WebRig(unstarted.scheduler), {**FROM_PAGE, "Accept-Encoding": "gzip"}
    response = web.request("GET", f"{API}/openapi.json", headers=headers)
    assert response.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.data)) == OPENAPI
    assert "Content-Encoding" not in web.request("GET", f"{API}/me", headers=headers).headers


# -- what changes ---------------------------------------------------------------------------------------------------


def test_a_job_is_paused_with_a_reason_and_the_audit_tells_by_whom(bench, web):
    bench.add("job", "interval", seconds=10)
    assert web.post("jobs/pause", {"ids": ["job"], "reason": "vendor down"}) == {
        "matched": 1, "changed": 1, "failed": [],
    }  # fmt: skip
    job = web.job("job")
    assert (job["state"], job["pause"]["reason"], job["pause"]["by"]) == ("paused", "vendor down", "anonymous")
    entry = web.get("audit")["entries"][0]
    assert (entry["action"], entry["target"], entry["reason"]) == ("job.pause", "job", "vendor down")
    assert (entry["actor"], entry["via"], entry["address"]) == ("anonymous", "web", "127.0.0.1")
    web.post("jobs/resume", {"ids": ["job"]})
    assert web.job("job")["state"] == "scheduled"


def test_several_jobs_need_a_reason(bench, web):
    for job_id in ("a", "b"):
        bench.add(job_id, "interval", seconds=10)
    refused = web.post("jobs/pause", {"ids": ["a", "b"]}, 400)["error"]
    assert refused["message"] == "reason: several jobs need one" and refused["remedy"]
    assert web.post("jobs/pause", {"ids": ["a", "b", "gone"], "reason": "x"}) == {
        "matched": 3, "changed": 2,
        "failed": [{"id": "gone", "code": "not_found", "message": "no job has the id 'gone'"}],
    }  # fmt: skip
    assert web.get("audit")["entries"][0]["count"] == 2


def test_a_filter_acts_on_as_many_jobs_as_the_user_has_seen(bench, web):
    for number in range(3):
        bench.add(f"job-{number}", "interval", seconds=10, tags=["etl"])
    chosen = {"filter": {"tag": "etl"}, "reason": "x"}
    assert web.post("jobs/pause", {**chosen, "dry_run": True})["matched"] == 3
    refused = web.post("jobs/pause", {**chosen, "expect": 2}, 409)
    assert (refused["error"]["code"], refused["matched"]) == ("conflict", 3)
    assert web.post("jobs/pause", {**chosen, "expect": 3})["changed"] == 3
    assert web.get("audit")["entries"][0]["target"] == "tag:etl"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "choose jobs"),
        ({"ids": ["a"], "filter": {"tag": "x"}}, "choose jobs"),
        ({"filter": {}}, "filter: expected an object with a condition"),
        ({"filter": {"tags": "x"}, "dry_run": True}, "tags: it is unknown; did you mean 'tag'?"),
        ({"filter": {"tag": "x"}}, "expect: a filter needs it"),
        ({"ids": "a", "reasn": "x"}, "reasn: it is unknown; did you mean 'reason'?"),
        ({"ids": ["a"], "reason": ""}, None),
        ({"ids": [1]}, "ids: expected a list of texts"),
        ({"ids": ["a"], "dry_run": "maybe"}, "dry_run: expected true or false"),
        ({"ids": ["a"], "until": "yesterday"}, "until:"),
    ],
)
def test_a_choice_that_cannot_be_meant_changes_nothing(bench, web, body, message):
    bench.add("a", "interval", seconds=10, tags=["x"])
    if message is None:
        web.post("jobs/pause", body)
        return
    assert message in web.post("jobs/pause", body, 400)["error"]["message"]
    assert web.job("a")["state"] == "scheduled"


def test_more_jobs_than_one_round_trip_are_changed_beside_the_answer(bench, web, monkeypatch):
    monkeypatch.setattr("gsched.web.actions.MOST_AT_ONCE", 2)
    for number in range(5):
        bench.add(f"job-{number}", "interval", seconds=10)
    stream = web.request("GET", f"{API}/events", headers=FROM_PAGE).response
    frames = iter(stream)
    assert next(frames).startswith(b"retry")
    begun = web.post("jobs/pause", {"ids": [f"job-{number}" for number in range(5)], "reason": "x"}, 202)
    seen = b""
    while b'"is_over":true' not in seen:
        seen += next(frames)
    assert begun["action"].encode() in seen and b'"changed":5' in seen
    assert {job["state"] for job in web.get("jobs")["jobs"]} == {"paused"}
    stream.close()


def test_a_job_is_changed_if_it_is_as_the_user_has_seen_it(bench, web):
    bench.add("job", "interval", seconds=10)
    rev = web.job("job")["rev"]
    changed = web.patch("job", {"timeout": 5, "reason": "slow"}, query={"id": "job"}, If_Match=rev)
    assert changed["timeout"] == 5
    conflict = web.patch("job", {"timeout": 6}, 409, query={"id": "job"}, If_Match=rev)
    assert conflict["error"]["code"] == "conflict" and conflict["rev"] == changed["rev"]
    assert web.job("job")["timeout"] == 5
    entry = web.get("audit", action="job.change")["entries"][0]
    assert (entry["before"], entry["after"]) == ({"timeout_seconds": "-"}, {"timeout_seconds": "5"})
    web.patch("job", {"timeout": 6}, 428, query={"id": "job"})


def test_a_change_can_be_tried_first(bench, web):
    bench.add("job", "interval", seconds=10)
    tried = web.patch("job", {"trigger": "0 12 * * *"}, query={"id": "job", "check": "1"})
    assert [each["at"][:16] for each in tried["next"][:2]] == ["2026-03-03T12:00", "2026-03-04T12:00"]
    assert not tried["late"]
    for time, is_late in (("now", False), ("2026-03-02 11:59", True), ("2026-03-02 12:30", False)):
        tried = web.patch("job", {"next_run_time": time}, query={"id": "job", "check": "1"})
        assert tried["late"] is is_late
    refused = web.patch("job", {"trigger": "61 * * * *"}, 400, query={"id": "job", "check": "1"})
    assert "61" in refused["error"]["message"]
    assert web.job("job")["trigger"].startswith("interval")


def test_a_trigger_is_changed_by_its_fields(bench, web):
    bench.add("job", "interval", seconds=10)
    rev = web.job("job")["rev"]
    changed = web.patch(
        "job", {"trigger": {"type": "interval", "minutes": 5}}, query={"id": "job"}, If_Match=f'"{rev}"'
    )
    assert changed["trigger"] == "interval[0:05:00]"


def test_numbers_beyond_what_browsers_count_survive_an_edit(bench, web):
    bench.scheduler.add_job("store_bench:play", "interval", days=1, id="job", kwargs={"job_id": 2**60 + 1})
    job = web.job("job")
    changed = web.patch("job", {"kwargs": job["kwargs"], "timeout": 3}, query={"id": "job"}, If_Match=job["rev"])
    assert json.loads(changed["kwargs"]) == {"job_id": 2**60 + 1}
    assert bench.scheduler.get_job("job").kwargs == {"job_id": 2**60 + 1}


def test_arguments_that_are_no_list_are_refused_before_their_keys_become_the_list(bench, web):
    bench.add("job", "interval", days=1)
    rev = web.job("job")["rev"]
    for name, text in (("args", '{"a": 1}'), ("args", '"a"'), ("kwargs", "[1]")):
        refused = web.patch("job", {name: text}, 400, query={"id": "job"}, If_Match=rev)["error"]
        assert f"{name}: expected a JSON {'list' if name == 'args' else 'object'}" in refused["message"]
    assert web.job("job")["args"] == '["job"]'


def test_a_job_is_removed(bench, web):
    bench.add("a/b?c#d", "interval", seconds=10)
    assert web.post("jobs/remove", {"ids": ["a/b?c#d"], "reason": "old"})["changed"] == 1
    assert web.get("job", 404, id="a/b?c#d")["error"]["code"] == "not_found"


def test_a_double_click_runs_a_job_once(bench, web):
    bench.add("job", "interval", hours=1)
    bench.start()
    first = web.post("jobs/run", {"ids": ["job"]}, 202, Idempotency_Key="click")
    assert web.post("jobs/run", {"ids": ["job"]}, 202, Idempotency_Key="click") == first
    bench.until(lambda: bench.began("job"))
    assert web.post("jobs/run", {"ids": ["job"]}, 202, Idempotency_Key="click") == first
    other = web.post("jobs/run", {"ids": ["job"]}, 202, Idempotency_Key="another click")
    bench.until(lambda: len(bench.began("job")) == 2)
    assert other != first


def test_several_jobs_run_and_those_that_cannot_are_named(unstarted):
    unstarted.every(3600, id="a", tags=["x"])
    unstarted.start()
    web, chosen = WebRig(unstarted.scheduler), {"filter": {"tag": "x"}}
    assert web.post("jobs/run", {**chosen, "dry_run": True}) == {"matched": 1, "runs": [], "failed": []}
    assert [run["job_id"] for run in web.post("jobs/run", {**chosen, "expect": 1}, 202)["runs"]] == ["a"]
    both = web.post("jobs/run", {"ids": ["a", "gone"]}, 202)
    assert [each["id"] for each in both["failed"]] == ["gone"] and len(both["runs"]) == 1
    assert web.post("jobs/run", {"ids": ["gone"]}, 404)["error"]["code"] == "not_found"


def test_a_run_in_progress_is_cancelled(bench, web):
    bench.add("job", "interval", acts="W", seconds=10)
    bench.start()
    bench.until(lambda: bench.began("job"))
    run = bench.scheduler.get_running()[0].id
    assert web.post("runs/cancel", {"id": run, "reason": "stuck"}, 202) == {"run_id": run}
    bench.until(lambda: bench.scheduler.get_runs("job", outcome="cancelled"))
    entry = web.get("audit", action="run.cancel")["entries"][0]
    assert (entry["target"], entry["reason"]) == (run, "stuck")


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "nowhere", 404, "not_found"),
        ("POST", "jobs", 405, "method_not_allowed"),
        ("GET", "jobs/run", 405, "method_not_allowed"),
        ("GET", "job", 400, "invalid"),
        ("GET", "job?id=none", 404, "not_found"),
        ("GET", "run?id=none", 404, "not_found"),
        ("GET", "run/output?id=none@x", 404, "not_found"),
        ("GET", "jobs?limit=201", 400, "invalid"),
        ("GET", "jobs?limit=x", 400, "invalid"),
        ("GET", "jobs?state=asleep", 400, "invalid"),
        ("GET", "jobs?after=x", 400, "invalid"),
        ("GET", "jobs?nonsense=1", 400, "invalid"),
        ("GET", "runs?since=soon", 400, "invalid"),
        ("GET", "runs?outcome=great", 400, "invalid"),
        ("GET", "job/explain?id=x&at=noon", 400, "invalid"),
        ("GET", "load?zone=Mars", 400, "invalid"),
        ("GET", "rows?" + "&".join(f"id={number}" for number in range(201)), 400, "invalid"),
    ],
)
def test_a_refused_request_has_a_code_and_a_message(unstarted, method, path, status, code):
    web = WebRig(unstarted.scheduler)
    unstarted.every(10, id="x")
    response = web.request(method, f"{API}/{path}", headers=FROM_PAGE)
    error = json.loads(response.data)["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["message"] and set(error) == {"code", "message", "remedy"}


def test_a_node_that_is_not_there_cannot_be_drained(web):
    assert web.post("nodes/drain", {"id": "none"}, 404)["error"]["code"] == "not_found"


def test_a_run_that_is_not_there_cannot_be_cancelled(web):
    assert web.post("runs/cancel", {"id": "none"}, 404)["error"]["code"] == "not_found"


def test_a_scheduler_with_a_store_of_its_own_that_does_not_run_says_so(unstarted):
    unstarted.every(10, id="job")
    refused = WebRig(unstarted.scheduler).post("jobs/run", {"ids": ["job"]}, 503)["error"]
    assert refused["code"] == "not_running" and "start" in refused["remedy"]


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"ids": ' + b"[" * 60 + b"]" * 60 + b"}", b'{"a": NaN}']
)
def test_a_body_that_is_no_json_object_is_refused(unstarted, body):
    headers = {**FROM_PAGE, "Content-Type": "application/json"}
    response = WebRig(unstarted.scheduler).request("POST", f"{API}/jobs/run", data=body, headers=headers)
    assert (response.status_code, json.loads(response.data)["error"]["code"]) == (400, "invalid")


def test_a_job_of_any_id_is_found(bench, web):
    for job_id in ("a/b?c#d", "<img src=x>", "naïve ☃", "a+b&c=d"):
        bench.add(job_id, "interval", seconds=10)
        response = web.request("GET", f"{API}/job?id={quote(job_id, safe='')}", headers=FROM_PAGE)
        assert json.loads(response.data)["id"] == job_id
