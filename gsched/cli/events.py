"""gsched events."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
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

    _check_patterns(patterns, follow)
    with target(configuration) as scheduler:
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        if follow:
            told = (fact for fact in followed(scheduler, jobstore) if not fact.name.startswith("feed."))
            print_stream(out, COLUMNS, _wanted(told, patterns, job_id))
        else:
            past = list(_wanted(_past(scheduler, patterns, job_id, limit, jobstore), patterns, job_id))
            out.rows(COLUMNS, past[-limit:])


def _check_patterns(patterns: Sequence[str], follow: bool) -> None:
    """Raises click.UsageError for one that fits no event."""
    from gsched.facts import FACTS, RECORDED

    for pattern in patterns:
        if not fnmatch.filter(FACTS, pattern):
            near = get_close_matches(pattern, FACTS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Events are {', '.join(FACTS)}."
            raise click.UsageError(f"No event is like {pattern!r}. {hint}")
        if not follow and not fnmatch.filter(RECORDED, pattern):
            raise click.UsageError(f"No event like {pattern!r} is on record: --follow tells of those that happen.")


def _past(
    scheduler: GeventScheduler, patterns: Sequence[str], job_id: str | None, limit: int, jobstore: str | None
) -> Iterator[Fact]:
    """Of each outcome that is wanted the last runs, and nodes: so many at least, if there are so many."""
    from gsched.facts import past_facts
    from gsched.history import OUTCOMES

    wanted: Iterable[str | None] = (each for each in OUTCOMES if _fits(f"run.{each}", patterns)) if patterns else [None]
    runs = [run for outcome in wanted for run in scheduler.get_runs(job_id, jobstore, outcome, limit=limit)]
    return iter(past_facts(runs, scheduler.get_nodes(jobstore)))


def _wanted(facts: Iterator[Fact], patterns: Sequence[str], job_id: str | None) -> Iterator[Fact]:
    return (fact for fact in facts if job_id in (None, fact.job_id) and _fits(fact.name, patterns))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
