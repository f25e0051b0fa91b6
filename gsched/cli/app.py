"""The root command: finds the others, and turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click

from gsched import __version__
from gsched.cli.exits import CommandFailed, Exit, code_of
from gsched.errors import GschedError

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


class Root(click.Group):
    """Imports a command when it is used, and none for --help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gsched")
def root() -> None:
    """gsched: the job scheduler for gevent programs.

    Commands act on any scheduler through its store: name it with --store, -c gsched.toml or -A module:scheduler.
    """


def run_command_line(arguments: list[str] | None = None) -> int:
    """Run a command; errors of ours end in one line on stderr."""
    try:
        result: Any = root.main(arguments, prog_name="gsched", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (GschedError, CommandFailed) as error:
        return _failed(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # somebody reads no further: `gsched job list | head`
        _silence_stdout()
        return Exit.OK


def _failed(error: GschedError | CommandFailed) -> int:
    click.echo(f"gsched: {error}", err=True)
    if isinstance(error, CommandFailed) and error.remedy:
        click.echo(f"  {error.remedy}", err=True)
    return code_of(error)


def _silence_stdout() -> None:
    """Python flushes stdout when it ends, and would complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
