"""The documentation as a site: its menu has every page, and no page swallows its own text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page.name != "index.md"]


def test_the_index_has_each_page_once():
    links = re.findall(r"^- \[.+?\]\((\S+?)\)", (DOCS / "index.md").read_text(), re.MULTILINE)
    assert sorted(link for link in links if not link.startswith("../")) == [str(p.relative_to(DOCS)) for p in PAGES]


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=lambda page: page.stem)
def test_every_block_of_code_is_closed(page: Path):
    fences = re.findall(r"^```.*$", page.read_text(), re.MULTILINE)
    assert all(fence == "```" for fence in fences[1::2]) and len(fences) % 2 == 0


# These pages define the words themselves, are generated, are lists, or are for people who read the code.
GENERATED = ("api", "events", "http-api", "metrics")
WITHOUT = (*GENERATED, "architecture", "commands", "glossary", "guarantees", "lifecycles", "policies")
OTHERS = [page for page in PAGES if page.stem not in WITHOUT]
WORDS = ("instant", "node", "slot", "watermark", "parked", "fenced")


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.stem)
def test_a_page_that_uses_a_word_of_the_glossary_has_a_link_to_it(page: Path):
    text = page.read_text()
    prose = re.sub(r"^```.*?^```$|^[#|].*?$|`[^`]*`|\[[^\]]*\]\([^)]*\)", "", text, flags=re.MULTILINE | re.DOTALL)
    used = [word for word in WORDS if re.search(rf"(?<![\w-]){word}s?(?![\w-])", prose)]
    assert [word for word in used if f"glossary.md#{word})" not in text] == []
