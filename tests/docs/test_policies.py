"""The page on policies: its examples are executed, and its tables say what happens then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench import Bench
from gevent.event import Event

from gsched import CommandFailedError, GeventScheduler, GiveUp, InvalidJobError, Retry
from gsched.config import read_configuration
from gsched.jobs.outcomes import Outcome, Reason, Result, RetryAt
from gsched.jobs.policy import NO_POLICY
from gsched.jobs.policy_options import POLICY_OPTIONS, policy_options
from gsched.jobs.run import Run
from gsched.policies.retries import retry_after
from gsched.runner.build import runner_scheduler
from gsched.runner.commands import run_command
from gsched.runner.declared import read_declarations
from gsched.runner.declared_limits import read_limits
from gsched.times.durations import as_seconds

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()


def section(heading: str) -> str:
    """The text from a heading to the next one of its level, or of a higher one."""
    level = heading.index(" ")
    begin = PAGE.index(f"\n{heading}\n") + len(heading) + 2
    following = re.search(rf"^#{{1,{level}}} ", PAGE[begin:], re.M)
    return PAGE[begin:] if following is None else PAGE[begin : begin + following.start()]


def blocks(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def tables(text: str) -> list[list[list[str]]]:
    """The tables, each as rows of cells, the heading first."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.M)
    rows = [[line for line in table.splitlines() if not line.startswith("|---")] for table in found]
    return [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in table] for table in rows]


def table(text: str, heading: str) -> list[list[str]]:
    """The first table whose first column has this heading."""
    return next(rows for rows in tables(text) if rows[0][0].strip() == heading)


def lasting(bench: Bench, first: float, others: float = 0, error: Exception | None = None) -> Callable[[], None]:
    """A job's function whose runs last so many seconds, and fail if there is an error."""
    runs: list[float] = [first]

    def work() -> None:
        seconds = runs.pop() if runs else others
        if seconds:
            ended = Event()
            bench.clock.call_later(seconds, ended.set)
            ended.wait()
        if error is not None:
            raise error

    return work


# -- timelines --------------------------------------------------------------------------------------------------------


def told(bench: Bench) -> Iterator[list[str]]:
    """What happened, as the page tells it."""
    for event in bench.driver.events:
        if event.name == "run.started":
            yield [f"{bench_time(event.run.started_ms)}", f"attempt {event.run.attempt} begins"]
        elif event.name in ("run.retrying", "run.failed"):
            run = event.run
            if event.retry_at is not None:
                then = f"attempt {run.attempt + 1} is due at {event.retry_at:%H:%M:%S}"
            else:
                then = f"the run has failed: `{event.reason}`"
            yield [bench_time(run.finished_ms), f"attempt {run.attempt} fails; {then}"]


def bench_time(ms: int) -> str:
    return f"{timedelta(milliseconds=ms % 86_400_000)}"


@pytest.mark.parametrize("heading", ["## Retries", "### Retries that never begin"])
def test_the_timeline_of_an_example_is_what_happens(bench, heading):
    text = section(heading)
    rows = table(text, "time")[1:]
    fetch = lasting(bench, 1, 1, ConnectionError("vendor down"))
    exec(blocks(text)[0], {"scheduler": bench.scheduler, "fetch": fetch})
    bench.advance(240)
    assert list(told(bench))[: len(rows)] == rows
    assert len(rows) >= 4


def test_the_timeline_of_a_number_of_runs_is_what_happens(bench):
    text = section("## A number of runs")
    exec(blocks(text)[0], {"scheduler": bench.scheduler, "remind": lambda: None})
    bench.advance(60)
    rows = [
        [bench_time(event.run.scheduled_ms), f"run {number}"]
        for number, event in enumerate((e for e in bench.driver.events if e.name == "run.succeeded"), 1)
    ]
    (removed,) = [event for event in bench.driver.events if event.name == "job.removed"]
    rows[-1][1] += f"; the job is removed: `{removed.reason}`"
    assert rows == table(text, "time")[1:]


def test_the_timeline_of_a_group_with_a_limit_is_what_happens(bench):
    text = section("## Groups and limits")
    rows = table(text, "time")[1:]
    poll = lasting(bench, 7, 7)
    exec(blocks(text)[0], {"scheduler": bench.scheduler, "poll": poll})
    bench.advance(60)
    begun: list[list[str]] = []
    coalesced: dict[str, list[str]] = {"a": [], "b": []}
    for event in bench.driver.events:
        if event.name == "run.coalesced":
            coalesced[event.job_id].append(bench_time(event.span.first))
        elif event.name == "run.started":
            left, coalesced[event.job_id] = coalesced[event.job_id], []
            what = f"{event.job_id}, for {bench_time(event.run.scheduled_ms)}"
            begun.append([bench_time(event.run.started_ms), what, ", ".join(left) or "none"])
    assert begun[: len(rows)] == rows
    assert len(rows) >= 6


