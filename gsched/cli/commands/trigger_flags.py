"""The flags of a trigger, for `gsched job add` and `gsched job set`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple, TypeVar

import click

from gsched.cli.arguments import Duration
from gsched.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS: Final = (
    click.option("--cron", metavar="EXPRESSION", help="When the job is due: '*/5 * * * *'."),
    click.option("--quartz", metavar="EXPRESSION", help="The same in the syntax of Quartz: '0 0 9 ? * MON-FRI'."),
    click.option("--every", type=Duration(), metavar="DURATION", help="The job is due in this interval: 5m."),
    click.option("--between", metavar="TIMES", help="With --every: only at these times of day, '09:00-17:00'."),
    click.option("--days", metavar="WEEKDAYS", help="With --every: only on these days, 'mon-fri'."),
    click.option("--at", metavar="TIME", help="The job is due once: 18:00, 2h (from now), 2030-01-31T08:00."),
)
_EXCLUSIVE: Final = ("cron", "quartz", "every", "at")


class NewTrigger(NamedTuple):
    """The values of the flags about a trigger. If all are None, no trigger is given."""

    cron: str | None
    quartz: str | None
    every: float | None
    between: str | None
    days: str | None
    at: str | None

    def check(self) -> None:
        """Raises UsageError for flags that exclude each other, and for a flag that needs --every."""
        given = [name for name in _EXCLUSIVE if getattr(self, name) is not None]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(f'--{name}' for name in given)} exclude each other.")
        for name in ("between", "days"):
            if getattr(self, name) is not None and self.every is None:
                raise click.UsageError(f"--{name} needs --every.")

    def fields(self, zone: tzinfo, now: int) -> dict[str, Any] | None:
        """The trigger as in a [[job]] entry, without a time zone; None if no trigger is given.

        :param zone: the time zone of --at without an offset
        :param now: milliseconds since the epoch
        :raises UsageError: if --at is no time ahead
        """
        if self.cron is not None:
            return {"type": "cron", "crontab": self.cron}
        if self.quartz is not None:
            return {"type": "cron", "quartz": self.quartz}
        if self.every is not None:
            window = {"between": self.between, "days": self.days}
            return {"type": "interval", "seconds": self.every, **{k: v for k, v in window.items() if v is not None}}
        return None if self.at is None else {"type": "date", "run_date": _time(self.at, zone, now)}


def _time(text: str, zone: tzinfo, now: int) -> datetime:
    from gsched.cli.time_ahead import time_ahead

    try:
        return time_ahead(text, zone, now)
    except ConfigurationError as error:
        raise click.UsageError(f"--at: {error}") from None


def trigger_flags(command: F) -> F:
    """Decorator: adds the flags. They have the names of NewTrigger's fields."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
