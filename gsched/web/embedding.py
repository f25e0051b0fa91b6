"""The dashboard inside an application."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from gsched.errors import ConfigurationError
from gsched.jobs.callables import check_callable
from gsched.schedulers.base import BaseScheduler
from gsched.web.redaction import Redact, redacted
from gsched.web.users import Authorize, on_this_machine

if TYPE_CHECKING:
    from gsched.web.app import WebApplication

REMEDY: Final = "werkzeug is not installed: pip install 'gsched[web]'"


def create_app(
    scheduler: BaseScheduler,
    *,
    authorize: Authorize | None = None,
    read_only: bool = False,
    allowed_hosts: Collection[str] = (),
    redact: Redact | None = None,
    title: str = "",
) -> WebApplication:
    """The dashboard of a scheduler as a WSGI application, which another application mounts below a prefix.

    The scheduler may run or not; of a shared store all nodes are shown. Call the application's `close` before the
    server stops: it ends the streams of live events.

    :param authorize: gives the `User` of a WSGI request, or None for nobody; default: anybody on this machine, unless
        a proxy is between, and nobody else
    :param read_only: nobody may change anything
    :param allowed_hosts: names by which requests may call the server, beside localhost and addresses; "*": any, for an
        application that checks them itself
    :param redact: gives what is shown of a value, by its name; default: `redacted`, which masks passwords, tokens and
        the like
    :param title: what the pages are headed with
    :raises ConfigurationError: if werkzeug is not installed, or an argument cannot be right
    """
    if isinstance(allowed_hosts, str):
        raise ConfigurationError(f"allowed_hosts: expected a list of names, got {allowed_hosts!r}")
    for what, given in (("authorize", authorize), ("redact", redact)):
        if given is not None:
            check_callable(what, given)
    try:
        from gsched.web.app import WebApplication
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("werkzeug"):
            raise
        raise ConfigurationError(REMEDY) from error
    return WebApplication(
        scheduler,
        authorize=authorize or on_this_machine,
        read_only=read_only,
        allowed_hosts=allowed_hosts,
        redact=redact or redacted,
        title=title,
    )
