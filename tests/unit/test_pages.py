"""The files of the dashboard's pages: what they may not contain, what they weigh, and what others wrote of them."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from gsched.web.assets import STATIC, Assets

VENDOR = STATIC / "vendor"
OURS = sorted(path for path in STATIC.rglob("*.js") if VENDOR not in path.parents)
STYLES = sorted(STATIC.glob("*.css"))
KB = 1024


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(STATIC).as_posix() for path in paths]


def zipped(*paths: Path) -> int:
    """How many bytes the files are on the way to a browser."""
    return sum(len(Assets()._files[path.relative_to(STATIC).as_posix()].zipped) for path in paths)


@pytest.mark.parametrize("path", OURS, ids=names(OURS))
def test_a_page_makes_no_markup_or_code_from_text(path: Path) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerously|\beval\(|new Function"
    assert not re.search(r"\bstyle:|\.style\b", path.read_text())
    assert not re.search(forbidden, path.read_text())


@pytest.mark.parametrize("path", OURS, ids=names(OURS))
def test_a_module_names_only_files_that_are_there(path: Path) -> None:
    for found in re.findall(r'from "(\.[^"]+)"', path.read_text()):
        assert (path.parent / found).resolve().is_file(), found


def test_each_library_is_the_one_that_its_entry_describes() -> None:
    entries = tomllib.loads((VENDOR / "vendor.toml").read_text())["file"]
    served = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css", ".txt")}
    assert {entry["file"] for entry in entries} == served
    for entry in entries:
        assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]
        assert entry["version"] and entry["licence"] == "MIT"


@pytest.mark.parametrize("path", OURS, ids=names(OURS))
def test_a_module_is_served_without_the_lines_that_are_comments(path: Path) -> None:
    served = Assets()._files[path.relative_to(STATIC).as_posix()].content.decode().splitlines()
    written = path.read_text().splitlines()
    assert not [line for line in served if line.strip().startswith(("//", "/** @typedef", "* @"))]
    left_out = list(written)
    for line in served:
        left_out.remove(line)
    assert all(line.strip().startswith(("//", "/**", "*")) for line in left_out)


def test_types_and_descriptions_are_not_served() -> None:
    served = Assets()._files
    assert not [name for name in served if name.endswith((".ts", ".toml"))]
    assert {"app.js", "vendor/preact.js", "app.css"} <= served.keys()


def needed(path: Path) -> set[Path]:
    """A module with all that it imports at once."""
    found, waiting = {path}, [path]
    while waiting:
        module = waiting.pop()
        imported = {(module.parent / name).resolve() for name in re.findall(r'from ?"(\.[^"]+)"', module.read_text())}
        waiting += imported - found
        found |= imported
    return found


@pytest.mark.parametrize("page", sorted((STATIC / "pages").glob("*.js")), ids=lambda path: path.stem)
def test_all_that_a_browser_loads_for_a_first_page_weighs_little(page: Path) -> None:
    modules = needed(STATIC / "app.js") | needed(page)
    loaded = {STATIC / "index.html", *modules, *STYLES, *VENDOR.glob("*.css")}
    assert zipped(*loaded) <= 70 * KB  # with headers, 12 KB, and a hundred rows, 8 KB, within 90


def test_our_own_styles_weigh_little() -> None:
    assert zipped(*STYLES) <= 8 * KB
