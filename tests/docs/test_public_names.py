"""What `import gsched` offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gsched

SOURCE = Path(gsched.__file__)


def names_for_type_checkers() -> dict[str, str]:
    """Public name -> module, from the TYPE_CHECKING block."""
    found = {}
    for node in ast.parse(SOURCE.read_text()).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                for name in statement.names:
                    assert name.name == name.asname, "a re-export is written `import X as X`"
                    found[name.name] = str(statement.module)
    return found


def test_type_checkers_and_programs_see_the_same_names():
    assert sorted(names_for_type_checkers()) == gsched.__all__


def test_type_checkers_and_programs_find_names_in_the_same_modules():
    assert names_for_type_checkers() == gsched._HOME_OF


@pytest.mark.parametrize("name", gsched.__all__)
def test_every_name_resolves(name):
    assert getattr(gsched, name) is not None
    assert name in dir(gsched)


def test_every_event_is_public():
    from gsched import events

    constants = {name for name in vars(events) if name.startswith("EVENT_")}
    assert constants == {name for name in gsched.__all__ if name.startswith("EVENT_")}


def test_every_error_that_users_may_meet_is_public():
    from gsched import errors

    internal = {"JobError", "RemoteTraceback"}  # a base, and a cause, which nothing raises
    optional = {"EmbeddedMongoError"}  # of gsched.embedded
    classes = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == "gsched.errors"
    }
    assert classes - internal - optional <= set(gsched.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="FrontgroundScheduler"):
        gsched.FrontgroundScheduler  # noqa: B018


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_importing_it_imports_nothing_heavy():
    done = run_python("-c", "import sys, gsched; print(*(m for m in ('pymongo', 'bson', 'socket', 'ssl', 'gevent',"
                            " 'multiprocessing', 'apscheduler') if m in sys.modules))")  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_using_the_scheduler_does_not_import_the_database_driver():
    done = run_python("-c", "import sys, gsched; gsched.GeventScheduler(); print('pymongo' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == ("False", "")


@pytest.mark.parametrize(
    "program",
    [
        "import gsched; from gevent import monkey; monkey.patch_all()",
        "from gevent import monkey; monkey.patch_all(); import gsched; gsched.GeventScheduler",
    ],
    ids=["before", "after"],
)
def test_gsched_may_be_imported_before_or_after_patching(program):
    done = run_python("-W", "error", "-c", program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
