"""The root command: finds the others, and turns whatever goes wrong into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Final

import click

from gsched import __version__
from gsched.cli.lazy import LazyGroup
from gsched.cli.messages import explained
from gsched.cli.printing import say
from gsched.errors import StoreError
from gsched.runner.exits import Exit, code_of
from gsched.runner.inherited import open_missing_streams

# name: where the command is, and what `gsched --help` says of it
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("gsched.cli.run:run", "Run an application's jobs, declared jobs or a crontab."),
    "check": ("gsched.cli.check:check", "Check application, configuration and store; starts nothing."),
    "job": ("gsched.cli.job:job", "List, show, pause, resume, change, run and remove jobs."),
    "runs": ("gsched.cli.runs:runs", "What became of due instants."),
    "node": ("gsched.cli.node:node", "The processes that run jobs: list, show, drain."),
    "events": ("gsched.cli.events:events", "The live event stream."),
    "top": ("gsched.cli.top:top", "A refreshing overview."),
    "crontab": ("gsched.cli.crontab:crontab", "Import a crontab; explain a cron expression."),
    "store": ("gsched.cli.store:store", "Prepare, measure, export, import and purge the store."),
    "health": ("gsched.cli.health:health", "Ask a runner whether it is well: for exec probes."),
    "dump": ("gsched.cli.dump:dump", "The greenlet stacks of a runner."),
    "doctor": ("gsched.cli.doctor:doctor", "Look for what is wrong, and say what to do."),
    "completion": ("gsched.cli.completion:completion", "Print the completion script for a shell."),
}


class Root(LazyGroup):
    """Looks after what concerns every command: colours, errors, and readers that read no further."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """--help and --version are written while options are read."""
        try:
            return super().make_context(*args, **options)
        except OSError as error:
            raise click.exceptions.Exit(_failed(error, verbose=False)) from None

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            return _failed(error, ctx.params["verbose"])


@click.group(
    cls=Root,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gsched")
@click.option("-v", "--verbose", is_flag=True, envvar="GSCHED_DEBUG", help="Show tracebacks of errors.  [GSCHED_DEBUG]")
def root(verbose: bool) -> None:
    """gsched: the job scheduler for gevent programs.

    Commands act on any scheduler through its store: name it with --store, -c gsched.toml or -A module:scheduler.
    """


def run_command_line(arguments: list[str] | None = None) -> int:
    """Run a command: its exit code."""
    open_missing_streams()
    try:
        result: Any = root.main(arguments, prog_name="gsched", standalone_mode=False)
        return result if isinstance(result, int) else Exit.OK
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED


def _failed(error: Exception, verbose: bool) -> int:
    """Say what went wrong, for people; the traceback only to those who want it. The exit code."""
    if isinstance(error, BrokenPipeError):  # `gsched job list | head`
        _silence_stdout()
        return Exit.OK
    if isinstance(error.__cause__, StoreError):  # met while an application was imported
        error = error.__cause__
    if isinstance(error, OSError):  # stdout itself may be what fails
        _silence_stdout()
    if verbose:
        traceback.print_exception(error)
    message, remedy = explained(error)
    say(f"gsched: {message}", err=True)
    if remedy:
        say(f"  {remedy}", err=True)
    return code_of(error)


def _silence_stdout() -> None:
    """Python flushes stdout when it ends, and would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
