"""docs/commands.md names every command and every flag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gsched.cli.app import root
from gsched.runner.exit_codes import Exit

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
COMMON = PAGE[PAGE.index("## What all commands") : PAGE.index("## gsched run")]


def commands(command: click.Command = root, path: str = "gsched") -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole name; of groups that are imported when they are used, too."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            assert each is not None
            yield from commands(each, f"{path} {name}")


def section(path: str) -> str:
    """What the page says under the command's heading."""
    found = re.search(rf"^#+ {re.escape(path)}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no heading {path!r}"
    return found[1]


def names(text: str, flag: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text) is not None


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_the_page_has_the_command_and_its_flags(path, command):
    text = COMMON if path == "gsched" else section(path) + COMMON
    if path.startswith("gsched job "):
        text += section("gsched job pause")  # says how jobs are chosen
    flags = [flag for option in command.params if isinstance(option, click.Option)
             for flag in (*option.opts, *option.secondary_opts)]  # fmt: skip
    assert [flag for flag in flags if not names(text, flag)] == []
    assert isinstance(command, click.Group) or re.search(rf"^\$ .*{path}", text, re.MULTILINE), "an example"


def test_the_page_has_no_command_that_is_not_there():
    assert set(re.findall(r"^#+ (gsched .*)$", PAGE, re.MULTILINE)) == {path for path, _ in commands()} - {"gsched"}


def test_the_page_has_every_exit_code():
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", COMMON, re.MULTILINE)] == list(Exit)
