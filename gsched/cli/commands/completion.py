"""gsched completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from gsched.runner.exit_codes import CommandRefused

_HOW = {
    "bash": 'eval "$(gsched completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(gsched completion zsh)"    in ~/.zshrc',
    "fish": "gsched completion fish | source   in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(_HOW.values()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell: commands, flags, and the ids of jobs.

    Ids are completed if a database is named (--store, -c, GSCHED_STORE) and answers within half a second.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise CommandRefused(f"there is no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "gsched", "_GSCHED_COMPLETE").source())
