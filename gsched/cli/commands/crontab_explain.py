"""gsched crontab explain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from gsched.cli.output import Column, Output, as_text, output_options
from gsched.cli.table import print_pairs
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.wording import escaped

if TYPE_CHECKING:
    from gsched.triggers import BaseTrigger


class Explained(NamedTuple):
    """A cron expression, explained."""

    expression: str
    meaning: str
    resolved: str | None
    notes: list[str]
    next: list[datetime]


COLUMNS = tuple(Column(name, lambda item, name=name: getattr(item, name)) for name in Explained._fields)  # type: ignore[misc]


@click.command()
@click.argument("expression", nargs=-1, required=True, metavar="'EXPR'")
@click.option("--count", type=click.IntRange(0, 10_000), default=5, help="How many run times to show.  Default: 5.")
@click.option("--seconds", is_flag=True, help="There are six fields, the first for seconds.")
@click.option("--quartz", is_flag=True, help="The expression is one of Quartz: six or seven fields.")
@click.option("--id", "job_id", metavar="JOB", help="The job whose id chooses the values of H.")
@output_options
def explain(
    out: Output, expression: tuple[str, ...], count: int, seconds: bool, quartz: bool, job_id: str | None
) -> None:
    """Print the meaning of a cron expression, what may surprise about it, and when it is due next.

    Quote the expression: a shell replaces a bare * by file names. --tz is also the zone of the schedule.
    """
    from gsched.errors import InvalidTriggerError
    from gsched.triggers import CronTrigger

    if quartz and seconds:
        raise click.UsageError("--quartz and --seconds exclude each other.")
    text = " ".join(expression)
    try:
        trigger = (
            CronTrigger.from_quartz(text, out.zone) if quartz else CronTrigger.from_crontab(text, out.zone, seconds)
        )
        explained = _explained(text, trigger if job_id is None else trigger.for_job(job_id), count, quartz)
    except InvalidTriggerError as error:
        raise CommandRefused(str(error), Exit.USAGE, _remedy(text)) from None
    if out.form in ("json", "jsonl"):
        out.one(COLUMNS, explained)
    elif out.form == "table":
        print_pairs([("meaning", explained.meaning), *_under_each_other(explained)])
    else:
        for name, value in (("meaning", explained.meaning), *_lines(explained)):
            click.echo(f"{name}\t{escaped(value)}")


def _explained(text: str, trigger: BaseTrigger, count: int, quartz: bool) -> Explained:
    from itertools import islice

    from gsched.runner.crontab.notes import about_clock_changes, surprises
    from gsched.runner.crontab.words import fields_in_words, in_words
    from gsched.times.clock import SystemClock
    from gsched.times.instants import from_ms
    from gsched.triggers import CronTrigger

    now = SystemClock().now_ms()
    if quartz:
        assert isinstance(trigger, CronTrigger)
        meaning = fields_in_words({field.name: field.text for field in trigger.fields})
        notes = list(about_clock_changes(trigger, now))
    else:
        meaning, notes = in_words(text), list(surprises(text, trigger, now))
    if isinstance(trigger, CronTrigger) and not trigger.has_times:
        return Explained(text, meaning, None, ["when it is due is known with the job's id: give --id JOB", *notes], [])
    if isinstance(trigger, CronTrigger) and trigger.next_ms(now) is None:
        notes.insert(0, "it is never due: there is no such day")
    times = [from_ms(each, trigger.timezone) for each in islice(_instants(trigger, now), count)]
    resolved = trigger.resolved if isinstance(trigger, CronTrigger) else None
    if resolved is not None and not quartz:
        meaning = f"{meaning}; for this job {in_words(resolved)}"
    return Explained(text, meaning, resolved, notes, times)


def _instants(trigger: BaseTrigger, after: int | None) -> Iterator[int]:
    while after is not None:
        after = trigger.next_ms(after)
        if after is not None:
            yield after


def _lines(explained: Explained) -> Iterator[tuple[str, str]]:
    if explained.resolved is not None:
        yield "resolved", explained.resolved
    yield from (("note", note) for note in explained.notes)
    yield from (("next", as_text(time)) for time in explained.next)


def _under_each_other(explained: Explained) -> Iterator[tuple[str, str]]:
    if explained.resolved is not None:
        yield "resolved", explained.resolved
    if explained.notes:
        yield "notes", "\n".join(explained.notes)
    if explained.next:
        yield "next", "\n".join(map(as_text, explained.next))


def _remedy(text: str) -> str | None:
    return "Quote the expression, and leave the command out." if len(text.split()) > 7 else None
