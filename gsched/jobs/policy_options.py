"""The options that make up a job's policy: the check of each value, and how a document has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gsched.checks import checked_bytes, checked_whole, is_whole
from gsched.errors import InvalidJobError
from gsched.jobs.limits import checked_group
from gsched.jobs.policy import NO_POLICY, OVERLAPS, Policy
from gsched.times.durations import as_ms
from gsched.wording import did_you_mean

if TYPE_CHECKING:
    from gsched.jobs.job import Job

MOST_RETRIES: Final = 1000
MOST_CAUGHT_UP: Final = 250
MOST_NOTIFIERS: Final = 20
LEAST_OUTPUT: Final = 1 << 10  # bytes that are kept
MOST_OUTPUT: Final = 1 << 20
TIMEOUT: Final = "timeout"  # in retry_on and give_up_on: the run was timed out
EXIT: Final = "exit:"  # there: begins the exit statuses of a command

_LONGEST_MS: Final = 3650 * 86_400_000  # of a duration
_ERROR_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
NOTIFIER_NAME: Final = re.compile(r"[\w.@:+-]{1,200}")
_EXIT_STATUSES: Final = re.compile(r"exit:(\d{1,3})(?:-(\d{1,3}))?")
_MAX_INSTANCES: Final = "to let runs overlap, raise max_instances"
# Words of other schedulers, with what to write here.
_OVERLAP_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("allow", "allowall", "parallel", "true"), _MAX_INSTANCES),
    **dict.fromkeys(("forbid", "ignore", "ignorenew", "donothing", "false"), "write 'skip'"),
    **dict.fromkeys(("buffer", "bufferone", "bufferall", "wait", "enqueue"), "write 'queue'"),
    **dict.fromkeys(("replace", "cancelother", "terminateother", "stopexisting", "restart"), "write 'cancel'"),
}

# -- checks ---------------------------------------------------------------------------------------------------------


def _retries(what: str, value: object) -> int:
    return _whole_up_to(what, value, 0, MOST_RETRIES)


def _whole_up_to(what: str, value: object, least: int, most: int) -> int:
    if not is_whole(value, least) or value > most:
        raise InvalidJobError(f"{what}: expected a whole number from {least} to {most}, got {value!r}")
    return value


def _duration_ms(what: str, value: Any) -> int:
    ms = as_ms(value, what)
    if ms > _LONGEST_MS:
        raise InvalidJobError(f"{what}: expected at most 3650d, got {value!r}")
    return ms


def _delays_ms(what: str, value: Any) -> int | tuple[int, ...]:
    """A list as a tuple, one delay as a number: only the delays of a list do not grow."""
    if not isinstance(value, (list, tuple)):
        return _duration_ms(what, value)
    if not 0 < len(value) <= MOST_RETRIES:
        raise InvalidJobError(f"{what}: expected one delay or a list of 1 to {MOST_RETRIES}, got {len(value)} of them")
    return tuple(_duration_ms(what, each) for each in value)


def _backoff(what: str, value: object) -> float:
    return _number(what, value, 1, 1_000_000)


def _jitter(what: str, value: object) -> float:
    return _number(what, value, 0, 1)


def _number(what: str, value: object, least: int, most: int) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # type: ignore[operator]
        raise InvalidJobError(f"{what}: expected a number from {least} to {most}, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def _errors(what: str, value: object) -> tuple[str, ...]:
    """Names of errors as texts: a stored job cannot make a node load code."""
    if isinstance(value, (str, Mapping, type)) or not isinstance(value, Iterable):
        raise InvalidJobError(f"{what}: expected a list of error names, got {value!r}")
    names = tuple(_error(what, each) for each in value)
    if not names:
        raise InvalidJobError(f"{what}: expected at least one error name, or None for no restriction")
    return names


def _error(what: str, value: object) -> str:
    if isinstance(value, type) and issubclass(value, BaseException):
        is_builtin = value.__module__ == "builtins"
        return value.__qualname__ if is_builtin else f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, str) and (_ERROR_NAME.fullmatch(value) or _is_exit(value)):
        return value
    raise InvalidJobError(
        f"{what}: expected the name of an error such as 'ConnectionError' or 'requests.exceptions.Timeout', 'timeout', "
        f"or a command's exit status such as 'exit:75' or 'exit:100-110', got {value!r}"
    )


def _is_exit(name: str) -> bool:
    return (statuses := exit_statuses(name)) is not None and 0 < statuses[0] <= statuses[1] <= 255


def exit_statuses(name: str) -> tuple[int, int] | None:
    """The first and the last exit status that "exit:75" or "exit:100-110" names; None for other names."""
    found = _EXIT_STATUSES.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2] or found[1]))


def checked_overlap(what: str, value: object) -> str:
    """The value. Raises InvalidJobError, naming it by `what`, unless it is one of OVERLAPS."""
    if isinstance(value, str) and value in OVERLAPS:
        return value
    elsewhere = _OVERLAP_ELSEWHERE.get(re.sub(r"[\W_]", "", str(value)).lower())
    hint = f"; {elsewhere}" if elsewhere else did_you_mean(value, OVERLAPS)
    raise InvalidJobError(f"{what}: expected 'skip', 'queue' or 'cancel', got {value!r}{hint}")


def _max_catchup(what: str, value: object) -> int:
    return _whole_up_to(what, value, 1, MOST_CAUGHT_UP)


def _from_one(what: str, value: object) -> int:
    return checked_whole(what, value, 1, InvalidJobError)


def _recoveries(what: str, value: object) -> int | None:
    if isinstance(value, bool):
        return None if value else 0
    if not is_whole(value, 1):
        raise InvalidJobError(f"{what}: expected True, False or a whole number from 1, got {value!r}")
    return value


def _group(what: str, value: object) -> str:
    return checked_group(what, value, InvalidJobError)


def _notifiers(what: str, value: object) -> tuple[str, ...]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise InvalidJobError(f"{what}: expected a list of names of notifiers, got {value!r}")
    names = tuple(dict.fromkeys(value))
    are_names = all(isinstance(each, str) and NOTIFIER_NAME.fullmatch(each) for each in names)
    if len(names) > MOST_NOTIFIERS or not are_names:
        raise InvalidJobError(
            f"{what}: expected at most {MOST_NOTIFIERS} names of letters, digits and any of . @ : + - _, got {value!r}"
        )
    return names


def _output_bytes(what: str, value: object) -> int:
    return checked_bytes(what, value, LEAST_OUTPUT, MOST_OUTPUT, InvalidJobError)


def _or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda what, value: None if value is None else check(what, value)


# The options of a policy: its field, and the check of the value.
POLICY_OPTIONS: Final[Mapping[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "retries": ("retries", _retries),
    "retry_delay": ("retry_delays_ms", _delays_ms),
    "retry_backoff": ("retry_backoff", _backoff),
    "retry_max_delay": ("retry_max_delay_ms", _duration_ms),
    "retry_jitter": ("retry_jitter", _jitter),
    "retry_on": ("retry_on", _or_none(_errors)),
    "give_up_on": ("give_up_on", _or_none(_errors)),
    "retry_within": ("retry_within_ms", _or_none(_duration_ms)),
    "overlap": ("overlap", checked_overlap),
    "max_catchup": ("max_catchup", _or_none(_max_catchup)),
    "max_runs": ("max_runs", _or_none(_from_one)),
    "max_consecutive_failures": ("max_consecutive_failures", _or_none(_from_one)),
    "failure_pause": ("failure_pause_ms", _or_none(_duration_ms)),
    "expect_success_every": ("expect_success_every_ms", _or_none(_duration_ms)),
    "finish_within": ("finish_within_ms", _or_none(_duration_ms)),
    "recover": ("recoveries", _recoveries),
    "group": ("group", _or_none(_group)),
    "notify": ("notify", _notifiers),
    "keep_output": ("keep_output_bytes", _or_none(_output_bytes)),
}


def changed_policy(policy: Policy, fields: Mapping[str, Any]) -> Policy:
    """The policy with checked fields changed, as `POLICY_OPTIONS` gives them.

    The delays of a list do not grow, and their number is the number of retries if the job has none.

    Raises InvalidJobError for a list of delays beside a retry_backoff.
    """
    changes = dict(fields)
    delays = changes.get("retry_delays_ms")
    if isinstance(delays, tuple):
        if changes.setdefault("retry_backoff", 1.0) != 1:
            raise InvalidJobError("retry_backoff: the delays of a list do not grow; leave it out, or give one delay")
        changes.setdefault("retries", policy.retries or len(delays))
    elif delays is not None:
        changes["retry_delays_ms"] = (delays,)
        if len(policy.retry_delays_ms) > 1:
            changes.setdefault("retry_backoff", NO_POLICY.retry_backoff)
    elif len(policy.retry_delays_ms) > 1 and changes.get("retry_backoff", 1) != 1:
        raise InvalidJobError("retry_backoff: the job has a list of delays, which do not grow; give one retry_delay")
    return policy.with_changes(**changes)


def refuse_contradictions(job: Job, given: Collection[str]) -> None:
    """Raises InvalidJobError if one of the given options has no meaning beside the job's others.

    What a job has from defaults, or had before, may rest: a job without retries keeps its `retry_on`.
    """
    policy = job.policy
    for option in ("retry_on", "give_up_on"):
        if option in given and (names := getattr(policy, option)) is not None:
            _refuse_errors(job, option, names)
    if policy.max_catchup is not None and job.coalesce and not {"max_catchup", "coalesce"}.isdisjoint(given):
        raise InvalidJobError(
            f"max_catchup: {policy.max_catchup} needs coalesce=False; with coalesce, one run is for all late instants"
        )
    if "failure_pause" in given and policy.failure_pause_ms is not None and policy.max_consecutive_failures is None:
        raise InvalidJobError("failure_pause: it needs max_consecutive_failures, the failures after which it begins")


def _refuse_errors(job: Job, option: str, names: Iterable[str]) -> None:
    if not job.policy.retries:
        raise InvalidJobError(f"{option}: the job has no retries; say how many: retries=3")
    wrong = [name for name in names if name.startswith(EXIT)]
    if wrong and job.func is not None and not hasattr(job.func, "executes_its_arguments"):
        raise InvalidJobError(f"{option}: {wrong[0]!r} is for commands, and the job has a function; name its errors")


# -- writing --------------------------------------------------------------------------------------------------------


def _seconds(ms: int) -> float:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _written(field: str, value: Any) -> Any:
    if value is not None and field.endswith("_ms"):
        if isinstance(value, tuple):
            return [_seconds(each) for each in value] if len(value) > 1 else _seconds(value[0])
        return _seconds(value)
    return list(value) if isinstance(value, tuple) else value


def policy_options(policy: Policy) -> dict[str, Any]:
    """All options of the policy, as `add_job` takes them, with durations in seconds."""
    written = {option: _written(field, getattr(policy, field)) for option, (field, _) in POLICY_OPTIONS.items()}
    return {**written, "recover": policy.recover}


_DEFAULTS: Final = policy_options(NO_POLICY)


def own_policy_options(policy: Policy) -> dict[str, Any]:
    """The options that differ from the defaults, without `recover`, which every document has."""
    if policy is NO_POLICY:
        return {}
    options = policy_options(policy)
    own = {option: value for option, value in options.items() if value != _DEFAULTS[option] and option != "recover"}
    if "retry_delay" in own:  # the length of a list would be taken for the number
        own["retries"] = policy.retries
    return own
