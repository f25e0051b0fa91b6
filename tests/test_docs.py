"""The documentation says what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import gsched
from gsched.run import Reason

ROOT = Path(__file__).parent.parent


PAGES = runpy.run_path(str(ROOT / "scripts" / "generate-docs"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_catalogues_are_generated_from_the_code(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run scripts/generate-docs"


def test_the_guarantees_list_every_reason() -> None:
    table = re.search(r"^\| reason \|.*?^$", (ROOT / "docs" / "guarantees.md").read_text(), re.M | re.S)
    assert table
    assert re.findall(r"^\| `(\w+)`", table[0], re.M) == list(Reason)


def test_the_map_of_the_code_has_every_module_and_nothing_else() -> None:
    table = re.search(r"^\| file \|.*?^$", (ROOT / "docs" / "architecture.md").read_text(), re.M | re.S)
    assert table
    package = Path(gsched.__file__).parent
    there = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    there |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"`([\w./]+)`", re.sub(r"\|[^|]*\|$", "", table[0], flags=re.M))) - {"file"} == there


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert links
    assert not [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_names_imported_in_the_documentation_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for page in pages for line in re.findall(r"^from gsched import (.+)$", page.read_text(), re.M)]
    names = {name.strip() for line in lines for name in line.split(",")}
    assert names
    assert not [name for name in names if not hasattr(gsched, name)]
