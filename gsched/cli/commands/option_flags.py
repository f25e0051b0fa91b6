"""The flags of a job's options, for `gsched job add` and `gsched job set`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from gsched.cli.arguments import Duration
from gsched.cli.commands.policy_flags import NOTHING, policy_flags

F = TypeVar("F", bound=Callable[..., Any])


class Json(click.ParamType[Any]):
    """JSON text of one type."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.name = "JSON list" if kind is list else "JSON object"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self.kind):
            return value
        try:
            read = json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} is not JSON: {error}", param, ctx)
        if not isinstance(read, self.kind):
            self.fail(f"expected a {self.name}, got {value!r}", param, ctx)
        return read


class Spread(Duration):
    """True for the word "yes", which is for intervals; a duration for other triggers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return True if value == "yes" else super().convert(value, param, ctx)


class _Size(click.ParamType[int | str]):
    """A size: a number of bytes, or text such as "64KiB"."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        return int(value) if value.isdigit() else value


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


_DURATION: Final = Duration(nothing=NOTHING)
_BEFORE_POLICY: Final = (
    click.option("--name", help="A name for people."),
    click.option("--executor", metavar="ALIAS", help="The executor that runs the job."),
    click.option("--timeout", type=_DURATION, metavar="DURATION", help="How long a run may take; none: no limit."),
    click.option(
        "--misfire-grace-time", type=_DURATION, metavar="DURATION", help="How late a run may start; none: no limit."
    ),
    click.option("--coalesce/--no-coalesce", default=None, help="Several late due times become one run or several."),
    click.option(
        "--max-instances", type=click.IntRange(1), metavar="N", help="How many runs may be in progress at once."
    ),
)
_AFTER_POLICY: Final = (
    click.option(
        "--keep-output", type=_Size(), metavar="SIZE",
        help="How much of each run's output is kept, such as 64KiB; none: nothing.",
    ),
    click.option("--tags", callback=_names, metavar="TAG,TAG", help="The job's tags; '': none."),
    click.option("--args", type=Json(list), metavar="JSON", help='Positional arguments: \'[1, "a"]\'.'),
    click.option("--kwargs", type=Json(dict), metavar="JSON", help="Keyword arguments: '{\"key\": 1}'."),
    click.option("--metadata", type=Json(dict), metavar="JSON", help="Data of your own: '{\"team\": \"web\"}'."),
    click.option(
        "--spread", type=Spread(nothing=NOTHING), is_flag=False, flag_value="yes", metavar="[DURATION]",
        help="Give the job a phase of its own, so that jobs do not start all at once. Only an interval needs no "
        "DURATION; any other trigger is spread over it. none: no such phase.",
    ),
)  # fmt: skip


def option_flags(command: F) -> F:
    """Decorator: adds the flags. All but `recover_times` have the names of add_job's options."""
    for flag in reversed(_AFTER_POLICY):
        command = flag(command)
    command = policy_flags(command)
    for flag in reversed(_BEFORE_POLICY):
        command = flag(command)
    return command


def given_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The options of add_job that were given as flags. The word "none" gives None, but not as a name."""
    given = {option: _meant(option, value) for option, value in flags.items() if value is not None}
    times = given.pop("recover_times", None)
    return given if times is None else {**given, "recover": times}


def _meant(option: str, value: Any) -> Any:
    return None if value == NOTHING and option not in ("name", "executor") else value
