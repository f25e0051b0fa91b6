"""Policies in stores: what is written, what comes back, and what is left after a change."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from gsched import BaseJobStore, GeventScheduler, MemoryJobStore, SQLJobStore
from gsched.jobs.document import POLICY_KEYS
from gsched.jobs.policy import NO_POLICY, Policy
from gsched.jobs.policy_options import policy_options

pytest_plugins = ["mongodb"]

EACH: dict[str, Any] = {
    "retries": 3,
    "retry_delay": [1, 5.5, 30],
    "retry_backoff": 3.0,
    "retry_max_delay": 600,
    "retry_jitter": 0.0,
    "retry_on": ["ConnectionError", "timeout"],
    "give_up_on": ["ValueError"],
    "retry_within": 900,
    "overlap": "cancel",
    "max_catchup": 10,
    "max_runs": 7,
    "max_consecutive_failures": 5,
    "failure_pause": 0.5,
    "expect_success_every": 93_600,
    "finish_within": 1800,
    "recover": 2,
}
BESIDE: dict[str, dict[str, Any]] = {  # what an option needs beside it
    "retry_on": {"retries": 1},
    "give_up_on": {"retries": 1},
    "max_catchup": {"coalesce": False},
    "failure_pause": {"max_consecutive_failures": 1},
}


def poll() -> None:
    pass


@pytest.fixture
def scheduler(any_store: BaseJobStore) -> Any:
    made = GeventScheduler(jobstores={"default": any_store}, timezone="UTC", modules=[__name__])
    if isinstance(any_store, MemoryJobStore):
        made.start(paused=True)
    yield made
    made.shutdown(wait=False) if made.running else made.close()


def add(scheduler: GeventScheduler, **options: Any) -> Any:
    return scheduler.add_job(poll, "interval", hours=1, id="job", replace_existing=True, **options)


@pytest.fixture
def keys_of_the_policy(scheduler: GeventScheduler, any_store: BaseJobStore, request: pytest.FixtureRequest) -> Any:
    """Gives the keys of policies in the stored document."""

    def read() -> dict[str, Any]:
        if isinstance(any_store, SQLJobStore):
            with sqlite3.connect(request.getfixturevalue("tmp_path") / "jobs.sqlite") as connection:
                ((text,),) = connection.execute("SELECT document FROM gsched_jobs").fetchall()
            document = json.loads(text)
        elif isinstance(any_store, MemoryJobStore):
            pytest.skip("it has no documents")
        else:
            document = request.getfixturevalue("emptied_database").jobs.find_one({"_id": "job"})
        return {key: value for key, value in document.items() if key in POLICY_KEYS}

    return read


@pytest.mark.parametrize("option", EACH)
def test_each_option_comes_back_from_its_store(scheduler, option):
    given = {option: EACH[option], **BESIDE.get(option, {})}
    added = add(scheduler, **given)
    found = scheduler.get_job("job")
    assert found.parked is None
    assert found.definition.policy is added.definition.policy
    assert found.policy[option] == EACH[option]
    assert policy_options(NO_POLICY)[option] != EACH[option]


def test_a_document_has_only_the_options_that_differ_from_the_defaults(scheduler, keys_of_the_policy):
    add(scheduler, overlap="queue", retries=0, recover=True)
    assert keys_of_the_policy() == {"overlap": "queue"}


def test_an_ordinary_job_has_no_key_of_a_policy(scheduler, keys_of_the_policy):
    add(scheduler)
    assert keys_of_the_policy() == {}


def test_what_goes_back_to_the_default_leaves_no_key(scheduler, keys_of_the_policy):
    add(scheduler, overlap="queue", retries=3, retry_delay=5)
    scheduler.modify_job("job", overlap="skip", retry_delay=10)
    assert keys_of_the_policy() == {"retries": 3}
    assert scheduler.get_job("job").definition.policy == Policy(retries=3)
    add(scheduler)
    assert keys_of_the_policy() == {}
    assert scheduler.get_job("job").definition.policy is NO_POLICY


def test_retries_are_kept_beside_a_list_of_delays(scheduler):
    add(scheduler, retry_delay=[1, 2, 3])
    scheduler.modify_job("job", retries=0)
    assert scheduler.get_job("job").definition.policy == Policy(0, (1000, 2000, 3000), 1.0)


def test_a_change_of_one_option_keeps_the_others_in_the_store(scheduler):
    add(scheduler, retries=3, overlap="queue", recover=2)
    scheduler.modify_job("job", recover=True)
    scheduler.modify_job("job", retry_delay=[1, 2])
    expected = Policy(3, (1000, 2000), 1.0, overlap="queue", recoveries=None)
    assert scheduler.get_job("job").definition.policy == expected


def test_one_recovery_and_any_number_of_them_are_told_apart(scheduler):
    add(scheduler, recover=True)
    assert scheduler.modify_job("job", recover=1).recover is not True
    assert scheduler.get_job("job").definition.policy.recoveries == 1
    scheduler.modify_job("job", recover=True)
    assert scheduler.get_job("job").recover is True


# -- hostile documents ----------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"retries": -1}, "retries: expected a whole number from 0 to 1000, got -1"),
    ({"retries": True}, "retries: expected a whole number from 0 to 1000, got True"),
    ({"retry_delay": {"a": 1}}, "retry_delay: expected seconds, a timedelta or text"),
    ({"retry_delay": [1, 2], "retry_backoff": 4}, "retry_backoff: the delays of a list do not grow"),
    ({"overlap": "both"}, "overlap: expected 'skip', 'queue' or 'cancel', got 'both'"),
    ({"recover": [1]}, "recover: expected True, False or a whole number from 1"),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=str)
def test_a_stored_option_that_cannot_be_understood_parks_the_job(jobs, database, fields, reason):
    add(jobs, max_runs=7)
    database.jobs.update_one({"_id": "job"}, {"$set": fields})
    found = jobs.get_job("job")
    assert reason in str(found.parked)
    jobs.modify_job("job", name="still wrong")
    assert set(fields) <= set(database.jobs.find_one({"_id": "job"}))
    add(jobs)
    assert jobs.get_job("job").parked is None


def test_a_change_keeps_the_options_beside_one_that_cannot_be_understood(jobs, database):
    add(jobs, overlap="queue", max_runs=7)
    database.jobs.update_one({"_id": "job"}, {"$set": {"retries": "many"}})
    assert jobs.modify_job("job", retries=3).parked is None
    assert jobs.get_job("job").definition.policy == Policy(retries=3, overlap="queue", max_runs=7)
