"""gsched job set."""

from __future__ import annotations

import json
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import Duration, job_argument, jobstore_option
from gsched.cli.chosen_jobs import COLUMNS
from gsched.cli.commands.policy_flags import NOTHING, policy_flags
from gsched.cli.commands.trigger_flags import NewTrigger, trigger_flags
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import ConfigurationError, InvalidTriggerError
from gsched.times.instants import as_instant, as_timezone, from_ms

if TYPE_CHECKING:
    from gsched.cli.due import DueTimes


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
    """"yes" for an interval, a duration for other triggers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return True if value == "yes" else super().convert(value, param, ctx)


def _tags(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [tag.strip() for tag in value.split(",") if tag.strip()]


_DURATION = Duration(nothing=NOTHING)


@click.command("set")
@job_argument
@configured(*PLACE, "timezone")
@output_options
@click.option("--name", help="A name for people.")
@click.option("--executor", metavar="ALIAS", help="The executor that runs the job.")
@click.option("--timeout", type=_DURATION, metavar="DURATION", help="How long a run may take; none: no limit.")
@click.option(
    "--misfire-grace-time", type=_DURATION, metavar="DURATION", help="How late a run may start; none: no limit."
)
@click.option("--coalesce/--no-coalesce", default=None, help="Several due times become one run, or a run each.")
@click.option("--max-instances", type=click.IntRange(1), metavar="N", help="How many runs may be in progress at once.")
@policy_flags
@click.option("--tags", callback=_tags, metavar="TAG,TAG", help="The tags, instead of the present ones; '': none.")
@click.option("--args", type=Json(list), metavar="JSON", help='Positional arguments: \'[1, "a"]\'.')
@click.option("--kwargs", type=Json(dict), metavar="JSON", help="Keyword arguments: '{\"key\": 1}'.")
@click.option("--metadata", type=Json(dict), metavar="JSON", help="A mapping of your own.")
@click.option("--next-run-time", metavar="TIME", help="When the job is due next: ISO 8601 or 'now'. It is resumed.")
@click.option(
    "--spread", type=Spread(nothing=NOTHING), metavar="yes|DURATION",
    help="Give the job a phase of its own: yes for an interval, over how long for other triggers; none: end that.",
)
@trigger_flags
@jobstore_option
def set_options(
    configuration: Configuration,
    out: Output,
    job_id: str,
    jobstore: str | None,
    next_run_time: str | None,
    recover_times: int | None,
    **options: Any,
) -> None:
    """Change a job's options or its trigger. Runs in progress go on as they are; a parked job is tried again.

    A cron expression, and a time without an offset, are in the zone of --timezone; without that flag, in the zone of
    the job's trigger.
    """
    from gsched.cli.due import DueTimes
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner

    if recover_times is not None:
        options["recover"] = recover_times
    new_trigger = NewTrigger(*(options.pop(name) for name in NewTrigger._fields))
    changes = {option: _meant(option, value) for option, value in options.items() if value is not None}
    new_trigger.check()
    if not changes and not any(given is not None for given in (*new_trigger, next_run_time)):
        raise click.UsageError("Nothing to change: name an option.")
    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        try:
            zone = as_timezone(configuration.timezone) if configuration.timezone else job.trigger.timezone
            if (trigger := new_trigger.make(zone)) is not None:
                changes["trigger"] = trigger
            if next_run_time is not None:
                changes["next_run_time"] = _instant(next_run_time, zone, scheduler.clock.now_ms())
        except (ConfigurationError, InvalidTriggerError) as error:
            raise click.UsageError(str(error)) from None
        columns = COLUMNS if next_run_time is None else (*COLUMNS[:2], _time_set(DueTimes(scheduler)))
        out.rows(columns, [job.modify(**changes)])
        executor = changes.get("executor", "default")
        if executor not in {"default", *scheduler.executors}:
            say(f"gsched: a runner without the executor {executor!r} parks the job when it is due", err=True)
        warn_if_no_runner(scheduler, job.jobstore)


def _time_set(due: DueTimes) -> Column:
    """The next run time that was set, also if it has passed."""
    return Column("next_run_time", lambda job: job.definition.next_run_time, in_table=due.as_stored)


def _meant(option: str, value: Any) -> Any:
    return None if value == NOTHING and option not in ("name", "executor") else value


def _instant(text: str, zone: tzinfo, now: int) -> datetime:
    return from_ms(now, zone) if text == "now" else as_instant(text, zone, "--next-run-time")
