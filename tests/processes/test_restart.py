"""A runner that was killed and started again on the same machine does not wait until its former self counts as dead."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from runner_rig import GSCHED, environment, write
from test_process_marks import IN_A_CONTAINER
from waiting import LONGEST_SECONDS, wait_until

from gsched import GeventScheduler, MongoDBJobStore
from gsched.jobs.funcref import UnresolvedFunctions

pytest_plugins = ["mongodb"]

AGES = "10m"  # node_ttl: longer than any test waits


class Place:
    """A database, runners on it whose nodes are given up after ages only, and a job that notes when it runs."""

    def __init__(self, uri: str, database: str, directory: Path) -> None:
        self.directory = directory
        self.started: list[subprocess.Popen[bytes]] = []
        self.store = MongoDBJobStore(uri, database=database)
        self.scheduler = GeventScheduler(jobstores={"default": self.store}, functions=UnresolvedFunctions())
        write(directory / "jobs.py", """
            import os
            def note():
                with open("ran", "a") as ran:
                    ran.write(f"{os.environ['NAME']}\\n")
            """)  # fmt: skip
        write(directory / "gsched.toml", f"""
            [store]
            url = "{uri}"
            database = "{database}"
            node_ttl = "{AGES}"
            modules = ["jobs"]
            [[job]]
            id = "note"
            func = "jobs:note"
            trigger = {{ type = "interval", seconds = 0.2 }}
            """)  # fmt: skip

    def start(self, name: str, *wrapper: str) -> subprocess.Popen[bytes]:
        command = [*wrapper, *GSCHED, "run", "-c", "gsched.toml"]
        self.started.append(
            subprocess.Popen(
                command, cwd=self.directory, env=environment(NAME=name), stderr=(self.directory / name).open("wb")
            )
        )
        return self.started[-1]

    def log(self, name: str) -> str:
        return (self.directory / name).read_text()

    def wait_for_run(self, name: str) -> None:
        """Until the job has run in this runner."""
        ran = self.directory / "ran"
        wait_until(lambda: ran.exists() and f"{name}\n" in ran.read_text(), lambda: self.log(name))

    def nodes(self) -> dict[str, Any]:
        """The nodes by state, and how often each has beaten."""
        return {each["_id"]: each for each in self.store._connection.jobs().nodes.find()}

    def wait_for_looks(self, node: str) -> None:
        """Until the node has looked at the others several times: it does so every five beats."""
        wait_until(lambda: self.nodes()[node]["beat"] > 30, "beats")

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait(LONGEST_SECONDS)
        self.scheduler.close()


@pytest.fixture
def place(uri: str, database: Any, tmp_path: Path) -> Any:
    made = Place(uri, database.name, tmp_path)
    yield made
    made.close()


def test_jobs_go_on_as_soon_as_a_killed_runner_is_started_again(place):
    first = place.start("first")
    place.wait_for_run("first")
    first.kill()
    first.wait()
    place.start("second")
    place.wait_for_run("second")
    assert '"node.died"' in place.log("second")


def test_a_runner_that_stands_still_is_given_time(place):
    first = place.start("first")
    place.wait_for_run("first")
    (node,) = place.nodes()
    first.send_signal(signal.SIGSTOP)
    place.start("second")
    other = wait_until(lambda: next((each for each in place.nodes() if each != node), None), "another node")
    place.wait_for_looks(other)
    assert place.nodes()[node]["state"] == "alive" and '"node.died"' not in place.log("second")
    first.send_signal(signal.SIGCONT)


def test_a_runner_in_another_container_is_not_declared_dead_because_its_process_cannot_be_seen(place):
    first = place.start("first", *IN_A_CONTAINER)
    place.wait_for_run("first")
    (node,) = place.nodes()
    place.start("second", *IN_A_CONTAINER)
    third = place.start("third")
    wait_until(lambda: len(place.nodes()) == 3, "three nodes")
    for other in place.nodes():
        place.wait_for_looks(other)
    assert {each["state"] for each in place.nodes().values()} == {"alive"}
    assert third.poll() is None
    first.kill()
    first.wait()
    beat = place.nodes()[node]["beat"]
    for other in place.nodes().keys() - {node}:
        beats = place.nodes()[other]["beat"]
        wait_until(lambda other=other, beats=beats: place.nodes()[other]["beat"] > beats + 30, "more looks")
    left = place.nodes()[node]
    assert (left["state"], left["beat"]) == ("alive", pytest.approx(beat, abs=20)), "nobody can prove that it has ended"
