"""gsched web."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, WEB, configured
from gsched.config import Configuration


@click.command()
@click.argument("address", metavar="[HOST:PORT]", required=False)
@configured(*PLACE, *WEB, "timezone", "log_format", "log_level")
def web(configuration: Configuration, address: str | None) -> int:
    """Serve the dashboard of a store, and its JSON API, until TERM or Ctrl-C. Runs nothing. Default: 127.0.0.1:8789.

    Without a token, only users of this machine reach it. Another address than loopback needs --web-token-file, the
    variable GSCHED_WEB_TOKEN, or --web-user-header behind a proxy.
    """
    from gsched.runner.dashboard import run_dashboard
    from gsched.web.address import USUAL_WEB

    return run_dashboard(address or configuration.web or USUAL_WEB, configuration)
