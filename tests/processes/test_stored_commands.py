"""Commands in a store that other processes may write to: which of them a runner runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gevent.event import Event
from runner_rig import running, write
from waiting import wait_until

from gsched import GeventScheduler, MongoDBJobStore
from gsched.config import read_configuration
from gsched.jobs.funcref import AllowedFunctions
from gsched.runner.build import allowed_modules
from gsched.runner.commands import COMMANDS, RUN_COMMAND, run_command
from gsched.runner.file_jobs import FileJobs
from gsched.runner.place import StoreChoice

pytest_plugins = ["mongodb"]


@pytest.fixture
def make_scheduler(uri: str, database) -> Iterator[Callable[..., GeventScheduler]]:
    made = []

    def make(**options) -> GeventScheduler:
        store = MongoDBJobStore(uri, database=database.name)
        made.append(GeventScheduler(jobstores={"default": store}, timezone="UTC", **options))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.shutdown(wait=False) if scheduler.running else scheduler.close()


@pytest.fixture(params=["configuration", "crontab"])
def follow(request, tmp_path: Path) -> Callable[[GeventScheduler, str], FileJobs]:
    """Make a scheduler's store follow a file with one command, which is due each minute."""

    def bring(scheduler: GeventScheduler, command: str) -> FileJobs:
        text = f'[[job]]\nid = "own"\ncommand = "{command}"\ntrigger = "* * * * *"\n'
        if request.param == "crontab":
            write(tmp_path / "own", f"* * * * * {command}\n")
            text = f'[gsched]\ncrontab = "{tmp_path / "own"}"\n'
        files = FileJobs(scheduler, read_configuration(write(tmp_path / "gsched.toml", text)), Event())
        files.write()
        return files

    return bring


def reason(scheduler: GeventScheduler, job_id: str) -> str | None:
    found = scheduler.get_job(job_id)
    assert found is not None
    return found.parked


def own(scheduler: GeventScheduler) -> str:
    """The id of the file's job."""
    return next(job.id for job in scheduler.get_jobs() if job.id != "foreign")


def test_a_command_of_a_runners_own_file_opens_none_of_the_stores(make_scheduler, follow):
    others = make_scheduler()
    others.add_job(run_command, "date", args=["touch /tmp/foreign"], id="foreign")
    runner = make_scheduler()
    follow(runner, "true")
    assert "outside the modules" in reason(runner, "foreign")
    assert reason(runner, own(runner)) is None


def test_a_command_that_was_changed_in_the_store_is_not_the_files_own(make_scheduler, follow):
    runner = make_scheduler()
    follow(runner, "true")
    make_scheduler(modules=[COMMANDS]).modify_job(own(runner), args=["id"])
    assert "outside the modules" in reason(runner, own(runner))


def test_stored_commands_run_if_the_runner_allows_their_module(make_scheduler):
    make_scheduler().add_job(run_command, "date", args=["true"], id="foreign")
    assert reason(make_scheduler(modules=[COMMANDS]), "foreign") is None


def test_an_unchanged_command_is_known_again_after_a_restart(make_scheduler, follow):
    follow(make_scheduler(), "true")
    restarted = make_scheduler()
    files = follow(restarted, "true")
    assert reason(restarted, own(restarted)) is None and files.settled.is_set()


def test_a_command_that_another_process_parked_goes_on_when_that_has_read_the_file(
    make_scheduler, follow, tmp_path, address
):
    quick = make_scheduler()
    follow(quick, "true")
    with running(tmp_path, "-c", "gsched.toml", "--store", address) as slow:
        slow.wait_for("jobs.declared")
        follow(quick, "exit 0")
        slow.wait_for("job.parked")
        slow.send(signal.SIGHUP)
        slow.wait_for("configuration.reloaded")
        wait_until(lambda: all(job.parked is None for job in quick.get_jobs()), slow.text)


def test_a_crontab_does_not_name_the_module_of_commands(tmp_path):
    configuration = read_configuration(write(tmp_path / "gsched.toml", '[gsched]\ncrontab = "tab"\n'))
    assert COMMANDS not in allowed_modules(configuration, StoreChoice("mongodb", ""))
    assert COMMANDS in allowed_modules(configuration, StoreChoice("embedded_mongodb", ""))


def test_calls_that_a_store_does_not_distinguish_are_the_same_call():
    allowed = AllowedFunctions()
    allowed.register(RUN_COMMAND, run_command, ("true",), {"env": {"A": "1", "B": "2"}})
    assert allowed.registered_call(RUN_COMMAND, ["true"], {"env": {"B": "2", "A": "1"}}) is run_command


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(["true", 1], {}), (["false"], {}), (["true"], {"user": "root"}), ([object()], {}), (["true"], {1: 2, "a": 1})],
)
def test_calls_that_a_store_distinguishes_are_different_calls(args, kwargs):
    allowed = AllowedFunctions()
    allowed.register(RUN_COMMAND, run_command, ("true",), {})
    assert allowed.registered_call(RUN_COMMAND, args, kwargs) is None
