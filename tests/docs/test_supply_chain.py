"""What is installed, by whom: the lock file, the set-up, and the look for known weaknesses."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PINNED = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", LOCK, re.MULTILINE)}


def direct_requirements() -> list[Requirement]:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    texts = [settings["options"]["install_requires"], *settings["options.extras_require"].values()]
    return [Requirement(line) for text in texts for line in text.splitlines() if line]


def test_all_that_the_project_asks_for_is_pinned_to_a_version_that_fits():
    for wanted in direct_requirements():
        assert PINNED[canonicalize_name(wanted.name)] in wanted.specifier


def test_each_pinned_package_has_hashes_and_no_place_is_named():
    packages = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(packages) == len(PINNED) > len(direct_requirements()) / 2
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", package) for package in packages)
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host", LOCK)


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in a project where all programs that it calls only note that, in `called`."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "setup.cfg").touch()
    programs = {".venv/bin/python": "", "bin/python3": "", "bin/apt-get": "", "bin/ldconfig": "", "bin/id": "echo 0"}

    def run(script: str, *arguments: str, env: dict[str, str] | None = None, **others: str) -> Any:
        for name, code in {**programs, **{name.replace("__", "/"): code for name, code in others.items()}}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            note = f'echo "${{RUNLEVEL:-}} {path.name} $*" >> {tmp_path}/called'
            path.write_text(f"#!/bin/sh\n{note}\n{code}\n")
            path.chmod(0o755)
        for name in ("dirname", "printf", "tr", "touch", "grep", "mktemp", "rm", "cat", "tail", "sh"):
            if (found := shutil.which(name)) is not None and not (tmp_path / "bin" / name).exists():
                (tmp_path / "bin" / name).symlink_to(found)
        return subprocess.run(
            [tmp_path / "scripts" / script, *arguments], capture_output=True, text=True, timeout=60,
            env={"PATH": str(tmp_path / "bin"), **(env or {})},
        )  # fmt: skip

    return run


def called(directory: Path) -> str:
    return (directory / "called").read_text()


@pytest.mark.parametrize(
    ("extras", "packages"),
    [
        ("embedded-mongodb", "libcurl4"),
        ("audit", ""),
        ("test", "redis-server chromium fonts-dejavu-core npm faketime"),
        ("test,embedded-mongodb", "libcurl4 redis-server chromium fonts-dejavu-core npm faketime"),
    ],
)
def test_the_set_up_installs_what_the_chosen_extras_need(copy, tmp_path, extras, packages):
    assert copy("setup", extras).returncode == 0
    installed = re.findall(r"^1 apt-get -qq install -y --no-install-recommends (.*)$", called(tmp_path), re.MULTILINE)
    assert installed == ([packages] if packages else [])
    assert f"install --quiet --editable .[{extras}]" in called(tmp_path)


def test_on_ci_each_file_is_checked(copy, tmp_path):
    assert copy("setup", env={"CI": "true"}).returncode == 0
    assert "install --quiet --require-hashes --no-deps --requirement requirements.lock" in called(tmp_path)
    assert "install --quiet --no-deps --no-build-isolation --editable ." in called(tmp_path)


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("echo No known vulnerabilities found", 0, "No known vulnerabilities found"),
        ("echo 'x 1.0 CVE-1'; exit 1", 1, "CVE-1"),
        ("echo 'requests.exceptions.ConnectionError: Max retries'; exit 1", 0, "its data cannot be reached"),
    ],
)
def test_a_known_weakness_fails_the_audit_and_data_that_cannot_be_reached_do_not(copy, code, status, said):
    done = copy("audit", **{".venv__bin__pip-audit": code})
    assert done.returncode == status and said in done.stdout + done.stderr


def test_the_scripts_are_programs():
    assert all(os.access(path, os.X_OK) for path in (ROOT / "scripts").iterdir())
