"""Options that commands share, made from the declared settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gsched.cli.printing import say
from gsched.config import Configuration, Setting, read_configuration, read_what_is_right, settings
from gsched.errors import ConfigurationError
from gsched.runner.store_url import PASSWORD_REMEDY, has_password

F = TypeVar("F", bound=Callable[..., Any])

PLACE = ("app", "store", "embedded", "embedded_mongodb", "memory", "directory")  # the settings that name the store

WEB = ("web_token_file", "web_user_header", "web_hosts", "web_read_only", "web_title")  # how the dashboard is served


def configured(*names: str, reports_problems: bool = False) -> Callable[[F], Callable[..., Any]]:
    """Decorator: give the command -c/--config and the flags of these settings; it gets a Configuration first.

    Flags that are not given fall back to the environment, then to the file: see read_configuration.

    :param names: fields of Configuration
    :param reports_problems: the command itself reports what is wrong with single keys of the file
    """
    read = read_what_is_right if reports_problems else read_configuration
    chosen = [setting for setting in settings() if setting.name in names]

    def decorate(command: F) -> Callable[..., Any]:
        @functools.wraps(command)
        def configure(*args: Any, config: str | None, **options: Any) -> Any:
            flags = {s.name: value for s in chosen if (value := options.pop(s.name)) is not None}
            if click.get_current_context().info_name != "run":  # it logs that itself
                _warn_of_password(flags)
            return command(_configuration(read, config, flags), *args, **options)

        for setting in reversed(chosen):
            _option(setting)(configure)
        return click.option(
            "-c", "--config", envvar="GSCHED_CONFIG", metavar="FILE", help="Configuration file (gsched.toml)."
        )(configure)

    return decorate


def _option(setting: Setting) -> Callable[[Any], Any]:
    return click.option(
        *setting.flags,
        setting.name,
        is_flag=setting.is_switch,
        default=None,
        metavar=setting.metavar,
        help=f"{setting.help[0].upper()}{setting.help[1:]}.  [{setting.variable}]",
    )


def _warn_of_password(flags: dict[str, Any]) -> None:
    if has_password(flags.get("store", "")):
        say("gsched: warning: every user of this machine can see the password in --store", err=True)
        say(f"  -> {PASSWORD_REMEDY}", err=True)


def _configuration(
    read: Callable[..., Configuration], path: str | None, flags: dict[str, Any]
) -> Configuration:
    try:
        return read(path, flags)
    except ConfigurationError as error:
        if str(error).startswith("--"):  # a flag's value: wrong usage
            raise click.UsageError(str(error)) from None
        raise
