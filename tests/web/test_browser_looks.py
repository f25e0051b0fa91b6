"""Each page of the dashboard, wherever it is mounted and however it is looked at."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import PAGES, User, World
from playwright.sync_api import Page, expect
from waiting import wait_until
from web_site import Serve

from gsched.embedded import open_embedded

pytest_plugins = ["browser", "web_site", "mongodb"]

Visit = Callable[..., User]
MakeWorld = Callable[..., World]

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
NARROW = (360, 740)


def wait_until_shown(page: Page) -> None:
    """Until a page has its answers."""
    expect(page.locator("main h1").first).to_be_attached()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator(".refused")).to_have_count(0)


def width(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture(scope="module")
def axe() -> str:
    """Checks of accessibility; npm has them."""
    if not AXE.exists():
        if os.environ.get("CI") == "true":
            raise FileNotFoundError(AXE)
        pytest.skip("no axe-core: npm ci installs it")
    return AXE.read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_keeps_the_rules_of_accessibility(visit: Visit, world: World, axe: str, path: str, theme: str) -> None:
    page = visit(world, color_scheme=theme, bypass_csp=True).open(path)
    wait_until_shown(page)
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert len(found["passes"]) > 10


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_telephone(visit: Visit, world: World, path: str) -> None:
    page = visit(world, size=NARROW, has_touch=True).open(path)
    wait_until_shown(page)
    assert width(page) == 0


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_at_twice_its_size_and_in_the_systems_own_colours(visit: Visit, world: World, path: str) -> None:
    page = visit(world, size=(640, 480), device_scale_factor=2, forced_colors="active").open(path)
    wait_until_shown(page)
    assert width(page) == 0


@pytest.mark.parametrize("mount", [{"prefix": "/ops/gsched"}, {"strips": "/ops/gsched"}], ids=["mounted", "proxied"])
def test_pages_work_below_a_prefix(make_world: MakeWorld, visit: Visit, mount: dict[str, str]) -> None:
    world = make_world(**mount)
    user = visit(world)
    page = user.open("")
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("link", name="counts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("counts")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("counts")
    assert user.address() == "job?id=counts"


def test_a_page_says_that_its_store_does_not_answer_and_goes_on_when_it_does(
    needs_mongod: None, tmp_path: Path, make_world: MakeWorld, visit: Visit
) -> None:
    server = open_embedded(tmp_path / "mongo")
    mongod = json.loads((tmp_path / "mongo" / "mongod.json").read_text())["mongod_pid"]
    try:
        world = make_world(store=server.uri)
        page = visit(world, refused=[503, 504]).open("jobs?tag=calm")
        expect(page.locator(".jobs tbody tr")).to_have_count(3)
        os.kill(mongod, signal.SIGSTOP)
        expect(page.get_by_text("the store does not answer").first).to_be_visible()
        expect(page.locator(".jobs tbody tr")).to_have_count(3)
        os.kill(mongod, signal.SIGCONT)
        expect(page.get_by_text("the store does not answer")).to_have_count(0)
    finally:
        os.kill(mongod, signal.SIGCONT)
        server.close()


def test_a_node_that_is_killed_is_seen_to_be_dead(
    serve: Serve, tmp_path: Path, make_world: MakeWorld, visit: Visit
) -> None:
    store = f"sqlite:///{tmp_path}/jobs.sqlite"
    survivor, other = make_world(store=store), make_world(store=store)
    page = visit(survivor).open("nodes")
    table = page.get_by_role("table").first
    expect(table.get_by_text("alive")).to_have_count(2)
    other.process.send_signal(signal.SIGKILL)
    wait_until(lambda: [each["state"] for each in survivor.get("nodes")["nodes"]].count("dead") == 1)
    expect(table.get_by_text("dead", exact=True)).to_be_visible()
    expect(table.get_by_text("alive")).to_have_count(1)
