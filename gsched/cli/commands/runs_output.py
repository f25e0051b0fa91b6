"""gsched runs output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.config import Configuration
from gsched.errors import RunNotFoundError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.shapes.runs import OUTPUT

if TYPE_CHECKING:
    from gsched.history.outputs import KeptOutput
    from gsched.schedulers.gevent import GeventScheduler

_EVERY_SECONDS: Final = 1.0


@click.command()
@click.argument("run", metavar="RUN_ID|JOB", type=JobId())
@configured(*PLACE)
@output_options
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Of this attempt; default: of the last one.")
@click.option("--follow", is_flag=True, help="Print more as it comes, until the attempt ends.")
@jobstore_option
def output(
    configuration: Configuration, out: Output, run: str, attempt: int | None, follow: bool, jobstore: str | None
) -> None:
    """Print what a run has printed, as far as its job's keep_output keeps it.

    Of a run in progress it is there about a second later. The beginning of a run's id is enough if no other run's id
    begins in the same way. A job's id shows its last run. Colours and cursor movements are left out.
    """
    from gsched.cli.find_job import find_run
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        found = find_run(scheduler, run, jobstore) or next(iter(scheduler.get_runs(run, jobstore, limit=1)), None)
        run_id = run if found is None else found.run_id
        kept = _output(scheduler, run_id, attempt, jobstore)
        if out.form in ("json", "jsonl"):
            out.one(columns(OUTPUT), kept)
            return
        _print(kept)
        while follow and kept.going_on:
            import gevent

            gevent.sleep(_EVERY_SECONDS)
            kept = _output(scheduler, run_id, kept.attempt, jobstore, kept.end)
            _print(kept)


def _output(
    scheduler: GeventScheduler, run_id: str, attempt: int | None, jobstore: str | None, after: int = 0
) -> KeptOutput:
    try:
        return scheduler.get_output(run_id, attempt, jobstore, after=after)
    except RunNotFoundError as error:
        raise CommandRefused(str(error), Exit.NOT_FOUND, "gsched runs list has those on record") from None


def _print(kept: KeptOutput) -> None:
    sys.stdout.write(kept.text)
    sys.stdout.flush()
