"""gsched job set."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.arguments import job_argument, jobstore_option
from gsched.cli.chosen_jobs import COLUMNS
from gsched.cli.commands.option_flags import given_options, option_flags
from gsched.cli.commands.trigger_flags import NewTrigger, trigger_flags
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.config import Configuration
from gsched.errors import ConfigurationError, InvalidTriggerError
from gsched.times.instants import as_instant, as_timezone, from_ms

if TYPE_CHECKING:
    from gsched.cli.due import DueTimes


@click.command("set")
@job_argument
@configured(*PLACE, "timezone")
@output_options
@option_flags
@click.option("--group", hidden=True)  # it is refused, with what to do instead
@click.option("--next-run-time", metavar="TIME", help="When the job is due next: ISO 8601 or 'now'. It is resumed.")
@trigger_flags
@jobstore_option
def set_options(
    configuration: Configuration,
    out: Output,
    job_id: str,
    jobstore: str | None,
    next_run_time: str | None,
    **flags: Any,
) -> None:
    """Change a job's options or its trigger. Runs in progress go on as they are; a parked job is tried again.

    A cron expression, and a time without an offset, are in the zone of --timezone; without that flag, in the zone of
    the job's trigger.
    """
    from gsched.cli.due import DueTimes
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner, warn_of_executor, warn_of_notifiers
    from gsched.schedulers.job_builder import make_trigger

    new_trigger = NewTrigger(*(flags.pop(name) for name in NewTrigger._fields))
    changes = given_options(flags)
    new_trigger.check()
    if not changes and not any(given is not None for given in (*new_trigger, next_run_time)):
        raise click.UsageError("Nothing to change: name an option.")
    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        try:
            zone = as_timezone(configuration.timezone) if configuration.timezone else job.trigger.timezone
            if (trigger := new_trigger.fields(zone, scheduler.clock.now_ms())) is not None:
                changes["trigger"] = make_trigger(trigger, {}, zone)
            if next_run_time is not None:
                changes["next_run_time"] = _instant(next_run_time, zone, scheduler.clock.now_ms())
        except (ConfigurationError, InvalidTriggerError) as error:
            raise click.UsageError(str(error)) from None
        columns = COLUMNS if next_run_time is None else (*COLUMNS[:2], _time_set(DueTimes(scheduler)))
        out.rows(columns, [job.modify(**changes)])
        warn_of_executor(scheduler, changes.get("executor", "default"))
        warn_of_notifiers(configuration, scheduler, changes.get("notify") or ())
        warn_if_no_runner(scheduler, job.jobstore)


def _time_set(due: DueTimes) -> Column:
    """The next run time that was set, also if it has passed."""
    return Column("next_run_time", lambda job: job.definition.next_run_time, in_table=due.as_stored)


def _instant(text: str, zone: tzinfo, now: int) -> datetime:
    return from_ms(now, zone) if text == "now" else as_instant(text, zone, "--next-run-time")
