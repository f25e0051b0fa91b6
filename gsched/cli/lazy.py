"""Groups of commands that are imported when they are used."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import click

from gsched.wording import escaped

_WITHOUT_ARGUMENTS: Final = re.compile(r"( --\w+)? \{\}$")


class LazyGroup(click.Group):
    """Finds its commands in a table, and imports one when it is used.

    :param table: for each name, the place of the command ("module:name"), and its line in the group's help
    :param elsewhere: for each word of another tool, the command line that the user means; {} stands for the arguments
    """

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, tuple[str, str]],
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.table = table
        self.elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.table:
            raise click.UsageError(f"No such command {args[0]!r}.{self._meant(args[0], args[1:])}", ctx)
        return super().resolve_command(ctx, args)

    def _meant(self, word: str, arguments: list[str]) -> str:
        if word in self.elsewhere:
            line = self.elsewhere[word]
            meant = line.replace("{}", shlex.join(arguments)) if arguments else _WITHOUT_ARGUMENTS.sub("", line)
            return f" Write: {escaped(meant)}"
        near = get_close_matches(word, self.table, n=1)
        return f" Did you mean {near[0]!r}?" if near else ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in self.table.items()])
