"""A real browser, Debian's Chromium, and worlds for it to look at.

A test module says `pytest_plugins = ["browser"]`. Without Chromium its tests are skipped at home, and fail on CI.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from waiting import LONGEST_SECONDS, wait_until
from web_site import Site

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SIZE = (1440, 900)
PAGES = ("overview", "jobs", "job?id=fails", "runs", "failures", "load", "nodes", "audit")

expect.set_options(timeout=LONGEST_SECONDS * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        if os.environ.get("CI") == "true":
            raise FileNotFoundError(CHROMIUM)
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class User:
    """Somebody with a browser of their own.

    :ivar page: the tab that is looked at
    :param refused: the statuses of answers that are expected; the console tells of others
    :ivar told: what the browser's console said, errors of pages too
    """

    def __init__(self, browser: Browser, base: str, refused: Collection[int] = (), **options: Any) -> None:
        width, height = options.pop("size", SIZE)
        self._expected = [f"status of {status}" for status in refused]
        self._context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self._context.set_default_timeout(LONGEST_SECONDS * 1000)
        self.base = base
        self.told: list[str] = []
        self.page = self.new_tab()

    def new_tab(self) -> Page:
        page = self._context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.told.append(str(error)))
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        is_expected = any(status in message.text for status in self._expected)
        if message.type in ("error", "warning") and not is_expected:
            self.told.append(message.text)

    def open(self, path: str) -> Page:
        """Open a page of the dashboard, and wait until it is live."""
        self.page.goto(f"{self.base}/{path}")
        expect(self.page.locator(".connection.live")).to_be_visible()
        return self.page

    def opened(self, path: str) -> Page:
        """The same in a new tab, without waiting."""
        tab = self.new_tab()
        tab.goto(f"{self.base}/{path}")
        return tab

    def address(self) -> str:
        """Where the user is, below the dashboard's own address."""
        return self.page.url.removeprefix(f"{self.base}/")

    def close(self) -> None:
        self._context.close()


class World(Site):
    """A process with jobs and the dashboard, as web_world.py makes it."""

    def __init__(self, log: Path, **options: Any) -> None:
        self._options = options
        super().__init__([sys.executable, str(Path(__file__).with_name("web_world.py")), json.dumps(options)], log)
        self.wait_for_address()
        self.root = self.base
        self.base += options.get("prefix", "") or options.get("strips", "")

    def counted(self) -> int:
        """How often the job `counts` has run."""
        with self.open_root("/counted") as answer:
            return int(answer.read())

    def open_root(self, path: str) -> Any:
        base, self.base = self.base, self.root
        try:
            return self.open(path)
        finally:
            self.base = base

    def wait_for_runs(self, job_id: str) -> None:
        """Until the job has had an outcome, and what the dashboard says of it is as new."""
        wait_until(lambda: self.get(f"job?id={job_id}")["runs"], self.output)

    def restarted(self) -> World:
        """The same world at the same address, after this process was killed."""
        port = int(self.root.rpartition(":")[2])
        self.close()
        return World(self.log.with_suffix(".again"), **{**self._options, "port": port})


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(tmp_path_factory.mktemp("world") / "log", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """A world that tests share: they leave its jobs as they were."""
    made = make_world(jobs=250)
    made.wait_for_runs("fails")
    return made


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., User]]:
    """Somebody visits a world. At the end no console may have told anything that was not taken from it."""
    users: list[User] = []

    def begin(world: World, **options: Any) -> User:
        users.append(User(chromium, world.base, **options))
        return users[-1]

    yield begin
    told = [line for user in users for line in user.told]
    for user in users:
        user.close()
    assert not told


@pytest.fixture
def user(visit: Callable[..., User], world: World) -> User:
    """Somebody who visits the shared world."""
    return visit(world)
