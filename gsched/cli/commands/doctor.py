"""gsched doctor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from gsched.cli.error_text import error_text
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.config import Configuration
from gsched.errors import GschedError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.shapes.stores import FINDING
from gsched.wording import escaped

if TYPE_CHECKING:
    from gsched.monitoring.doctor import Finding

COLUMNS = columns(FINDING)
_COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@configured(*PLACE)
@output_options
def doctor(configuration: Configuration, out: Output) -> int:
    """Look for problems of this machine and the store, and print their remedies.

    The exit code is 1 if there is a problem; warnings leave it at 0.
    """
    verdicts: list[str] = []
    findings = _noted(_findings(configuration), verdicts)
    if out.form == "table":
        for finding in findings:
            _print(finding)
    else:
        out.rows(COLUMNS, findings)
    return Exit.FAILED if "problem" in verdicts else Exit.OK


def _noted(findings: Iterator[Finding], verdicts: list[str]) -> Iterator[Finding]:
    for finding in findings:
        verdicts.append(finding.verdict)
        yield finding


def _findings(configuration: Configuration) -> Iterator[Finding]:
    from gsched.cli.open_store import open_store
    from gsched.monitoring.doctor import PROBLEM, WARNING, Finding, environment_findings
    from gsched.runner.foreign_files import file_rights

    yield from environment_findings(runs_jobs=False)
    yield file_rights(configuration)
    try:
        with open_store(configuration) as scheduler:
            yield from scheduler.admin.diagnose_stores()
    except CommandRefused as error:  # there is no store that could be looked at from here
        verdict = PROBLEM if error.code == Exit.NOT_FOUND else WARNING
        yield Finding("store", verdict, f"not looked at: {error}", error.remedy)
    except GschedError as error:
        message, remedy = error_text(error)
        yield Finding("store", PROBLEM, message, remedy or "see the message")


def _print(finding: Finding) -> None:
    verdict = click.style(finding.verdict.ljust(7), _COLOURS[finding.verdict])
    click.echo(f"{verdict}  {finding.check}: {escaped(finding.found)}")
    if finding.remedy is not None:
        click.echo(f"{'':7}  -> {escaped(finding.remedy)}")