def test_the_limits_and_the_job_of_a_file_are_understood(tmp_path):
    text = blocks(section("## Groups and limits"), "toml")[0]
    path = tmp_path / "gsched.toml"
    path.write_text(text + "[gsched]\nname = 'gsched'\n[store]\nmemory = true\n")
    configuration = read_configuration(path)
    (limit,) = read_limits(configuration)
    assert (limit.pattern, limit.words()) == ("host:*", "4 at once, 10/s in bursts of 10")
    scheduler = runner_scheduler(configuration)[0]
    (declared,) = read_declarations(configuration, scheduler)
    assert declared.job.policy.group == "host:a.example.com"


def test_a_paused_group_runs_nothing_not_even_on_request(bench):
    text = blocks(section("### A group that is paused"))[0]
    pause, resume, _ = text.split("\n")
    bench.scheduler.add_job(lambda: None, "interval", seconds=10, id="job", group="host:api.example.com")
    exec(pause, {"scheduler": bench.scheduler})
    bench.scheduler.run_job("job")
    bench.advance(25)
    assert [event for event in bench.driver.events if event.name == "run.started"] == []
    exec(resume, {"scheduler": bench.scheduler})
    bench.advance(0.1)
    started = [event.run for event in bench.driver.events if event.name == "run.started"]
    assert sorted(run.request is None for run in started) == [False, True]


def test_the_timeline_of_too_many_failures_is_what_happens(bench):
    text = section("## Too many failures")
    recovers = bench.start_ms + 24 * 60_000

    def poll() -> None:
        if bench.clock.now_ms() < recovers:
            raise ConnectionError("vendor down")

    exec(blocks(text)[0], {"scheduler": bench.scheduler, "poll": poll})
    bench.advance(34 * 60)
    rows: list[list[str]] = []
    for event in bench.driver.events:
        if event.name in ("run.failed", "run.succeeded"):
            how = "fails" if event.name == "run.failed" else "succeeds"
            rows.append([bench_time(event.run.scheduled_ms), f"the run {how}"])
        elif event.name == "job.paused":
            rows[-1][1] += f"; paused until {event.until:%H:%M:%S}: {event.reason}"
    assert rows == table(text, "time")[1:]


def test_the_timeline_of_an_overdue_job_is_what_happens_and_explain_says_so(bench):
    text = section("### Overdue jobs")

    def backup() -> None:
        if 3600 <= bench.clock.now_ms() / 1000 % 43_200 < 4 * 3600:
            raise ConnectionError("vendor down")

    exec(blocks(text)[0], {"scheduler": bench.scheduler, "backup": backup})
    bench.advance(3 * 3600)
    (answer,) = re.findall(r"^backup at .*$", text, re.M)
    assert str(bench.scheduler.explain("backup", "2026-03-02 14:30")) == answer
    bench.advance(2 * 3600 - 600)
    rows: list[list[str]] = []
    for event in bench.driver.events:
        if event.name in ("run.failed", "run.succeeded"):
            how = "fails" if event.name == "run.failed" else "succeeds"
            rows.append([bench_time(event.run.scheduled_ms), f"the run {how}"])
        elif event.name == "job.overdue":
            overdue_at = event.since + timedelta(seconds=event.job.policy.expect_success_every_ms / 1000)
            rows.append([f"{overdue_at:%H:%M:%S}", f"the job is overdue: the event `{event.name}`"])
        elif event.name == "job.on_time_again":
            rows[-1][1] += f": the event `{event.name}`"
    assert rows == table(text, "time")[1:]


def test_the_timeline_of_a_slow_run_is_what_happens(bench):
    text = section("### Slow runs")
    load = lasting(bench, 1500, 0, ConnectionError("vendor down"))
    bench.advance(1)
    exec(blocks(text)[0], {"scheduler": bench.scheduler, "load": load})
    rows: list[list[str]] = []

    def note(event: Any) -> None:
        if event.name == "run.slow":
            what = f"the run is slow: the event `{event.name}`, with the state `{event.state}`"
            rows.append([bench_time(bench.clock.now_ms()), what])

    bench.scheduler.add_listener(note)
    bench.advance(2 * 3600 - 60)
    assert sorted([*rows, *list(told(bench))[:3]]) == table(text, "time")[1:]


# -- what becomes of each instant -----------------------------------------------------------------------------------


