"""The flags of a new trigger, for `gsched job set`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from gsched.cli.arguments import Duration

if TYPE_CHECKING:
    from gsched.triggers import BaseTrigger

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS: Final = (
    click.option("--cron", metavar="EXPRESSION", help="A new trigger: '*/5 * * * *'."),
    click.option("--quartz", metavar="EXPRESSION", help="A new trigger, as Quartz has it: '0 0 9 ? * MON-FRI'."),
    click.option("--every", type=Duration(), metavar="DURATION", help="A new trigger: an interval."),
    click.option("--between", metavar="TIMES", help="With --every: the window of each day, '09:00-17:00'."),
    click.option("--days", metavar="WEEKDAYS", help="With --every: only on these, 'mon-fri'."),
)


class NewTrigger(NamedTuple):
    """What was given of a new trigger; all None: the job keeps its own."""

    cron: str | None
    quartz: str | None
    every: float | None
    between: str | None
    days: str | None

    def check(self) -> None:
        """Raises UsageError for flags that exclude or need each other."""
        given = [name for name in ("cron", "quartz", "every") if getattr(self, name) is not None]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(f'--{name}' for name in given)} exclude each other.")
        for name in ("between", "days"):
            if getattr(self, name) is not None and self.every is None:
                raise click.UsageError(f"--{name} needs --every.")

    def make(self, zone: tzinfo) -> BaseTrigger | None:
        """The trigger. Raises InvalidTriggerError."""
        from gsched.triggers import CronTrigger, IntervalTrigger

        if self.cron is not None:
            return CronTrigger.from_crontab(self.cron, timezone=zone)
        if self.quartz is not None:
            return CronTrigger.from_quartz(self.quartz, timezone=zone)
        if self.every is None:
            return None
        days = 0 if self.days is None else self.days
        return IntervalTrigger(seconds=self.every, between=self.between, days=days, timezone=zone)


def trigger_flags(command: F) -> F:
    """Decorator: the flags. They have the names of NewTrigger's fields."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
