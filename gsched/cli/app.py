"""The root command: finds the others, and turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Final

import click

from gsched import __version__
from gsched.cli.elsewhere import OF_ALL
from gsched.cli.error_text import error_text
from gsched.cli.lazy import LazyGroup
from gsched.cli.printing import say
from gsched.errors import StoreError
from gsched.runner.exit_codes import Exit, code_of
from gsched.runner.inherited import open_missing_streams

# name: where the command is, and its line in `gsched --help`
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("gsched.cli.commands.run:run", "Run an application's jobs, declared jobs or a crontab."),
    "check": ("gsched.cli.commands.check:check", "Check application, configuration and store; starts nothing."),
    "job": ("gsched.cli.commands.job:job", "List, show, add, change, pause, resume, run and remove jobs."),
    "runs": ("gsched.cli.commands.runs:runs", "The history: outcomes of due instants."),
    "node": ("gsched.cli.commands.node:node", "The processes that run jobs: list, show, drain."),
    "limit": ("gsched.cli.commands.limit:limit", "The limits of groups of jobs: list, set, remove."),
    "group": ("gsched.cli.commands.group:group", "Groups of jobs: list, pause, resume."),
    "notify": ("gsched.cli.commands.notify:notify", "The notifiers: list, and send a test message."),
    "errors": ("gsched.cli.commands.errors:errors", "Show recent failures in groups."),
    "load": ("gsched.cli.commands.load:load", "Show how many runs are due in each hour of the week."),
    "audit": ("gsched.cli.commands.audit:audit", "Show who did what to the jobs, and why."),
    "events": ("gsched.cli.commands.events:events", "Print the events of the store, past or live."),
    "top": ("gsched.cli.commands.top:top", "Show an overview that refreshes itself."),
    "web": ("gsched.cli.commands.web:web", "Serve the dashboard of a store. Runs nothing."),
    "crontab": ("gsched.cli.commands.crontab:crontab", "Import a crontab; explain a cron expression."),
    "store": ("gsched.cli.commands.store:store", "Prepare, measure, copy, export, import and purge the store."),
    "health": ("gsched.cli.commands.health:health", "Ask a runner whether it lives: for exec probes."),
    "dump": ("gsched.cli.commands.dump:dump", "Print the stacks of a runner's greenlets and threads."),
    "doctor": ("gsched.cli.commands.doctor:doctor", "Look for problems, and print their remedies."),
    "completion": ("gsched.cli.commands.completion:completion", "Print the completion script for a shell."),
}


class Root(LazyGroup):
    """Handles what all commands share: colours, errors, and a closed pipe."""

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
    elsewhere=OF_ALL,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gsched")
@click.option("-v", "--verbose", is_flag=True, envvar="GSCHED_DEBUG", help="Show tracebacks of errors.  [GSCHED_DEBUG]")
def root(verbose: bool) -> None:
    """gsched: a job scheduler for Python programs and shell commands.

    Commands act on any scheduler through its store: name it with --store, -c gsched.toml or -A module:scheduler.
    """


def run_command_line(arguments: list[str] | None = None) -> int:
    """Run a command. Gives the exit code."""
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
    """Print the error in a line, and the traceback if the user asked for it. Gives the exit code."""
    if isinstance(error, BrokenPipeError):  # `gsched job list | head`
        _silence_stdout()
        return Exit.OK
    if isinstance(error.__cause__, StoreError):  # met while an application was imported
        error = error.__cause__
    if isinstance(error, OSError):  # stdout itself may be what fails
        _silence_stdout()
    if verbose:
        traceback.print_exception(error)
    message, remedy = error_text(error)
    say(f"gsched: {message}", err=True)
    if remedy:
        say(f"  {remedy}", err=True)
    return code_of(error)


def _silence_stdout() -> None:
    """Python flushes stdout when it ends, and would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