def ends(bench: Bench, instants: list[str]) -> list[str]:
    """How each of these instants has ended, as the page tells it."""
    found = {}
    for event in bench.driver.events:
        outcome = event.name.removeprefix("run.")
        if outcome in set(Outcome):
            if hasattr(event, "run"):
                found[bench_time(event.run.scheduled_ms)] = end_of_run(event)
            else:
                for instant in event.job.instants(event.span.first, event.span.end - 1):
                    found[bench_time(instant)] = f"{outcome}: `{event.reason}`" if event.reason else outcome
    return [found[instant] for instant in instants]


def end_of_run(event: Any) -> str:
    run = event.run
    words = "runs" if run.started_ms == run.scheduled_ms else f"runs from {bench_time(run.started_ms)}"
    if run.finished_ms - run.started_ms > 1000:
        words += f" until {bench_time(run.finished_ms)}"
    return words if event.name == "run.succeeded" else f"{words}: {event.name.removeprefix('run.')}, `{event.reason}`"


def columns(heading: str) -> list[tuple[str, list[str], list[str]]]:
    """The columns of a section's table of instants: the options, the instants and their ends."""
    rows = table(section(heading), "instant")
    instants = [row[0] for row in rows[1:]]
    return [(rows[0][number], instants, [row[number] for row in rows[1:]]) for number in range(1, len(rows[0]))]


def options_of(text: str) -> dict[str, Any]:
    return {} if text == "default" else eval(f"dict({text.strip('`')})")


@pytest.mark.parametrize(("options", "instants", "expected"), columns("## Overlap"))
def test_an_instant_that_overlaps_with_a_run_ends_as_the_table_says(bench, options, instants, expected):
    bench.every(10, lasting(bench, 25, 1), id="job", **options_of(options))
    bench.advance(55)
    assert ends(bench, instants) == expected


@pytest.mark.parametrize(("options", "instants", "expected"), columns("## Catch-up"))
def test_a_late_instant_ends_as_the_table_says(bench, options, instants, expected):
    bench.every(10, lambda: None, id="job", **options_of(options))
    bench.advance(5)
    bench.scheduler.pause()
    bench.advance(60)
    bench.scheduler.resume()
    bench.advance(20)
    assert ends(bench, instants) == expected


def test_the_ways_to_catch_up_are_options_that_a_job_takes(bench):
    for number, (_, options) in enumerate(table(section("## Catch-up"), "wanted")[1:]):
        given = {} if options == "the defaults" else options_of(options.replace("max_catchup=N", "max_catchup=2"))
        bench.every(10, id=str(number), **given)


def test_the_answer_of_explain_is_the_one_on_the_page(bench):
    (answer,) = re.findall(r"^sync at .*$", section("## Overlap"), re.M)
    exec(blocks(section("## Overlap"))[0], {"scheduler": bench.scheduler, "sync": lasting(bench, 25, 1)})
    bench.advance(25)
    assert str(bench.scheduler.explain("sync", bench.at(20) / 1000)) == answer


# -- options ----------------------------------------------------------------------------------------------------------

NOTHING = ("all", "none", "no limit", "any time", "never", "until somebody resumes the job")
BESIDE = {
    "retry_on": {"retries": 1},
    "give_up_on": {"retries": 1},
    "max_catchup": {"coalesce": False},
    "failure_pause": {"max_consecutive_failures": 3},
}
DOCUMENTED = {
    (heading, row[0].strip("`")): row[1:]
    for heading in (
        *("## Retries", "## Overlap", "## Catch-up", "## A number of runs", "## Too many failures"),
        *("### Overdue jobs", "### Slow runs", "## Groups and limits", "## Who is told", "## Kept output"),
    )
    for row in table(section(heading), "option")[1:]
}


def value_of(text: str) -> Any:
    """The value that a cell shows."""
    if text in NOTHING:
        return None
    if text in ("True", "False") or text.startswith("`"):
        return eval(text.strip("`"))
    return float(text) if re.fullmatch(r"[\d.]+", text) else as_seconds(text.replace(" days", "d").replace(" ", ""), "")


def test_the_tables_have_every_option_of_a_policy():
    recover = {row[0].strip("`").split("`")[0] for row in table(section("### After a crash"), "`recover`")[1:]}
    assert recover == {"False", "True", "3"}
    assert {option for _, option in DOCUMENTED} >= POLICY_OPTIONS.keys() - {"recover"}


@pytest.mark.parametrize(("where", "cells"), DOCUMENTED.items())
def test_the_default_of_an_option_is_the_one_in_its_table(bench, where, cells):
    job = bench.every(10).definition
    defaults = {
        **policy_options(NO_POLICY), "misfire_grace_time": job.misfire_grace_time, "coalesce": job.coalesce,
        "max_instances": job.max_instances,
    }  # fmt: skip
    assert value_of(cells[1]) == defaults[where[1]]


