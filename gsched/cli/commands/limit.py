"""gsched limit."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.config import Configuration
from gsched.errors import ConfigurationError
from gsched.shapes.groups import LIMIT

COLUMNS = columns(LIMIT, in_table={"rate": lambda limit: limit.rate_text})
one_store = click.option("--jobstore", metavar="ALIAS", default="default", show_default=True, help="The job store.")


@click.group()
def limit() -> None:
    """The limits of groups: list, set, remove.

    A job belongs to the group that its option `group` names. PATTERN is a group, or the beginning of groups with "*" at
    its end, such as 'host:*'; each group that it matches has the limit for itself. The longest pattern counts alone.
    """


@limit.command("list")
@configured(*PLACE)
@output_options
@one_store
def list_limits(configuration: Configuration, out: Output, jobstore: str) -> None:
    """List the limits. Tables have the rate as it is written; JSON has it in runs a second."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        limits = scheduler.get_limits(jobstore).by_pattern
        out.rows(COLUMNS, [limits[pattern] for pattern in sorted(limits)])


@limit.command("set")
@click.argument("pattern")
@configured(*PLACE)
@click.option("--concurrency", type=int, metavar="N", help="How many runs may be in progress at once.")
@click.option("--rate", metavar="RATE", help="How many runs may begin: 10/s, 600/min, 2/h; a number is per second.")
@click.option("--burst", type=int, default=1, metavar="N", help="How many may begin at once, after a time with fewer.")
@output_options
@one_store
def set_limit(
    configuration: Configuration,
    out: Output,
    pattern: str,
    concurrency: int | None,
    rate: str | None,
    burst: int,
    jobstore: str,
) -> None:
    """Set the limit of a group or of several, in place of the one that PATTERN has. Runs in progress go on."""
    from gsched.cli.open_store import open_store

    if concurrency is None and rate is None:
        raise click.UsageError("Name --concurrency, --rate or both. `gsched limit remove` removes a limit.")
    if concurrency == 0:
        raise click.UsageError("--concurrency is at least 1. `gsched group pause` lets no run of a group begin.")
    with open_store(configuration) as scheduler:
        try:
            set_ = scheduler.set_limit(pattern, concurrency, _rate(rate), burst, jobstore)
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from None
        out.rows(COLUMNS, [set_])


@limit.command()
@click.argument("pattern")
@configured(*PLACE)
@one_store
def remove(configuration: Configuration, pattern: str, jobstore: str) -> None:
    """Remove the limit of PATTERN: what waits because of it begins."""
    from gsched.cli.open_store import open_store

    with open_store(configuration) as scheduler:
        scheduler.remove_limit(pattern, jobstore)


def _rate(text: str | None) -> float | str | None:
    """A number without a unit is a number."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
