"""Arguments and options that commands about jobs share."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from gsched.config import read_configuration
from gsched.config.values import duration
from gsched.errors import ConfigurationError

_COMPLETED = 50  # ids that are offered
# Ids that each shell reads as a plain word. Completion would put other ids into the line, and the shell would run them.
_PLAIN = re.compile(r"[\w./][\w@%+=:,./-]*")
_PLACES = ("store", "embedded", "embedded_mongodb", "directory")
_QUICK = "serverSelectionTimeoutMS=500&connectTimeoutMS=500&socketTimeoutMS=1000"


class JobId(click.ParamType[str]):
    """A job's id, or the beginning of its id."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The ids with this beginning, if there is a store and it answers at once."""
        try:
            return [CompletionItem(job_id) for job_id in _ids(ctx.params, incomplete)]
        except Exception:  # a shell that completes has no place for messages
            return []


def _ids(params: dict[str, Any], incomplete: str) -> list[str]:
    from gsched.runner.build import control_scheduler
    from gsched.runner.place import place_of

    flags = {name: params[name] for name in _PLACES if params.get(name)}
    configuration = read_configuration(params.get("config"), flags)
    if configuration.app is not None and configuration.store is None:  # it may have a store of its own
        return []
    configuration = replace(configuration, app=None)
    place = place_of(configuration, None)
    if place.kind == "mongodb":
        url = str(configuration.store)
        configuration = replace(configuration, store=f"{url}{'&' if '?' in url else '?'}{_QUICK}")
    elif place.kind != "sqlite":  # a private MongoDB may have to be started
        return []
    found = control_scheduler(configuration).iter_jobs(prefix=incomplete, limit=_COMPLETED)
    return [job.id for job in found if _PLAIN.fullmatch(job.id)]


class Duration(click.ParamType[float | str]):
    """A duration in seconds, from text such as "90s", "10m" or "1h30m", or from a number of seconds.

    :param nothing: the word that stands for no duration, if there is one
    """

    name = "duration"

    def __init__(self, nothing: str | None = None) -> None:
        self.nothing = nothing

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == self.nothing or not isinstance(value, str):
            return value
        try:
            return duration("duration", value)
        except ConfigurationError as error:
            self.fail(str(error).removeprefix("duration: "), param, ctx)


jobstore_option = click.option(
    "--jobstore", metavar="ALIAS", help="Only this job store, of an application that has several."
)
job_argument = click.argument("job_id", metavar="JOB", type=JobId())
