"""[limit] sections: what is understood, what is refused; the store's limits follow the file, and no others change."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import gsched
from runner_rig import running, write
from waiting import wait_until

from gsched import ConfigurationError, GeventScheduler, GroupLimit, GroupLimits
from gsched.config import read_configuration
from gsched.jobs.limits import NO_LIMITS
from gsched.runner.declared_limits import read_limits, write_limits
from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

HOSTS = """
[limit."host:*"]
concurrency = 4
rate = "10/s"
burst = 10
"""
TENANT = "[limit.tenant]\nconcurrency = 1\n"
DECLARED = GroupLimit("host:*", 4, 100.0, 10, "gsched")


@pytest.fixture
def scheduler(any_store: BaseJobStore) -> Iterator[GeventScheduler]:
    made = GeventScheduler(jobstores={"default": any_store}, timezone="UTC")
    yield made
    made.close()


@pytest.fixture
def follow(tmp_path: Path, scheduler: GeventScheduler) -> Callable[..., dict[str, int]]:
    """Has the store follow a file with this text: what was done."""

    def bring(text: str, owner: str = "gsched") -> dict[str, int]:
        path = write(tmp_path / "gsched.toml", f"[gsched]\nname = '{owner}'\n{text}")
        counts = write_limits(scheduler, read_limits(read_configuration(path)), owner)
        return {what: count for what, count in counts.items() if count}

    return bring


def test_limits_follow_the_file_and_the_same_file_again_changes_nothing(follow, scheduler):
    assert follow(HOSTS + TENANT) == {"set": 2}
    assert scheduler.get_limits() == GroupLimits([DECLARED, GroupLimit("tenant", 1, declared_by="gsched")])
    assert follow(HOSTS + TENANT) == {"unchanged": 2}
    assert follow(HOSTS.replace('"10/s"', "2")) == {"set": 1, "removed": 1}
    assert scheduler.get_limits() == GroupLimits([GroupLimit("host:*", 4, 500.0, 10, "gsched")])
    assert follow("") == {"removed": 1}
    assert scheduler.get_limits() == NO_LIMITS


def test_limits_that_were_set_by_other_means_stay(follow, scheduler):
    scheduler.set_limit("other", concurrency=1)
    follow(HOSTS)
    follow("")
    assert scheduler.get_limits() == GroupLimits([GroupLimit("other", 1)])


def test_a_declared_limit_that_somebody_changes_is_still_the_files(follow, scheduler):
    follow(HOSTS)
    scheduler.set_limit("host:*", concurrency=9)
    assert scheduler.get_limits() == GroupLimits([GroupLimit("host:*", 9, declared_by="gsched")])
    assert follow(HOSTS) == {"set": 1}
    assert scheduler.get_limits() == GroupLimits([DECLARED])


def test_a_limit_that_was_set_by_other_means_is_not_taken_over(follow, scheduler):
    scheduler.set_limit("host:*", concurrency=1)
    with pytest.raises(ConfigurationError, match=r"limit 'host:\*': it was set by other means already; remove either"):
        follow(TENANT + HOSTS)
    assert scheduler.get_limits() == GroupLimits([GroupLimit("host:*", 1)])
    scheduler.remove_limit("host:*")
    follow(HOSTS, owner="one")
    with pytest.raises(ConfigurationError, match="it was set by one already"):
        follow(HOSTS, owner="two")


WRONG = {
    '[limit."host:*"]\nrate = "10/fortnight"': "limit 'host:*': rate: expected text such as '10/s', '600/min'",
    '[limit."host:*"]\nconcurency = 4': "limit 'host:*': the key 'concurency' is unknown; did you mean 'concurrency'?",
    '[limit."host:*"]': "limit 'host:*': give concurrency=, rate= or both",
    '[limit."h*:x"]\nrate = 1': "limit: '*' stands at the end of a pattern only, as in 'host:*', got 'h*:x'",
    "[limit.host.x]\nrate = 1": "limit 'host': 'x' is a section; a name with a dot needs quotes",
    "[limit]\nrate = 1": "limit: expected a section for each group, such as [limit.\"host:*\"], got 'rate'",
    "limit = 5": "limit: expected a table, got 5",
    "[limits.x]\nrate = 1": 'the key \'limits\' is unknown; write [limit."host:*"]',
    "[limit.x]\nrate = 1\nburst = 0": "limit 'x': burst: expected a whole number from 1, got 0",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_section_that_cannot_be_right_is_refused(tmp_path, text):
    path = write(tmp_path / "gsched.toml", text)
    with pytest.raises(ConfigurationError) as refused:
        read_limits(read_configuration(path))
    assert f"{path}: " in str(refused.value) and WRONG[text] in str(refused.value)


def test_each_wrong_section_has_its_line(tmp_path):
    path = write(tmp_path / "gsched.toml", "[limit.a]\nrate = 0\n[limit.b]\nrate = 1\n[limit.c]\nconcurrency = 0\n")
    with pytest.raises(ConfigurationError) as refused:
        read_limits(read_configuration(path))
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == ["limit 'a'", "limit 'c'"]


JOB = '[[job]]\nid = "a"\nfunc = "time:time"\ntrigger = {type = "interval", hours = 1}\ngroup = "host:x"\n'


def test_a_runner_sets_the_limits_of_its_file_and_follows_it_when_it_is_read_again(tmp_path):
    path = write(tmp_path / "gsched.toml", HOSTS + JOB)
    place = f"sqlite:///{tmp_path}/jobs.sqlite"

    def patterns() -> list[str]:
        return gsched("limit", "list", "--store", place, "-o", "plain").out.split("\n")[:-1]

    with running(tmp_path, "-c", str(path), "--store", place) as runner:
        assert patterns() == ["host:*\t4\t10.0\t10\tgsched"]
        write(path, HOSTS.replace("10/s", "5/s") + TENANT + JOB)
        runner.send(signal.SIGHUP)
        wait_until(lambda: patterns() == ["host:*\t4\t5.0\t10\tgsched", "tenant\t1\t-\t1\tgsched"])


def test_check_shows_the_limit_of_each_group(tmp_path: Path):
    text = HOSTS + JOB + JOB.replace('"a"', '"b"').replace('"host:x"', '"other"')
    path = write(tmp_path / "gsched.toml", text)
    done: Any = gsched("check", "-c", path, "--memory")
    assert done.code == 0
    assert "gsched: group 'host:x': 4 at once, 10/s in bursts of 10 (limit 'host:*')\n" in done.err
    assert "gsched: group 'other': it has no limit\n" in done.err


def test_check_names_wrong_jobs_and_wrong_limits_together(tmp_path: Path):
    path = write(tmp_path / "gsched.toml", "[limit.x]\nrate = 0\n" + JOB.replace("host:x", "host:*"))
    done = gsched("check", "-c", path, "--memory")
    assert done.code == 3
    assert "limit 'x': rate: expected more than zero" in done.err
    assert "group: '*' stands in patterns of limits" in done.err