@pytest.mark.parametrize(("where", "cells"), [item for item in DOCUMENTED.items() if re.search(r"\d", item[1][2])])
def test_an_option_takes_what_its_table_says_and_nothing_beyond(bench, where, cells):
    option, said = where[1], cells[2].split(";")[0]
    low, _, high = said.removeprefix("from ").partition(" to ")
    least, most = value_of(low), value_of(high) if high else None
    step = 0.001 if low == "1 ms" else 1
    for value in filter(lambda each: each is not None, (least, most)):
        bench.every(10, **{option: whole(value), **BESIDE.get(option, {})})
    for value in (least - step, None if most is None else most + 1):
        if value is not None:
            with pytest.raises(InvalidJobError, match=f"{option}: "):
                bench.every(10, **{option: whole(value), **BESIDE.get(option, {})})


def whole(value: float) -> float:
    return int(value) if value == int(value) else value


def test_a_list_of_waits_is_as_long_as_the_page_says(bench):
    job = bench.every(10, retry_delay=[1, 5, 30])
    assert (job.policy["retries"], job.policy["retry_backoff"]) == (3, 1)
    assert bench.every(10, retry_delay=[1] * 1000).policy["retries"] == 1000
    for wrong in ({"retry_delay": []}, {"retry_delay": [1] * 1001}, {"retry_delay": [1], "retry_backoff": 2}):
        with pytest.raises(InvalidJobError):
            bench.every(10, **wrong)


# -- the other examples -----------------------------------------------------------------------------------------------


def test_every_example_in_python_does_something(bench):
    examples = [block for heading in ("## Retries", "## Overlap", "## Catch-up") for block in blocks(section(heading))]
    assert len(examples) >= 7
    for example in examples:
        names = dict.fromkeys(("fetch", "sync", "report", "ask", "tell_somebody"), print)
        bench.scheduler.remove_all_jobs()
        bench.every(10, id="sync" if "run_job" in example else "another")
        exec(example, {"scheduler": bench.scheduler, **names})


def test_the_job_that_decides_for_itself_does_what_its_table_says(bench):
    (text,) = [block for block in blocks(section("## Retries")) if "GiveUp" in block]
    answers = [SimpleNamespace(status=429, retry_after=30), SimpleNamespace(status=500, raise_for_status=fail)]
    answers += [SimpleNamespace(status=404), SimpleNamespace(status=500, raise_for_status=fail)]
    blamed: list[Any] = []
    names: dict[str, Any] = {"ask": lambda: answers.pop(0), "tell_somebody": blamed.append}
    exec(text, names)
    bench.every(3600, names["fetch"], id="fetch", next_run_time="now", retries=3, retry_jitter=0)
    bench.advance(3000)
    ended = [event for event in bench.driver.events if event.name in ("run.retrying", "run.failed")]
    errors = [(event.run.attempt, type(event.exception), event.reason) for event in ended]
    assert errors == [(1, Retry, None), (2, OSError, None), (3, GiveUp, "gave_up")]
    assert [begun for begun, what in told(bench) if what.endswith("begins")] == ["12:00:00", "12:00:30", "12:00:50"]
    bench.every(3600, names["fetch"], id="once", next_run_time="now")
    bench.settle()
    assert len(blamed) == 1


def fail() -> None:
    raise OSError("500")


def test_the_command_of_the_page_is_a_job_that_is_retried_after_one_status_only(tmp_path):
    (text,) = blocks(section("## Retries"), "toml")
    (tmp_path / "gsched.toml").write_text(text)
    configuration = read_configuration(str(tmp_path / "gsched.toml"), {"memory": True}, {})
    (declaration,) = read_declarations(configuration, runner_scheduler(configuration)[0])
    job = declaration.job
    run = Run(job, job.next_run_ms or 0, None)  # type: ignore[arg-type]
    verdicts = [
        retry_after(job, run, Result(Outcome.FAILED, error=CommandFailedError(status)), run.scheduled_ms)
        for status in (75, 1)
    ]
    assert isinstance(verdicts[0], RetryAt) and verdicts[1] is Reason.GAVE_UP
    assert 54_000 <= verdicts[0].due - run.scheduled_ms <= 60_000


def test_what_the_page_gives_for_others_are_options_that_a_job_takes():
    scheduler, tried = GeventScheduler(timezone="UTC"), 0
    for row in (row for rows in tables(section("## Coming from")) for row in rows[1:]):
        for text in re.findall(r"`([^`]+)`", row[1]):
            if re.fullmatch(r"(\w+=[^=]+, )*\w+=[^=]+", text):
                given = eval(f"dict({text})")
                beside = [extra for option in given for extra in BESIDE.get(option, {}).items()]
                scheduler.add_job(run_command, "interval", args=["true"], hours=1, **{**dict(beside), **given})
                tried += 1
    assert tried > 20
