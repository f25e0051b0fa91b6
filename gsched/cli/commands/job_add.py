"""gsched job add."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from gsched.cli.chosen_jobs import COLUMNS
from gsched.cli.commands.command_flags import command_flags
from gsched.cli.commands.option_flags import given_options, option_flags
from gsched.cli.commands.trigger_flags import NewTrigger, trigger_flags
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import ConfigurationError, JobIdConflictError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.times.instants import as_timezone

if TYPE_CHECKING:
    from gsched.schedulers.gevent import GeventScheduler


class _CommandBehindDashes(click.Command):
    """A command whose argument `command` is what follows --, and nothing else: `--every 5 minutes` is a mistake."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        behind = len(args) - args.index("--") - 1 if "--" in args else 0
        rest = super().parse_args(ctx, args)
        command: tuple[str, ...] = ctx.params.get("command") or ()
        if len(command) > behind and not ctx.resilient_parsing:
            raise click.UsageError(
                f"{command[0]!r} is neither the job's id nor an option's value. If the command begins there, write -- "
                "before it.",
                ctx,
            )
        return rest


@click.command(cls=_CommandBehindDashes)
@click.argument("job_id", metavar="ID")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARGUMENT]...]")
@configured(*PLACE, "timezone")
@output_options
@trigger_flags
@click.option("--func", metavar="MODULE:NAME", help="The function that the job calls, instead of a command.")
@option_flags
@click.option("--group", help="The job's group, whose limit counts its runs.")
@command_flags
@click.option("--paused", is_flag=True, help="Add the job paused.")
@click.option("--replace", is_flag=True, help="Replace a job that has this id.")
@click.option("--jobstore", metavar="ALIAS", help="Add it to this job store, of an application that has several.")
def add(
    configuration: Configuration,
    out: Output,
    job_id: str,
    command: Sequence[str],
    func: str | None,
    paused: bool,
    replace: bool,
    **flags: Any,
) -> None:
    """Add a job: a shell command, or a function with --func.

    The command follows --. One word is a line for the shell: 'make | tail'. Several words are a program and its
    arguments; the shell does not change them.

    Cron expressions and times without an offset are in the time zone of --timezone. Its default is the application's
    zone, else this machine's.
    """
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner, warn_of_executor, warn_of_notifiers

    trigger = NewTrigger(*(flags.pop(name) for name in NewTrigger._fields))
    trigger.check()
    if not any(trigger):
        raise click.UsageError("When is the job due? Write --every 5m, --cron '0 3 * * *' or --at 18:00.")
    if bool(command) == (func is not None):
        raise click.UsageError("What does the job run? Write either -- COMMAND or --func MODULE:NAME.")
    called = {"func": func} if func is not None else {"command": _line(command)}
    with open_store(configuration, makes_store=True) as scheduler:
        zone = as_timezone(configuration.timezone) if configuration.timezone else scheduler.timezone
        due = trigger.fields(zone, scheduler.clock.now_ms())
        entry = {"id": job_id, **called, "trigger": due, **given_options(flags)}
        definition = _definition(entry, configuration, scheduler)
        if paused:
            definition["next_run_time"] = None
        try:
            job = scheduler.add_job(**definition, replace_existing=replace)
        except JobIdConflictError as error:
            taken = f"there is a job {error.job_id!r} already"
            raise CommandRefused(taken, Exit.CONFLICT, "choose another id; --replace replaces that job") from None
        out.rows(COLUMNS, [job])
        _warn_of_modules(configuration, str(job.definition.func_ref))
        warn_of_executor(scheduler, job.executor)
        warn_of_notifiers(configuration, scheduler, job.definition.policy.notify)
        warn_if_no_runner(scheduler, job.jobstore)


def _line(command: Sequence[str]) -> str:
    """The command as a line for the shell."""
    return command[0] if len(command) == 1 else shlex.join(command)


def _definition(
    entry: Mapping[str, Any], configuration: Configuration, scheduler: GeventScheduler
) -> dict[str, Any]:
    """The arguments of add_job. Raises UsageError with a line for each mistake."""
    from gsched.runner.declaration import entry_definition

    try:
        return entry_definition(entry, configuration, scheduler)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


def _warn_of_modules(configuration: Configuration, ref: str) -> None:
    """Warn if a runner with this configuration does not allow the function's module: it would park the job."""
    from gsched.jobs.funcref import AllowedFunctions
    from gsched.runner.build import allowed_modules
    from gsched.runner.place import place_of

    module = ref.partition(":")[0]
    allowed = AllowedFunctions(allowed_modules(configuration, place_of(configuration, None)))
    if not allowed.allows_module(module):
        need = f'modules = ["{module}"] in [store]'
        say(f"gsched: runners of this store need {need}; without it they park the job", err=True)
