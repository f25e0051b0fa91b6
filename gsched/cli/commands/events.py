"""gsched events."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from gsched.cli.arguments import JobId, jobstore_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.config import Configuration
from gsched.shapes.stores import EVENT

if TYPE_CHECKING:
    from gsched.monitoring.cluster_events import StoreEvent
    from gsched.schedulers.gevent import GeventScheduler

COLUMNS = columns(EVENT)


@click.command()
@configured(*PLACE)
@output_options
@click.option("-f", "--follow", is_flag=True, help="Print events from now on, until Ctrl-C.")
@click.option("--event", "patterns", multiple=True, metavar="PATTERN", help="Only events like this: 'run.*'.")
@click.option("--job", metavar="JOB", type=JobId(), help="Only events of this job.")
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
    """Print the events of the store, in any process: of jobs, runs, nodes and slots.

    Without --follow, the command prints the last recorded events. A run has an event if the history has the run. Of the
    successes, it has these: runs on request, runs that took seconds, and what store.history.successes keeps.
    """
    from gsched.cli.find_job import find_job_id
    from gsched.cli.open_store import open_store
    from gsched.cli.streaming import followed, print_stream

    _check_patterns(patterns, follow)
    with open_store(configuration) as scheduler:
        job_id = None if job is None else find_job_id(scheduler, job, jobstore)
        if follow:
            news = (event for event in followed(scheduler, jobstore) if not event.name.startswith("feed."))
            print_stream(out, COLUMNS, _wanted(news, patterns, job_id))
        else:
            past = list(_wanted(_past(scheduler, patterns, job_id, limit, jobstore), patterns, job_id))
            out.rows(COLUMNS, past[-limit:])


def _check_patterns(patterns: Sequence[str], follow: bool) -> None:
    """Raise click.UsageError for a pattern that fits no event."""
    from gsched.monitoring.cluster_events import RECORDED, STORE_EVENTS

    for pattern in patterns:
        if not fnmatch.filter(STORE_EVENTS, pattern):
            near = get_close_matches(pattern, STORE_EVENTS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Events are {', '.join(STORE_EVENTS)}."
            raise click.UsageError(f"No event is like {pattern!r}. {hint}")
        if not follow and not fnmatch.filter(RECORDED, pattern):
            raise click.UsageError(f"No event like {pattern!r} is recorded: --follow shows events as they happen.")


def _past(
    scheduler: GeventScheduler, patterns: Sequence[str], job_id: str | None, limit: int, jobstore: str | None
) -> Iterator[StoreEvent]:
    """The recorded events: at least the last `limit` that fit the patterns, if there are so many."""
    from gsched.history.queries import OUTCOMES
    from gsched.monitoring.cluster_events import past_events

    wanted: Iterable[str | None] = (each for each in OUTCOMES if _fits(f"run.{each}", patterns)) if patterns else [None]
    runs = [run for outcome in wanted for run in scheduler.get_runs(job_id, jobstore, outcome, limit=limit)]
    return iter(past_events(runs, scheduler.admin.get_nodes(jobstore)))


def _wanted(events: Iterator[StoreEvent], patterns: Sequence[str], job_id: str | None) -> Iterator[StoreEvent]:
    return (event for event in events if job_id in (None, event.job_id) and _fits(event.name, patterns))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
