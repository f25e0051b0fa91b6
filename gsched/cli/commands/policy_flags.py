"""The flags of a job's options about retries, overlap, catch-up, pauses, times to keep and recovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from gsched.cli.arguments import Duration

F = TypeVar("F", bound=Callable[..., Any])

NOTHING: Final = "none"  # the word for no limit

_DURATION: Final = Duration(nothing=NOTHING)


class Durations(click.ParamType[Any]):
    """One duration, or several with commas between them: a list."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        durations = [_DURATION.convert(each.strip(), param, ctx) for each in value.split(",")]
        return durations if len(durations) > 1 else durations[0]


class Limit(click.IntRange):
    """A whole number from 1, or "none"."""

    def __init__(self) -> None:
        super().__init__(1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == NOTHING else super().convert(value, param, ctx)


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | str | None:
    return value if value in (None, NOTHING) else [name.strip() for name in value.split(",") if name.strip()]


def _listed(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    names = _names(ctx, param, value)
    return [] if names == NOTHING else names  # type: ignore[return-value]


_FLAGS: Final = (
    click.option("--retries", type=click.IntRange(0), metavar="N", help="How often a failed run is tried again."),
    click.option(
        "--retry-delay", type=Durations(), metavar="DURATION,...",
        help="How long after a failure the next attempt begins; of several, the last repeats.",
    ),
    click.option(
        "--retry-backoff", type=float, metavar="FACTOR",
        help="Each wait is so many times the wait before it; 1: all are equal.",
    ),
    click.option("--retry-max-delay", type=Duration(), metavar="DURATION", help="The longest wait before an attempt."),
    click.option("--retry-jitter", type=float, metavar="0-1", help="Each wait is shortened by up to this part of it."),
    click.option("--retry-on", callback=_names, metavar="ERROR,...", help="Retry only these errors; none: all."),
    click.option("--give-up-on", callback=_names, metavar="ERROR,...", help="Do not retry these errors."),
    click.option(
        "--retry-within", type=_DURATION, metavar="DURATION",
        help="How long after the scheduled time the last attempt may begin; none: no limit.",
    ),
    click.option(
        "--overlap", metavar="skip|queue|cancel",
        help="What becomes of an instant that is due while --max-instances runs are in progress.",
    ),
    click.option(
        "--max-catchup", type=Limit(), metavar="N", help="How many of several late instants run; none: all."
    ),
    click.option("--max-runs", type=Limit(), metavar="N", help="The job ends after so many runs; none: never."),
    click.option(
        "--max-consecutive-failures", type=Limit(), metavar="N",
        help="The job is paused after so many failures in a row; none: never.",
    ),
    click.option(
        "--failure-pause", type=_DURATION, metavar="DURATION", help="How long that pause is; none: until it is resumed."
    ),
    click.option(
        "--expect-success-every", type=_DURATION, metavar="DURATION",
        help="The job is overdue when no run has succeeded for so long; none: never.",
    ),
    click.option(
        "--finish-within", type=_DURATION, metavar="DURATION",
        help="A run is slow if it has not succeeded so long after its scheduled time; none: no limit.",
    ),
    click.option(
        "--notify", callback=_listed, metavar="NAME,...",
        help="Notifiers for the job, beside those for all jobs; none: no others.",
    ),
    click.option(
        "--recover/--no-recover", default=None, help="If a runner dies, its runs run again, or are lost."
    ),
    click.option(
        "--recover-times", type=click.IntRange(1), metavar="N", help="As --recover, but at most N times for each run."
    ),
)  # fmt: skip


def policy_flags(command: F) -> F:
    """Decorator: adds the flags. All but `recover_times` have the names of add_job's options."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
