"""gsched runs retry: failed runs run again."""

from __future__ import annotations

import json
from functools import partial

import gevent
import pytest
import waiting
from command_line import in_process as run

from gsched import GeventScheduler, SQLJobStore
from gsched.runner.exit_codes import Exit

wait_until = partial(waiting.wait_until, sleep=gevent.sleep)


def fail() -> None:
    raise ValueError("no figures")


@pytest.fixture
def failed(tmp_path, monkeypatch):
    """Ids of runs that have failed, one of each of two jobs, in the store of the environment. No runner is alive."""
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    monkeypatch.setenv("GSCHED_STORE", url)
    scheduler = GeventScheduler(jobstores={"default": SQLJobStore(url)}, timezone="UTC", modules=[__name__])
    scheduler.start()
    for job_id, tags in (("bills", ["money"]), ("letters", [])):
        scheduler.add_job(fail, "interval", days=365, id=job_id, next_run_time="now", tags=tags)
    wait_until(lambda: len(scheduler.get_runs(outcome="failed")) == 2)
    scheduler.shutdown()
    scheduler.close()
    return {each.job_id: each.run_id for each in scheduler.get_runs()}


def retry(*arguments: str) -> list[dict[str, object]]:
    return json.loads(run("runs", "retry", *arguments, "-o", "json")[0])


def test_a_named_run_runs_again_once_and_a_runner_is_missing(failed):
    out, err, code = run("runs", "retry", failed["bills"], "-o", "table")
    assert code == Exit.OK
    assert [line.split() for line in out.splitlines()[1:]] == [[failed["bills"], "failed", "2", "-"]]
    assert "no runner is alive: nothing runs until `gsched run` is started" in err
    out, err, code = run("runs", "retry", failed["bills"])
    assert (code, err) == (Exit.FAILED, "")
    assert "attempt 2 waits already" in out
    waiting = json.loads(run("runs", "list", "--outcome", "waiting", "-o", "json")[0])
    assert [(each["run_id"], each["attempt"]) for each in waiting] == [(failed["bills"], 2)]


def test_the_beginning_of_a_runs_id_is_enough(failed):
    assert [each["run_id"] for each in retry("letters@2")] == [failed["letters"]]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (["--outcome", "failed", "--since", "1h"], {"bills", "letters"}),
        (["--tag", "money"], {"bills"}),
        (["--job", "lett"], {"letters"}),
        (["--outcome", "lost"], set()),
        (["--since", "1h", "--outcome", "failed", "--dry-run"], {"bills", "letters"}),
    ],
)
def test_runs_are_chosen_by_the_options(failed, choice, expected):
    assert {each["job_id"] for each in retry(*choice)} == expected
    added = json.loads(run("runs", "list", "--outcome", "waiting", "-o", "json")[0])
    assert len(added) == (0 if "--dry-run" in choice else len(expected))


def test_the_limit_bounds_how_many_runs_run_again(failed):
    assert len(retry("--outcome", "failed", "--limit", "1")) == 1


def test_a_dry_run_prints_the_rows_and_warns_of_nothing(failed):
    out, err, code = run("runs", "retry", "--outcome", "failed", "--dry-run", "-o", "plain")
    assert (len(out.splitlines()), err, code) == (2, "", Exit.OK)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["bills@1999-01-01"], "the history has no run 'bills@1999-01-01'", Exit.NOT_FOUND),
        (["bils@1999-01-01"], "Did you mean 'bills'?", Exit.NOT_FOUND),
        (["bills"], "--job chooses the runs of a job", Exit.NOT_FOUND),
        ([], "choose runs", Exit.USAGE),
        (["--outcome", "faild"], "did you mean 'failed'?", Exit.USAGE),
        (["--outcome", "succeeded"], "only if they are named", Exit.USAGE),
        (["--since", "noon"], "since", Exit.USAGE),
    ],
)
def test_what_cannot_run_again_is_refused_with_a_hint(failed, arguments, said, code):
    _, err, given = run("runs", "retry", *arguments)
    assert said in err and given == code
