"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import run_program

import gsched
from gsched.jobs.outcomes import Outcome, Reason

ROOT = Path(__file__).parents[2]


PAGES = runpy.run_path(str(ROOT / "scripts" / "generate-docs"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_catalogues_are_generated_from_the_code(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == PAGES[name](), "run scripts/generate-docs"


def test_the_guarantees_list_every_reason() -> None:
    table = re.search(r"^\| reason \|.*?^$", (ROOT / "docs" / "guarantees.md").read_text(), re.M | re.S)
    assert table
    assert re.findall(r"^\| `(\w+)`", table[0], re.M) == list(Reason)


def test_the_guarantees_list_every_outcome() -> None:
    table = re.search(r"^\| outcome \|.*?^$", (ROOT / "docs" / "guarantees.md").read_text(), re.M | re.S)
    assert table
    assert set(re.findall(r"^\| `(\w+)`", table[0], re.M)) == set(Outcome)


def test_the_map_of_the_code_has_every_module_and_nothing_else() -> None:
    package = Path(gsched.__file__).parent
    there = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    there |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert mapped("file") == there


@pytest.mark.parametrize("folder", ["claims", "durable"])
def test_the_map_of_what_stores_share_has_every_file_and_nothing_else(folder: str) -> None:
    there = (Path(gsched.__file__).parent / "stores" / folder).glob("*.py")
    assert mapped(f"file in `stores/{folder}/`") == {path.name for path in there} - {"__init__.py"}


def mapped(heading: str) -> set[str]:
    """The names in the first column of the table of docs/architecture.md with this heading."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = re.search(rf"^\| {re.escape(heading)} \|.*?\n\n", page, re.M | re.S)
    assert table
    return {name for row in table[0].strip().splitlines()[2:] for name in re.findall(r"`([\w./]+)`", row.split("|")[1])}


def test_pages_for_people_who_read_the_code_name_files_that_exist() -> None:
    pages = [ROOT / name for name in ("CONTRIBUTING.md", "docs/architecture.md", "docs/lifecycles.md")]
    named = {path for page in pages for path in re.findall(r"\b([\w/]+/\w+\.py|tests/\w+/)", page.read_text())}
    assert len(named) > 30
    assert not [path for path in named if not ((ROOT / path).exists() or (ROOT / "gsched" / path).exists())]


def test_the_answers_of_where_to_look_name_functions_of_the_file_before_them() -> None:
    answers = re.search(r"^\| question \|.*?\n\n", (ROOT / "docs" / "architecture.md").read_text(), re.M | re.S)
    assert answers
    file, checked = "", 0
    for name in re.findall(r"`([\w/.]+)`", answers[0]):
        if "/" in name:
            file = name
        else:
            checked += 1
            assert re.search(rf"\bdef {name}\(", (ROOT / "gsched" / file).read_text()), f"{file}: {name}"
    assert checked > 8


LIFECYCLES = sorted((ROOT / "docs" / "lifecycles").glob("*.dot"))
ARROW = re.compile(r'->.*\[label=(\w+) URL="([^"]+)"\]')


@pytest.mark.parametrize("graph", LIFECYCLES, ids=lambda path: path.stem)
def test_every_arrow_of_a_lifecycle_names_a_verb_that_its_file_defines(graph: Path) -> None:
    arrows = [line for line in graph.read_text().splitlines() if "->" in line]
    named = [ARROW.search(line) for line in arrows]
    assert arrows and all(named), "an arrow is written: a -> b [label=verb URL=file]"
    files = {match[1]: (graph.parent / match[2]).read_text() for match in named if match}
    assert not [verb for verb, text in files.items() if f"def {verb}(" not in text]


@pytest.mark.parametrize("graph", LIFECYCLES, ids=lambda path: path.stem)
def test_the_picture_of_a_lifecycle_is_drawn_from_its_source(graph: Path) -> None:
    fingerprint = runpy.run_path(str(ROOT / "scripts" / "draw-lifecycles"))["fingerprint"]
    assert fingerprint(graph.read_text()) in graph.with_suffix(".svg").read_text(), "run scripts/draw-lifecycles"


@pytest.mark.parametrize("graph", LIFECYCLES, ids=lambda path: path.stem)
def test_the_page_on_lifecycles_explains_every_verb_and_state_of_a_picture(graph: Path) -> None:
    page, source = (ROOT / "docs" / "lifecycles.md").read_text(), graph.read_text()
    verbs = {f"`{match[1]}`" for match in ARROW.finditer(source)}
    states = {f"| {name} |" for name in re.findall(r'\w \[label="([^"]+)"\]', source.replace("\\n", " "))}
    assert not [name for name in verbs | states if name not in page]
    assert f"(lifecycles/{graph.stem}.svg)" in page


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_every_page_begins_with_whom_it_is_for_and_what_they_get(page: Path) -> None:
    _title, _, for_whom, afterwards = page.read_text().splitlines()[:4]
    assert for_whom.startswith("For people ") and afterwards.startswith("After this page you ")


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^):]+)\)", page.read_text())]
    assert links
    assert not [f"{page.name}: {link}" for page, link in links if not leads_somewhere(page, link)]


def test_pages_that_the_code_names_are_there() -> None:
    code = [path.read_text() for path in Path(gsched.__file__).parent.rglob("*.py")]
    named = {name for text in code for name in re.findall(r"docs/[\w/-]+\.md", text)}
    assert named and not [name for name in named if not (ROOT / name).exists()]


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file is there and, if it is a page, the heading."""
    path, _, heading = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not heading or heading in map(anchor, target.read_text().splitlines()))


def anchor(line: str) -> str:
    """What a link to this heading says after the #."""
    return re.sub(r"[^\w -]", "", line.lower()).strip().replace(" ", "-") if line.startswith("#") else ""


def test_names_imported_in_the_documentation_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    lines = [line for page in pages for line in re.findall(r"^from gsched import (.+)$", page.read_text(), re.M)]
    names = {name.strip() for line in lines for name in line.split(",")}
    assert names
    assert not [name for name in names if not hasattr(gsched, name)]


README = (ROOT / "README.md").read_text()
SMALLEST = re.findall(r"^```python\n(.*?)^```$", README.partition("## The smallest example")[2], re.M | re.S)[0]


def test_the_smallest_example_prints_the_output_that_the_readme_shows_below_it() -> None:
    output, errors, code = run_program(SMALLEST, interrupt_after="refresh prices")
    assert (errors, code) == ("", 0)
    shown = re.search(r"^```\n(\d.*?)\n", README.partition("## The smallest example")[2], re.M)
    assert shown and re.sub(r"\d", "0", shown[1]) == re.sub(r"\d", "0", output.splitlines()[0])


ROWS = re.findall(r"^\| (.*) \| `(\w+)` \|$", README.partition("## Measured")[2], re.M)
CONDITION = re.compile(r"\(.*?\)|(?:within|of|sleep) [\d.]+ ms")  # of a measurement, and ranges of several
FIGURE = re.compile(r"(?<![\w.,^])(\d[\d,]*(?:\.\d+)?)(?=x| (?:ms|us|s|%|MiB|jobs a second|per CPU second)\b)")


@pytest.mark.parametrize(("row", "result"), ROWS)
def test_the_figures_of_the_readme_are_those_of_the_result_that_it_names(row: str, result: str) -> None:
    kept = json.loads((ROOT / "load_tests" / "results" / f"{result}.json").read_text())
    measured = [*numbers(kept["promises"]), *numbers(kept["figures"])]
    figures = FIGURE.findall(CONDITION.sub("", row.partition(" | ")[2]))
    assert [figure for figure in figures if not any(rounds_to(value, figure) for value in measured)] == []


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def rounds_to(value: float, figure: str) -> bool:
    """Whether the value is the figure, to the digits that it has, in this unit or another."""
    shown = float(figure.replace(",", ""))
    digits = max(1, len(re.sub(r"[.,]", "", figure).strip("0")))
    return any(f"{value * unit:.{digits}g}" == f"{shown:.{digits}g}" for unit in (1, 100, 1000, 1e-3, 1e-6))
