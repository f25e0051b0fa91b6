"""gsched health."""

from __future__ import annotations

import json
from typing import Any

import click

from gsched.cli.options import configured
from gsched.cli.output import Column, Output, output_options
from gsched.cli.printing import say
from gsched.cli.probe_client import ask_probe
from gsched.config import Configuration
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.web.address import USUAL

COLUMNS = (
    Column("check", lambda check: check["name"]),
    Column("ok", lambda check: check["ok"]),
    Column("what", lambda check: check["what"]),
)


@click.command()
@configured("probe")
@output_options
@click.option("--ready", is_flag=True, help="Check readiness: the runner lives and can do its work.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=3.0, metavar="SECONDS", show_default=True,
    help="How long to wait for an answer.",
)  # fmt: skip
def health(configuration: Configuration, out: Output, ready: bool, timeout: float) -> None:
    """Ask a runner on its probe port whether it lives. The exit code is 0, or 7 with the checks that fail.

    Warnings, such as an executor that is full, leave the exit code at 0.
    Without a configured address, the command asks at 127.0.0.1:8788.
    """
    address = configuration.probe or USUAL
    found = _read(address, timeout)
    out.rows(COLUMNS, found["checks"])
    for check in found["checks"]:
        if check.get("warning"):
            say(f"gsched: warning: {check['name']}: {check['what']}", err=True)
    if not found["ready" if ready else "live"]:
        failing = [f"{check['name']}: {check['what']}" for check in found["checks"] if not check["ok"]]
        raise CommandRefused(f"not {'ready' if ready else 'live'}: {'; '.join(failing)}", Exit.UNHEALTHY)


def _read(address: str, timeout: float) -> dict[str, Any]:
    _, body = ask_probe(address, "/health", timeout)
    try:
        found: dict[str, Any] = json.loads(body)
        found["live"], found["ready"], [(check["name"], check["ok"], check["what"]) for check in found["checks"]]
    except (ValueError, TypeError, KeyError):
        raise CommandRefused(f"what answers at {address} is no probe port of gsched", Exit.UNHEALTHY) from None
    return found
