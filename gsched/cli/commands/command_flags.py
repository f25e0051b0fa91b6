"""The flags of a shell command's options, for `gsched job add`. They have the names of run_command's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _variables(ctx: click.Context, param: click.Parameter, given: Sequence[str]) -> dict[str, str] | None:
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"expected NAME=VALUE, got {each!r}", ctx, param)
    return dict(each.split("=", 1) for each in given) or None


_FLAGS: Final = (
    click.option("--shell", metavar="PATH", help="The shell that runs the command.  [default: /bin/sh]"),
    click.option("--env", multiple=True, callback=_variables, metavar="NAME=VALUE", help="A variable of the command."),
    click.option("--cwd", metavar="DIRECTORY", help="The command's working directory; ~ is the home directory."),
    click.option("--stdin", metavar="TEXT", help="The command's standard input."),
    click.option("--user", metavar="NAME", help="Run the command as this user; only a runner of root can."),
    click.option("--log-output/--no-log-output", default=None, help="Write the output into the log, or do not."),
    click.option("--max-lines", type=click.IntRange(0), metavar="N", help="At most N lines of output are logged."),
    click.option("--env-file", metavar="FILE", help="A file with variables, in the syntax of EnvironmentFile."),
    click.option("--nice", type=click.IntRange(-20, 19), metavar="N", help="What is added to the runner's niceness."),
    click.option("--memory-max", metavar="SIZE", help="The address space of each process, such as 512MiB."),
    click.option("--cpu-time-max", metavar="DURATION", help="The CPU time of each process, in whole seconds."),
    click.option("--umask", metavar="OCTAL", help="The command's umask, such as 027."),
)


def command_flags(command: F) -> F:
    """Decorator: adds the flags."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command
