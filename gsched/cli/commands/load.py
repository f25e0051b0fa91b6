"""gsched load."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, as_text, columns, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.shapes.questions import LOAD

if TYPE_CHECKING:
    from gsched.monitoring.load import Load, LoadHour

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@click.command()
@configured(*PLACE, "timezone")
@output_options
@jobstore_option
def load(configuration: Configuration, out: Output, jobstore: str | None) -> None:
    """Show how many runs are due in each hour of the next week, and which triggers make the fullest hours.

    Hours are those of --tz, or of --timezone. Of more than 20,000 jobs some are looked at, and the numbers estimates.
    """
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        found = scheduler.admin.load(jobstore, zone=out.zone)
        if out.form in ("json", "jsonl"):
            out.one(columns(LOAD), found)
            return
        out.rows(_hours(), list(zip(_DAYS, found.week, strict=True)))
        if out.form == "table":
            _say_more(out, found)


def _hours() -> list[Column]:
    return [Column("day", lambda day: day[0]), *(Column(f"{hour:02}", partial(_runs, hour)) for hour in range(24))]


def _runs(hour: int, day: Any) -> str:
    runs = day[1][hour]
    return f"{runs / 1000:.0f}k" if runs >= 9_999.5 else f"{runs:.0f}"


def _say_more(out: Output, found: Load) -> None:
    for peak in found.peaks[:3]:
        say(f"{as_text(out.in_zone(peak.at))}: {peak.runs:,.0f} runs; {_triggers(peak)}")
    if found.estimated_from < found.of:
        say(f"estimated from {found.estimated_from:,} of {found.of:,} jobs")


def _triggers(peak: LoadHour) -> str:
    return ", ".join(f"{each.trigger} ({each.jobs:,} jobs: {each.runs:,.0f})" for each in peak.triggers[:3])
