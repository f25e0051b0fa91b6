"""Retries: which attempts are followed by another one, and when."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gsched import CommandFailedError, GiveUp, GschedError, Retry, RunTimedOut
from gsched.executors import RemoteError
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome, Reason, Result, RetryAt
from gsched.jobs.policy import Policy
from gsched.jobs.run import Run
from gsched.policies.retries import delay_ms, retry_after, why_never_retried
from gsched.times.instants import to_ms
from gsched.triggers import BaseTrigger, CronTrigger, DateTrigger, IntervalTrigger

NOON = to_ms(datetime(2027, 1, 1, 12, tzinfo=UTC))
DAILY = IntervalTrigger(days=1, timezone="UTC", start_date=NOON / 1000)
NO_JITTER = {"retry_jitter": 0.0}


class OfflineError(ConnectionError):
    pass


class Nested:
    class Error(Exception):
        pass


def job_of(trigger: BaseTrigger = DAILY, coalesce: bool = True, **policy: Any) -> Job:
    job = Job(id="job", func=print, trigger=trigger, next_run_ms=NOON, coalesce=coalesce)
    return job.evolve(policy=Policy(**{**NO_JITTER, **policy}))


def failed(error: BaseException | None = None, outcome: Outcome = Outcome.FAILED) -> Result:
    return Result(outcome, error=ValueError("no") if error is None else error)


def after(
    job: Job, result: Result, tries: int = 0, seconds: float = 1, request: str | None = None
) -> RetryAt | Reason | None:
    """What follows an attempt of the run of noon that ended so many seconds after noon."""
    run = Run(job, NOON, None, request=request)  # type: ignore[arg-type]
    run.tries = tries
    return retry_after(job, run, result, NOON + round(seconds * 1000))


def begins(verdict: Any) -> float:
    """How many seconds after noon the next attempt begins."""
    assert isinstance(verdict, RetryAt), verdict
    return (verdict.due - NOON) / 1000


def attempts(job: Job, *errors: BaseException, takes: float = 1) -> tuple[list[float], Any]:
    """When the attempts of a run begin that fails each time (seconds after noon), and the last verdict.

    :param errors: of the attempts in order; the last repeats
    :param takes: how long each attempt is, in seconds
    """
    at, tries, found = 0.0, 0, [0.0]
    while True:
        error = errors[min(len(found), len(errors)) - 1] if errors else ValueError()
        verdict = after(job, failed(error), tries, at + takes)
        if not isinstance(verdict, RetryAt):
            return found, verdict
        at, tries = begins(verdict), verdict.tries
        found.append(at)
        assert len(found) < 2000


# -- when -------------------------------------------------------------------------------------------------------------


def test_each_wait_begins_at_the_end_of_an_attempt_and_is_twice_as_long_as_the_one_before():
    begun, verdict = attempts(job_of(retries=3))
    assert (begun, verdict) == ([0, 11, 32, 73], Reason.RETRIES_EXHAUSTED)


WAITS: list[tuple[dict[str, Any], list[float]]] = [
    ({"retries": 7, "retry_delays_ms": (30_000,), "retry_max_delay_ms": 600_000}, [30, 60, 120, 240, 480, 600, 600]),
    ({"retries": 3, "retry_delays_ms": (1000, 5000, 30_000), "retry_backoff": 1.0}, [1, 5, 30]),
    ({"retries": 5, "retry_delays_ms": (1000, 5000, 30_000), "retry_backoff": 1.0}, [1, 5, 30, 30, 30]),
    ({"retries": 3, "retry_backoff": 1.0}, [10, 10, 10]),
    ({"retries": 3, "retry_delays_ms": (7_200_000,)}, [7200, 7200, 7200]),
    ({"retries": 3, "retry_delays_ms": (60_000, 86_400_000), "retry_backoff": 1.0}, [60, 86_400, 86_400]),
    ({"retries": 3, "retry_delays_ms": (1_800_000,), "retry_backoff": 3.0}, [1800, 3600, 3600]),
    ({"retries": 3, "retry_delays_ms": (1,), "retry_backoff": 1e6}, [0.001, 1000, 3600]),
]


@pytest.mark.parametrize(("policy", "waits"), WAITS, ids=str)
def test_waits_grow_up_to_the_longest_and_the_last_of_a_list_repeats(policy, waits):
    found = [delay_ms(job_of(**policy).policy, "run", number + 1) / 1000 for number in range(len(waits))]
    assert found == waits


def test_a_wait_that_no_number_can_express_is_the_longest_wait():
    assert delay_ms(Policy(1000, retry_backoff=1e6, retry_jitter=0.0), "run", 1000) == 3_600_000


def test_the_jitter_is_the_same_for_the_same_run_and_never_makes_a_wait_longer():
    waits = [delay_ms(Policy(5), "import@2027-01-01T02:00:00.000Z", number) / 1000 for number in range(1, 6)]
    assert waits == [9.777, 18.735, 36.641, 77.732, 156.027]
    others = {delay_ms(Policy(5), f"job@{number}", 1) for number in range(1000)}
    assert len(others) > 600 and min(others) >= 9000 and max(others) <= 10_000


def test_no_jitter_may_leave_out_all_of_a_wait():
    assert 0 <= delay_ms(Policy(1, retry_jitter=1.0), "run", 1) < 10_000


# -- which ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_failed_or_was_timed_out_is_retried(outcome):
    found = after(job_of(retries=3), failed(outcome=outcome))
    assert isinstance(found, RetryAt) == (outcome in (Outcome.FAILED, Outcome.TIMED_OUT))
    assert found is None or isinstance(found, RetryAt)


def test_a_job_without_retries_has_no_say():
    assert after(job_of(), failed()) is None
    assert after(job_of(), Result(Outcome.FAILED)) is None


NAMES: list[tuple[BaseException, str, bool]] = [
    (OfflineError(), "ConnectionError", True),
    (OfflineError(), "OSError", True),
    (OfflineError(), "Exception", True),
    (OfflineError(), "OfflineError", True),
    (OfflineError(), f"{__name__}.OfflineError", True),
    (OfflineError(), "builtins.OSError", True),
    (OfflineError(), "offlineerror", False),
    (OfflineError(), "requests.exceptions.ConnectionError", False),
    (ConnectionError(), "OfflineError", False),
    (Nested.Error(), "Error", True),
    (Nested.Error(), "Nested.Error", True),
    (Nested.Error(), f"{__name__}.Nested.Error", True),
    (SystemExit(1), "SystemExit", True),
    (SystemExit(1), "Exception", False),
    (TimeoutError(), "timeout", False),
    (CommandFailedError(75), "exit:75", True),
    (CommandFailedError(75), "exit:7", False),
    (CommandFailedError(75), "CommandFailedError", True),
    (CommandFailedError(100), "exit:100-110", True),
    (CommandFailedError(110), "exit:100-110", True),
    (CommandFailedError(111), "exit:100-110", False),
    (CommandFailedError(-9), "exit:9", False),
]


@pytest.mark.parametrize(("error", "name", "matches"), NAMES, ids=str)
def test_an_error_goes_by_its_name_and_by_those_of_the_classes_it_derives_from(error, name, matches):
    retried = after(job_of(retries=1, retry_on=("Other", name)), failed(error))
    given_up = after(job_of(retries=1, give_up_on=("Other", name)), failed(error))
    assert (isinstance(retried, RetryAt), isinstance(given_up, RetryAt)) == (matches, not matches)
    assert Reason.GAVE_UP in (retried, given_up)


def test_a_run_that_was_timed_out_goes_by_the_word_timeout():
    result = failed(RunTimedOut(5), Outcome.TIMED_OUT)
    assert isinstance(after(job_of(retries=1, retry_on=("timeout",)), result), RetryAt)
    assert after(job_of(retries=1, retry_on=("Exception",)), result) is Reason.GAVE_UP
    assert after(job_of(retries=1, give_up_on=("timeout",)), result) is Reason.GAVE_UP
    without_error = Result(Outcome.TIMED_OUT)
    assert isinstance(after(job_of(retries=1, retry_on=("timeout",)), without_error), RetryAt)
    assert after(job_of(retries=1, retry_on=("Exception",)), without_error) is Reason.GAVE_UP


def test_what_is_given_up_is_not_retried_although_retry_on_has_it():
    job = job_of(retries=3, retry_on=("Exception",), give_up_on=("ValueError",))
    assert after(job, failed(ValueError())) is Reason.GAVE_UP
    assert isinstance(after(job, failed(KeyError())), RetryAt)


def test_an_error_of_a_worker_process_goes_by_its_names_there():
    error = RemoteError("shop.OutOfStock: no pens")
    error.names_in_worker = frozenset({"OutOfStock", "shop.OutOfStock"})
    assert isinstance(after(job_of(retries=1, retry_on=("OutOfStock",)), failed(error)), RetryAt)
    assert after(job_of(retries=1, retry_on=("RemoteError",)), failed(error)) is Reason.GAVE_UP


# -- Retry and GiveUp -----------------------------------------------------------------------------------------------


def test_a_job_that_gives_up_is_not_retried():
    assert after(job_of(retries=3), failed(GiveUp("no such file"))) is Reason.GAVE_UP
    assert after(job_of(), failed(GiveUp())) is Reason.GAVE_UP


def test_a_job_says_when_the_next_attempt_begins():
    job = job_of(retries=2)
    assert begins(after(job, failed(Retry(30)))) == 31
    assert begins(after(job, failed(Retry(0.0005)))) == 1.001
    assert begins(after(job, failed(Retry(0)))) == 1
    assert begins(after(job, failed(Retry(timedelta(minutes=2))))) == 121
    assert begins(after(job, failed(Retry(at=datetime(2027, 1, 1, 12, 5, tzinfo=UTC))))) == 300
    assert begins(after(job, failed(Retry(at=datetime(2026, 1, 1, tzinfo=UTC))))) == 1
    assert begins(after(job, failed(Retry()))) == 11
    assert begins(after(job, failed(Retry()), tries=1)) == 21


def test_a_delay_that_the_job_asks_for_is_not_cut_to_the_longest_wait():
    assert begins(after(job_of(retries=1), failed(Retry(7200)))) == 7201


def test_what_the_job_asks_for_counts_against_its_retries():
    assert attempts(job_of(retries=2), Retry(30)) == ([0, 31, 62], Reason.RETRIES_EXHAUSTED)
    assert after(job_of(), failed(Retry(30))) is Reason.RETRIES_EXHAUSTED


def test_an_attempt_that_does_not_count_spends_no_retry():
    assert after(job_of(), failed(Retry(30, count=False))) == RetryAt(NOON + 31_000, 0)
    begun, verdict = attempts(job_of(retries=1), *[Retry(5, count=False)] * 10, ValueError(), ValueError())
    assert (len(begun), verdict) == (12, Reason.RETRIES_EXHAUSTED)


def test_attempts_that_do_not_count_end_at_retry_within():
    begun, verdict = attempts(job_of(retry_within_ms=600_000), Retry(30, count=False))
    assert (begun[-1], verdict) == (589, Reason.RETRY_WITHIN)


def test_the_errors_that_are_retried_do_not_concern_what_the_job_asks_for():
    job = job_of(retries=1, retry_on=("OSError",), give_up_on=("Exception",))
    assert begins(after(job, failed(Retry(5)))) == 6


def test_retry_and_give_up_are_errors_of_gsched_with_a_message():
    assert str(Retry(30)) == "the job asks for another attempt in 30 s"
    assert str(Retry()) == "the job asks for another attempt"
    assert str(Retry(at=datetime(2027, 1, 1, tzinfo=UTC))).endswith("attempt at 2027-01-01T00:00:00+00:00")
    assert str(GiveUp("no such file")) == "no such file"
    assert issubclass(Retry, GschedError) and issubclass(GiveUp, GschedError)


@pytest.mark.parametrize(
    "error", [Retry(), Retry(30, count=False), Retry(at=datetime(2027, 1, 1, tzinfo=UTC)), GiveUp("x")], ids=str
)
def test_retry_and_give_up_travel_from_a_worker_process(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    "arguments",
    [{"delay": -1}, {"delay": "30s"}, {"delay": True}, {"delay": float("nan")}, {"delay": 1e12},
     {"delay": 5, "at": datetime(2027, 1, 1, tzinfo=UTC)}, {"at": datetime(2027, 1, 1)}, {"at": "2027-01-01"}],
    ids=str,
)  # fmt: skip
def test_a_retry_that_means_no_time_fails_where_it_is_raised(arguments):
    with pytest.raises(ValueError, match="Retry: "):
        Retry(**arguments)


# -- limits -----------------------------------------------------------------------------------------------------------


def test_no_attempt_begins_later_than_retry_within_after_the_scheduled_time():
    job = job_of(retries=9, retry_within_ms=32_000)
    assert attempts(job) == ([0, 11, 32], Reason.RETRY_WITHIN)
    assert attempts(job_of(retries=9, retry_within_ms=31_999)) == ([0, 11], Reason.RETRY_WITHIN)


def every(seconds: float, **options: Any) -> Job:
    return job_of(IntervalTrigger(seconds=seconds, timezone="UTC", start_date=NOON / 1000), **options)


def test_an_instant_that_comes_before_the_retry_supersedes_it():
    assert after(every(30, retries=3, retry_delays_ms=(45_000,)), failed()) is Reason.SUPERSEDED
    assert after(every(30, retries=3, retry_delays_ms=(29_000,)), failed()) is Reason.SUPERSEDED
    assert begins(after(every(30, retries=3, retry_delays_ms=(28_999,)), failed())) == 29.999
    assert after(every(30), failed(Retry(45, count=False))) is Reason.SUPERSEDED


def test_an_instant_that_waits_for_the_end_of_the_run_supersedes_its_retry():
    run = Run(every(30), NOON, None)  # type: ignore[arg-type]
    each = every(30, retries=1, coalesce=False)
    assert retry_after(every(30, retries=1), run, failed(), NOON + 40_000, waits=True) is Reason.SUPERSEDED
    assert isinstance(retry_after(each, run, failed(), NOON + 40_000, waits=True), RetryAt)


def test_without_coalesce_each_instant_is_retried_for_itself():
    job = every(30, coalesce=False, retries=3, retry_delays_ms=(45_000,))
    assert begins(after(job, failed(), seconds=20)) == 65


def test_a_run_on_request_and_the_last_instant_are_not_superseded():
    job = every(30, retries=3, retry_delays_ms=(45_000,))
    assert begins(after(job, failed(), request="asked")) == 46
    once = job_of(DateTrigger(NOON / 1000, "UTC"), retries=1)
    assert begins(after(once, failed())) == 11


def test_the_next_instant_of_a_job_that_was_moved_is_the_one_that_counts():
    job = every(30, retries=3, retry_delays_ms=(45_000,)).evolve(next_run_ms=NOON + 60_000)
    assert begins(after(job, failed())) == 46


def test_a_trigger_that_raises_does_not_supersede():
    class Broken(IntervalTrigger):
        __slots__ = ()

        def next_ms(self, after: int) -> int | None:
            raise RuntimeError("broken")

    assert begins(after(job_of(Broken(seconds=5), retries=1), failed())) == 11


def test_options_that_were_changed_count_from_the_next_failure_on():
    run = Run(job_of(), NOON, None)  # type: ignore[arg-type]
    assert retry_after(job_of(retries=1), run, failed(), NOON) == RetryAt(NOON + 10_000, 1)


# -- retries that never begin -----------------------------------------------------------------------------------------

CRONTAB: dict[str, BaseTrigger] = {
    text: CronTrigger.from_crontab(text, "UTC") for text in ("* * * * *", "*/5 9-17 * * mon-fri", "* 9-17 * * *")
}
NEVER_RETRIED: list[tuple[Job, bool]] = [
    (every(30, retries=3, retry_delays_ms=(30_000,)), True),
    (every(30, retries=3, retry_delays_ms=(29_999,)), False),
    (every(30, retries=0, retry_delays_ms=(45_000,)), False),
    (every(30, retries=3, retry_delays_ms=(45_000,), coalesce=False), False),
    (every(30, retries=3, retry_delays_ms=(33_000,), retry_jitter=0.1), False),
    (every(30, retries=3, retry_delays_ms=(34_000,), retry_jitter=0.1), True),
    (every(30, retries=3, retry_delays_ms=(45_000,), retry_max_delay_ms=20_000), True),
    (every(30, retries=3, retry_delays_ms=(1000, 45_000)), False),
    (every(30, retries=3, retry_delays_ms=(45_000, 1000)), True),
    (job_of(IntervalTrigger(seconds=30, jitter=10, timezone="UTC"), retries=3, retry_delays_ms=(35_000,)), False),
    (job_of(IntervalTrigger(seconds=30, jitter=10, timezone="UTC"), retries=3, retry_delays_ms=(40_000,)), True),
    (job_of(CRONTAB["* * * * *"], retries=3, retry_delays_ms=(300_000,)), True),
    (job_of(CRONTAB["*/5 9-17 * * mon-fri"], retries=3, retry_delays_ms=(600_000,)), False),
    (job_of(CRONTAB["* 9-17 * * *"], retries=3, retry_delays_ms=(120_000,)), False),
    (job_of(DateTrigger(NOON / 1000, "UTC"), retries=3), False),
    (every(30, retries=3, retry_delays_ms=(45_000,)).evolve(next_run_ms=None), False),
]


@pytest.mark.parametrize(("job", "never"), NEVER_RETRIED)
def test_a_job_is_never_retried_if_no_instants_are_further_apart_than_its_shortest_wait(job, never):
    assert (why_never_retried(job) is not None) == never


def test_what_is_never_retried_is_superseded_whenever_its_run_ends():
    job = every(30, retries=3, retry_delays_ms=(34_000,), retry_jitter=0.1)
    assert why_never_retried(job) is not None
    assert {after(job, failed(), seconds=second / 2) for second in range(200)} == {Reason.SUPERSEDED}


def test_the_reason_says_how_long_a_retry_waits_and_how_soon_the_next_run_comes():
    said = why_never_retried(every(30, retries=3, retry_delays_ms=(45_000,)))
    assert said == "its next run comes first: a retry waits 45 s or longer, and the next run comes within 30 s"


def test_a_trigger_that_raises_is_not_said_to_supersede_retries():
    class Broken(IntervalTrigger):
        __slots__ = ()

        def next_ms(self, after: int) -> int | None:
            raise RuntimeError("broken")

    assert why_never_retried(job_of(Broken(seconds=5), retries=1)) is None
