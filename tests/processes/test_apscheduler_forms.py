"""Programs for APScheduler 3 do the same with gsched, with nothing changed but their imports.

tests/support/apscheduler_programs has one for each common form of use. Each runs with both libraries.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parents[1] / "support/apscheduler_programs").glob("*.py"))
IMPORT = re.compile(r"^from apscheduler\S* import", re.MULTILINE)


def output_of(program: str, folder: Path) -> str:
    folder.mkdir()
    (folder / "program.py").write_text(program)
    done = subprocess.run([sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_for_apscheduler_does_the_same_with_other_imports(path, tmp_path):
    program = path.read_text()
    changed = IMPORT.sub("from gsched import", program)
    assert "apscheduler" not in changed.replace('"apscheduler.', "")  # but for dotted keys
    expected = output_of(program, tmp_path / "apscheduler")
    assert expected
    assert output_of(changed, tmp_path / "gsched") == expected
