"""The options of a job's policy: what is understood, what is refused, and how changes add up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gsched import ConfigurationError, GeventScheduler, InvalidJobError
from gsched.jobs.job import Job
from gsched.jobs.policy import NO_POLICY, Policy
from gsched.jobs.policy_options import policy_options
from gsched.runner.commands import run_command
from gsched.schedulers.settings import checked_defaults


class OutOfStock(Exception):
    pass


@pytest.fixture
def scheduler() -> GeventScheduler:
    return GeventScheduler(timezone="UTC")


def policy_of(scheduler: GeventScheduler, func: Any = time.time, **options: Any) -> Policy:
    added = scheduler.add_job(func, "interval", hours=1, id="job", replace_existing=True, **options)
    return added.definition.policy


# -- what is understood ---------------------------------------------------------------------------------------------

UNDERSTOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"retries": 3}, {"retries": 3}),
    ({"retry_delay": 2.5}, {"retry_delays_ms": (2500,)}),
    ({"retry_delay": "1m"}, {"retry_delays_ms": (60_000,)}),
    ({"retry_delay": [1, "5s", 30]}, {"retry_delays_ms": (1000, 5000, 30_000), "retries": 3, "retry_backoff": 1.0}),
    ({"retry_delay": (1, 5), "retries": 5}, {"retry_delays_ms": (1000, 5000), "retries": 5, "retry_backoff": 1.0}),
    ({"retry_delay": [7]}, {"retry_delays_ms": (7000,), "retries": 1, "retry_backoff": 1.0}),
    ({"retry_delay": [7, 8], "retry_backoff": 1},
     {"retry_delays_ms": (7000, 8000), "retries": 2, "retry_backoff": 1.0}),
    ({"retry_backoff": 1}, {"retry_backoff": 1.0}),
    ({"retry_max_delay": "2h"}, {"retry_max_delay_ms": 7_200_000}),
    ({"retry_jitter": 0}, {"retry_jitter": 0.0}),
    ({"retries": 1, "retry_on": ["ConnectionError", "requests.exceptions.Timeout", "timeout"]},
     {"retries": 1, "retry_on": ("ConnectionError", "requests.exceptions.Timeout", "timeout")}),
    ({"retries": 1, "retry_on": [ConnectionError, OutOfStock]},
     {"retries": 1, "retry_on": ("ConnectionError", f"{__name__}.OutOfStock")}),
    ({"retries": 1, "give_up_on": ["ValueError"]}, {"retries": 1, "give_up_on": ("ValueError",)}),
    ({"retry_within": 600}, {"retry_within_ms": 600_000}),
    ({"overlap": "queue"}, {"overlap": "queue"}),
    ({"overlap": "cancel"}, {"overlap": "cancel"}),
    ({"max_catchup": 250, "coalesce": False}, {"max_catchup": 250}),
    ({"max_runs": 1}, {"max_runs": 1}),
    ({"max_consecutive_failures": 3, "failure_pause": "10m"},
     {"max_consecutive_failures": 3, "failure_pause_ms": 600_000}),
    ({"expect_success_every": "26h"}, {"expect_success_every_ms": 93_600_000}),
    ({"finish_within": "30m"}, {"finish_within_ms": 1_800_000}),
    ({"recover": True}, {"recoveries": None}),
    ({"recover": 1}, {"recoveries": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "fields"), UNDERSTOOD, ids=str)
def test_an_option_of_a_policy_sets_its_field_and_no_other(scheduler, options, fields):
    assert policy_of(scheduler, **options) == Policy(**fields)


@pytest.mark.parametrize("option", ["retry_on", "give_up_on", "retry_within", "max_catchup", "max_runs",
                                    "max_consecutive_failures", "failure_pause",
                                    "expect_success_every", "finish_within"])  # fmt: skip
def test_none_stands_for_no_limit(scheduler, option):
    assert policy_of(scheduler, **{option: None}) is NO_POLICY


def test_exit_statuses_are_for_commands(scheduler):
    errors = ["exit:75", "exit:100-110"]
    found = policy_of(scheduler, run_command, args=["true"], retries=1, retry_on=errors)
    assert found.retry_on == ("exit:75", "exit:100-110")


# -- what is refused ------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"retries": -1}, "retries: expected a whole number from 0 to 1000, got -1"),
    ({"retries": True}, "retries: expected a whole number from 0 to 1000, got True"),
    ({"retries": 1001}, "retries: expected a whole number from 0 to 1000, got 1001"),
    ({"retries": 2.0}, "retries: expected a whole number from 0 to 1000, got 2.0"),
    ({"retry_delay": 0}, "retry_delay: must be at least a millisecond, got 0"),
    ({"retry_delay": "soon"}, "retry_delay: 'soon' is not a duration; write it as '90s'"),
    ({"retry_delay": []}, "retry_delay: expected one delay or a list of 1 to 1000, got 0 of them"),
    ({"retry_delay": [1, -5]}, "retry_delay: must be at least a millisecond, got -5"),
    ({"retry_delay": "11y"}, "retry_delay: '11y' is not a duration"),
    ({"retry_delay": "4000d"}, "retry_delay: expected at most 3650d, got '4000d'"),
    ({"retry_delay": [1, 5], "retry_backoff": 2}, "retry_backoff: the delays of a list do not grow; leave it out"),
    ({"retry_backoff": 0.5}, "retry_backoff: expected a number from 1 to 1000000, got 0.5"),
    ({"retry_backoff": float("nan")}, "retry_backoff: expected a number from 1 to 1000000, got nan"),
    ({"retry_backoff": "2"}, "retry_backoff: expected a number from 1 to 1000000, got '2'"),
    ({"retry_jitter": 1.5}, "retry_jitter: expected a number from 0 to 1, got 1.5"),
    ({"retry_jitter": False}, "retry_jitter: expected a number from 0 to 1, got False"),
    ({"retry_max_delay": None}, "retry_max_delay: expected seconds, a timedelta or text"),
    ({"retry_within": -1}, "retry_within: must be at least a millisecond, got -1"),
    ({"retry_on": ["ValueError"]}, "retry_on: the job has no retries; say how many: retries=3"),
    ({"give_up_on": ["ValueError"]}, "give_up_on: the job has no retries"),
    ({"retries": 1, "retry_on": []}, "retry_on: expected at least one error name, or None"),
    ({"retries": 1, "retry_on": "ValueError"}, "retry_on: expected a list of error names, got 'ValueError'"),
    ({"retries": 1, "retry_on": ValueError}, "retry_on: expected a list of error names, got <class 'ValueError'>"),
    ({"retries": 1, "retry_on": [int]}, "retry_on: expected the name of an error such as 'ConnectionError'"),
    ({"retries": 1, "retry_on": ["Value Error"]}, "retry_on: expected the name of an error"),
    ({"retries": 1, "retry_on": ["exit:75"]}, "retry_on: 'exit:75' is for commands, and the job has a function"),
    ({"retries": 1, "give_up_on": ["exit:0"]}, "or a command's exit status such as 'exit:75' or 'exit:100-110', got"),
    ({"retries": 1, "give_up_on": ["exit:110-100"]}, "got 'exit:110-100'"),
    ({"retries": 1, "give_up_on": ["exit:256"]}, "got 'exit:256'"),
    ({"overlap": "allow"}, "overlap: expected 'skip', 'queue' or 'cancel', got 'allow'; to let runs overlap, raise"),
    ({"overlap": "Forbid"}, "overlap: expected 'skip', 'queue' or 'cancel', got 'Forbid'; write 'skip'"),
    ({"overlap": "BUFFER_ONE"}, "got 'BUFFER_ONE'; write 'queue'"),
    ({"overlap": "cancel_other"}, "got 'cancel_other'; write 'cancel'"),
    ({"overlap": "queued"}, "got 'queued'; did you mean 'queue'?"),
    ({"overlap": None}, "overlap: expected 'skip', 'queue' or 'cancel', got None"),
    ({"max_catchup": 0, "coalesce": False}, "max_catchup: expected a whole number from 1 to 250, got 0"),
    ({"max_catchup": 251, "coalesce": False}, "max_catchup: expected a whole number from 1 to 250, got 251"),
    ({"max_catchup": 5}, "max_catchup: 5 needs coalesce=False"),
    ({"max_runs": 0}, "max_runs: expected a whole number from 1, got 0"),
    ({"max_consecutive_failures": True}, "max_consecutive_failures: expected a whole number from 1, got True"),
    ({"failure_pause": 60}, "failure_pause: it needs max_consecutive_failures"),
    ({"expect_success_every": 0}, "expect_success_every: must be at least a millisecond, got 0"),
    ({"expect_success_every": True}, "expect_success_every: expected seconds, a timedelta or text such as '10m'"),
    ({"finish_within": "soon"}, "finish_within: 'soon' is not a duration; write it as '90s'"),
    ({"finish_within": "4000d"}, "finish_within: expected at most 3650d, got '4000d'"),
    ({"recover": 0}, "recover: expected True, False or a whole number from 1, got 0"),
    ({"recover": "yes"}, "recover: expected True, False or a whole number from 1, got 'yes'"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "complaint"), REFUSED, ids=str)
def test_a_wrong_option_is_refused_and_the_message_names_it_and_the_remedy(scheduler, options, complaint):
    with pytest.raises(InvalidJobError) as refusal:
        policy_of(scheduler, **options)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(("options", "complaint"), REFUSED, ids=str)
def test_a_change_to_a_wrong_option_is_refused_and_changes_nothing(scheduler, options, complaint):
    before = policy_of(scheduler)
    with pytest.raises(InvalidJobError) as refusal:
        scheduler.modify_job("job", **options)
    assert complaint in str(refusal.value)
    assert scheduler.get_job("job").definition.policy is before


def test_an_option_that_is_misspelt_is_refused_with_the_nearest(scheduler):
    policy_of(scheduler)
    with pytest.raises(InvalidJobError, match="unknown option 'retry_delays'; did you mean 'retry_delay'"):
        scheduler.modify_job("job", retry_delays=5)


# -- changes --------------------------------------------------------------------------------------------------------

CHANGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # the job's options, what is changed, its options then
    ({"overlap": "queue", "retry_delay": 5}, {"retries": 3}, {"overlap": "queue", "retry_delay": 5, "retries": 3}),
    ({"retries": 3, "recover": True}, {"recover": False}, {"retries": 3}),
    ({"retries": 3}, {"retries": 0}, {}),
    ({"retries": 5}, {"retry_delay": [1, 2]}, {"retries": 5, "retry_delay": [1, 2]}),
    ({"retry_delay": [1, 2]}, {"retry_delay": 20}, {"retries": 2, "retry_delay": 20}),
    ({"retry_delay": [1, 2]}, {"retries": 7}, {"retries": 7, "retry_delay": [1, 2]}),
    ({"retry_backoff": 3, "retries": 1}, {"retry_delay": [1, 2]}, {"retries": 1, "retry_delay": [1, 2]}),
    ({"retries": 3, "retry_on": ["OSError"]}, {"retries": 0}, {"retry_on": ["OSError"]}),
    ({"max_consecutive_failures": 3, "failure_pause": 60}, {"max_consecutive_failures": None}, {"failure_pause": 60}),
]


@pytest.mark.parametrize(("options", "changes", "expected"), CHANGES, ids=str)
def test_a_change_keeps_the_other_options_of_the_policy(scheduler, options, changes, expected):
    policy_of(scheduler, **options)
    changed = scheduler.modify_job("job", **changes)
    if isinstance(expected.get("retry_delay"), list):
        expected = {**expected, "retry_backoff": 1.0}
    assert changed.policy == {**policy_options(NO_POLICY), **expected}


def test_a_factor_for_the_delays_of_a_list_is_refused_when_it_comes_later(scheduler):
    policy_of(scheduler, retry_delay=[1, 2])
    with pytest.raises(InvalidJobError, match="retry_backoff: the job has a list of delays"):
        scheduler.modify_job("job", retry_backoff=2)


def test_a_job_with_a_limit_of_catch_up_refuses_to_coalesce(scheduler):
    policy_of(scheduler, max_catchup=5, coalesce=False)
    with pytest.raises(InvalidJobError, match="max_catchup: 5 needs coalesce=False"):
        scheduler.modify_job("job", coalesce=True)


def test_a_job_that_is_replaced_has_the_new_policy_only(scheduler):
    policy_of(scheduler, retries=3)
    assert policy_of(scheduler, overlap="queue") == Policy(overlap="queue")


# -- defaults, and sharing ------------------------------------------------------------------------------------------


def test_defaults_of_the_scheduler_and_options_of_a_job_add_up():
    scheduler = GeventScheduler(timezone="UTC", job_defaults={"retries": 3, "retry_jitter": 0, "retry_on": ["OSError"]})
    expected = Policy(retries=5, retry_jitter=0.0, retry_on=("OSError",), overlap="queue")
    assert policy_of(scheduler, retries=5, overlap="queue") == expected
    assert policy_of(scheduler, retries=0) == Policy(retry_jitter=0.0, retry_on=("OSError",))


def test_a_wrong_default_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="job_defaults: retries: expected a whole number from 0 to 1000"):
        GeventScheduler(job_defaults={"retries": -1})


def test_settings_files_write_numbers_and_flags_as_text():
    written = {"retries": "3", "retry_backoff": "1.5", "retry_jitter": "0", "recover": "true", "retry_delay": "90s"}
    assert checked_defaults(written)["policy"] == Policy(3, (90_000,), 1.5, retry_jitter=0.0, recoveries=None)


def test_jobs_with_equal_policies_share_one_object(scheduler):
    one = scheduler.add_job(time.time, "interval", hours=1, retries=3, overlap="queue")
    other = scheduler.add_job(time.time, "interval", hours=1, retries=3).modify(overlap="queue")
    assert one.definition.policy is other.definition.policy
    assert scheduler.add_job(time.time, retries=0, overlap="skip").definition.policy is NO_POLICY
    assert Job(id="job", func=time.time, trigger=one.trigger).policy is NO_POLICY


def test_any_number_of_recoveries_is_not_one_recovery(scheduler):
    once, always = policy_of(scheduler, recover=1), policy_of(scheduler, recover=True)
    assert once != always and once.recover == 1 and always.recover is True and NO_POLICY.recover is False
    assert once.recover is not True
