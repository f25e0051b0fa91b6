"""How commands end: at once, with all that they have printed and with their exit code; users' exit handlers run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment, gsched
from runner_rig import write
from waiting import LONGEST_SECONDS

pytest_plugins = ["mongodb"]

COSTS = """
import gc, sys, gsched.cli.ending
def end(code):
    print("full collections:", gc.get_stats()[2]["collections"])
    print("imported:", *{"rich", "structlog"} & sys.modules.keys())
gsched.cli.ending.end = end
from gsched.cli import main
main()
"""
WITH_A_HANDLER = "import atexit, sys; atexit.register(print, 'handled'); from gsched.cli import main; sys.exit(main())"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with an application that has an exit handler, and configurations."""
    write(
        tmp_path / "app.py",
        """
        import atexit
        from gsched import GeventScheduler
        atexit.register(print, "the application's handler")
        scheduler = GeventScheduler(timezone="UTC")
        def job(): pass
        """,
    )
    write(tmp_path / "a.toml", '[[job]]\nid = "a"\nfunc = "app:job"\ntrigger = "@daily"\n')
    write(tmp_path / "b.toml", '[[job]]\nid = "a"\ncommand = "true"\ntrigger = "@daily"\n')
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        *((("job", "list"), 0), (("job", "show", "none"), 5), (("store", "stats"), 0), (("runs", "list"), 0)),
        *((("node", "list"), 0), (("doctor",), 0), (("check",), 0), (("check", "-c", "b.toml"), 0)),
    ],
    ids=str,
)
def test_a_command_ends_without_the_interpreters_exit(files, address, arguments, code):
    """Handlers that were registered do not run: PyMongo's would wait for half a second."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_HANDLER, *arguments, "--store", address], cwd=files, env=environment(),
        capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, "handled" in done.stdout) == (code, False), done.stderr


def test_a_command_looks_for_no_garbage_and_does_not_import_what_only_logs_and_tables_need(files, address):
    done = subprocess.run(
        [sys.executable, "-c", COSTS, "job", "list", "--store", address], cwd=files, env=environment(),
        capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("full collections: 0\nimported:\n"), done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("job", "list", "-A", "app"), ("check", "-A", "app"), ("check", "-c", "a.toml")])
def test_exit_handlers_of_an_application_run(files, address, arguments):
    done = gsched(*arguments, "--store", address, directory=files)
    assert done.out.endswith("the application's handler\n") and done.code == 0, done.err


def test_all_that_was_printed_arrives(tmp_path):
    done = gsched("crontab", "explain", "* * * * *", "--count", "5000", "--tz", "UTC", directory=tmp_path)
    assert len(done.out.splitlines()) == 5001 and done.code == 0
