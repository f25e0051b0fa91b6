"""Every block of code in the documentation is tried: Python is executed, TOML is read, commands are parsed.

The tutorials are left to test_tutorials.py, which runs their programs and compares their output.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from gsched.cli.app import root
from gsched.config import read_configuration
from gsched.runner.build import runner_scheduler
from gsched.runner.declared import read_declarations
from gsched.runner.declared_limits import read_limits
from gsched.runner.declared_notifiers import read_notifiers

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("sh", "console", "")  # blocks of these languages may have commands


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def test_all_python_runs():
    program = Path(__file__).parents[1] / "support" / "blocks.py"
    pages = [str(page) for page in PAGES if page.parent.name != "tutorials"]
    done = subprocess.run([sys.executable, program, *pages], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


CONFIGURATIONS = [(page.stem, text) for page in PAGES for text in blocks(page, "toml")]


@pytest.mark.parametrize(("page", "text"), CONFIGURATIONS, ids=lambda value: value if value.isidentifier() else "")
def test_all_configurations_are_valid(page: str, text: str, tmp_path: Path):
    whole = text if text.lstrip().startswith(("[", "#")) else f'[[job]]\nid = "x"\nfunc = "time:time"\n{text}'
    ours = re.sub(r'^app = .*$', "", re.sub(r'^func = ".*"$', 'func = "time:time"', whole, flags=re.M), flags=re.M)
    (tmp_path / "secret").write_text("https://hooks.example.com/x")
    (tmp_path / "secret").chmod(0o600)
    ours = re.sub(r'(?<=_file = )".*"', f'"{tmp_path}/secret"', ours)
    (tmp_path / "gsched.toml").write_text(ours)  # without modules and files of the reader's own
    configuration = read_configuration(str(tmp_path / "gsched.toml"), {"memory": True}, {})
    read_declarations(configuration, runner_scheduler(configuration)[0])
    read_limits(configuration)
    read_notifiers(configuration)


def commands() -> Iterator[tuple[str, list[str]]]:
    """The calls of gsched: the line, and its arguments."""
    for page in PAGES:
        for text in blocks(page, *SHELL):
            for line in text.replace("\\\n", " ").splitlines():
                for call in re.findall(r"^(?:\$ )?(?:\w[^']*\| )?(gsched .*)$", line):
                    words = shlex.shlex(call, posix=True, punctuation_chars=";|&>")
                    words.whitespace_split = True
                    yield f"{page.stem}: {call}", list(takewhile(lambda word: word[0] not in ";|&>", words))[1:]


def test_all_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.jsonl").touch()  # some commands want a file that is there
    wrong, tried = [], 0
    for line, words in commands():
        tried += 1
        if (reason := why_not(words)) is not None:
            wrong.append(f"{line}: {reason}")
    assert wrong == [] and tried > 80


def why_not(words: list[str]) -> str | None:
    """Why a command line is refused before anything is done; None if it is not."""
    context = root.make_context("gsched", list(words), resilient_parsing=False)
    command: click.Command = root
    try:
        while isinstance(command, click.Group):
            _name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command, context = found, found.make_context(found.name, rest, parent=context)
    except click.exceptions.Exit:  # --help
        return None
    except click.UsageError as error:
        return error.format_message()
    return None
