"""gsched limit and gsched group, and the other commands that know groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from command_line import in_process

from gsched import GeventScheduler, GroupLimit, GroupLimits, SQLJobStore
from gsched.jobs.limits import NO_LIMITS
from gsched.runner.exit_codes import Exit


@pytest.fixture
def place(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"


@pytest.fixture
def jobs(place: str) -> Iterator[GeventScheduler]:
    """A scheduler with the jobs that commands act on: two groups and a job without one."""
    made = GeventScheduler(jobstores={"default": SQLJobStore(place)}, timezone="UTC")
    for job_id, group in (("a", "host:x"), ("b", "host:x"), ("c", "host:y"), ("d", None)):
        made.add_job("time:time", "interval", hours=1, id=job_id, group=group)
    yield made
    made.close()


@pytest.fixture
def run(place: str) -> Callable[..., Any]:
    return partial(in_process, GSCHED_STORE=place)


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_limits_are_set_listed_and_removed(jobs, run):
    assert run("limit", "set", "host:*", "--concurrency", "4", "--rate", "600/min", "--burst", "10").code == 0
    assert run("limit", "set", "tenant", "--rate", "2.5").code == 0
    assert jobs.get_limits() == GroupLimits([GroupLimit("host:*", 4, 100, 10), GroupLimit("tenant", None, 400)])
    assert rows(run("limit", "list").out) == [["host:*", "4", "10.0", "10", "-"], ["tenant", "-", "2.5", "1", "-"]]
    assert json.loads(run("limit", "list", "-o", "json").out)[0] == {
        "pattern": "host:*", "concurrency": 4, "rate": 10.0, "burst": 10, "declared_by": None
    }  # fmt: skip
    assert run("limit", "remove", "host:*").code == 0
    assert list(jobs.get_limits().by_pattern) == ["tenant"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x"], "Name --concurrency, --rate or both. `gsched limit remove` removes a limit."),
        (["x*y", "--rate", "1"], "pattern: '*' stands at the end of a pattern only, as in 'host:*', got 'x*y'"),
        (["x", "--rate", "10/fortnight"], "limit 'x': rate: expected text such as '10/s'"),
        (["x", "--concurrency", "0"], "--concurrency is at least 1. `gsched group pause` lets no run"),
        (["x", "--concurrency", "1", "--burst", "2"], "limit 'x': burst: it needs a rate"),
    ],
)
def test_a_limit_that_cannot_be_right_is_wrong_usage(jobs, run, arguments, message):
    done = run("limit", "set", *arguments)
    assert (done.code, jobs.get_limits()) == (Exit.USAGE, NO_LIMITS)
    assert message in " ".join(done.err.split())


def test_what_is_not_there_is_not_found(jobs, run):
    assert run("limit", "remove", "host:*").code == Exit.NOT_FOUND
    assert run("group", "resume", "host:x").code == Exit.NOT_FOUND


def test_groups_are_paused_and_resumed_by_whoever_calls_the_command(jobs, run):
    done = run("group", "pause", "host:*", "--reason", "vendor down", "--until", "2h")
    pause = jobs.get_limits().pauses["host:*"]
    assert (pause.reason, "@" in pause.by, pause.until is not None) == ("vendor down", True, True)
    assert done.err.startswith(f"gsched: 'host:*' is paused by {pause.by} until ")
    assert run("group", "resume", "host:*").code == 0
    assert jobs.get_limits() == NO_LIMITS


def test_an_end_that_is_not_ahead_is_wrong_usage(jobs, run):
    done = run("group", "pause", "host:x", "--until", "2020-01-01")
    assert (done.code, jobs.get_limits()) == (Exit.USAGE, NO_LIMITS)
    assert "--until: must be ahead" in done.err


def test_groups_are_listed_with_their_limits_and_pauses(jobs, run):
    jobs.set_limit("host:*", concurrency=4)
    jobs.set_limit("idle", rate="2/h")
    jobs.pause_group("host:y", reason="vendor down", by="ops")
    found = json.loads(run("group", "list", "-o", "json").out)
    assert [(group["group"], group["jobs"]) for group in found] == [("host:x", 2), ("host:y", 1), ("idle", 0)]
    assert [group["limit"]["pattern"] for group in found] == ["host:*", "host:*", "idle"]
    assert [group["pause"] and group["pause"]["reason"] for group in found] == [None, "vendor down", None]
    assert {group["running"] for group in found} == {None}  # no runner tells what they are doing


def test_groups_are_listed_with_what_runners_tell_of_them(jobs, run, monkeypatch):
    told = {"group": "host:x", "running": 2, "waiting": 3, "starts": 600, "held_since": 1_772_452_800_000}
    jobs.set_limit("host:x", concurrency=2)
    node = "1-host-1-ab"
    store = jobs.stores["default"]
    store.prepare()
    store._answers.claims(print).join(node, 0)
    from gsched.stores.durable.publisher import Publisher

    activity = {**dict.fromkeys(("running", "waiting", "pool_size", "due_soon"), 0), "outcomes": {}, "by_tag": {}}
    histograms: dict[str, Any] = {"lateness": [], "duration": [], "late_by_pool": {}}

    class Hub:
        def activity(self) -> dict[str, Any]:
            return {**activity, **histograms, "groups": [told], "loop": None}

    publisher = Publisher(store.operations.publish, jobs.clock, Hub(), lambda: node, lambda: False)  # type: ignore[arg-type]
    publisher._publish()
    (found,) = (group for group in json.loads(run("group", "list", "-o", "json").out) if group["group"] == "host:x")
    assert (found["running"], found["waiting"], found["starts_per_minute"]) == (2, 3, 600)
    assert found["held_since"] == "2026-03-02T12:00:00+00:00"


def test_jobs_of_a_group_are_listed_shown_and_paused(jobs, run):
    assert [row[0] for row in rows(run("job", "list", "--group", "host:x").out)] == ["a", "b"]
    listed = json.loads(run("job", "list", "-o", "json").out)
    assert {job["id"]: job["group"] for job in listed} == {"a": "host:x", "b": "host:x", "c": "host:y", "d": None}
    assert ["group", "host:x"] in rows(run("job", "show", "a").out)
    run("job", "pause", "--group", "host:x", "--yes")
    assert [job.id for job in jobs.get_jobs(state="paused")] == ["a", "b"]
    assert run("job", "pause", "--group", "none", "--yes").code == Exit.NOT_FOUND


def test_a_jobs_group_cannot_be_set_and_the_command_says_what_to_do(jobs, run):
    done = run("job", "set", "a", "--group", "host:y")
    assert done.code == Exit.USAGE
    assert "group: cannot be changed" in done.err and "remove it and add it anew" in done.err
    assert "--group" not in run("job", "set", "--help").out
