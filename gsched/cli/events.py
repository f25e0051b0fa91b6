"""gsched events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Column, Output, output_options
from gsched.config import Configuration

if TYPE_CHECKING:
    from gsched.facts import Fact
    from gsched.scheduler import GeventScheduler

COLUMNS = (
    Column("at", lambda fact: fact.at),
    Column("event", lambda fact: fact.name),
    Column("job_id", lambda fact: fact.job_id),
    Column("node", lambda fact: fact.node),
    Column("slot", lambda fact: fact.slot),
    Column("details", lambda fact: fact.details),
)


@click.command()
@configured(*PLACE)
@output_options
@click.option("-f", "--follow", is_flag=True, help="What happens from now on, as it happens, until Ctrl-C.")
@click.option("--event", "patterns", multiple=True, metavar="PATTERN", help="Only events like this: 'run.*'.")
@click.option("--job", metavar="JOB", type=JobId(), help="Only of this job.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Without --follow.")
@jobstore_option
def events(
    configuration: Configuration,
    out: Output,
    follow: bool,
    patterns: Sequence[str],
    job: str | None,
    limit: int,
    jobstore: str | None,
) -> None:
    """What happens in the store, whichever process does it: jobs, runs, nodes and slots.

    Of runs it tells what the history records: successes only where store.history.successes says so, or somebody asked
    for the run, or it took seconds. Without --follow: the last events that are on record.
    """
    from gsched.cli.finding import find_job_id
    from gsched.cli.streaming import followed, print_stream
    from gsched.cli.target import target

    with target(configuration) as scheduler:
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        if follow:
            told = (fact for fact in followed(scheduler, jobstore) if not fact.name.startswith("feed."))
            print_stream(out, COLUMNS, _wanted(told, patterns, job_id))
        else:
            past = list(_wanted(_past(scheduler, job_id, limit, jobstore), patterns, job_id))
            out.rows(COLUMNS, past[-limit:])


def _past(scheduler: GeventScheduler, job_id: str | None, limit: int, jobstore: str | None) -> Iterator[Fact]:
    from gsched.facts import past_facts

    return iter(past_facts(scheduler.get_runs(job_id, jobstore, limit=limit), scheduler.get_nodes(jobstore)))


def _wanted(facts: Iterator[Fact], patterns: Sequence[str], job_id: str | None) -> Iterator[Fact]:
    return (
        fact
        for fact in facts
        if job_id in (None, fact.job_id) and (not patterns or any(fnmatchcase(fact.name, each) for each in patterns))
    )
