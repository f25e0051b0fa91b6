"""The output of runs, kept with the history; on every store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from gevent.event import Event
from store_bench import SHORT_STEP_MS, StoreBench

from gsched import RunNotFoundError, current_run
from gsched.jobs.command_end import CommandEnd
from gsched.stores import BaseJobStore

pytest_plugins = ["mongodb"]

IN_TEN = {"trigger": "interval", "days": 1, "start_date": "2026-03-02 12:00:10"}
FIRST = "job@2026-03-02T12:00:10.000Z"

ENDED = CommandEnd(None, "SIGXCPU", "cpu_time_max = 1s", 0.98, 0.02, None)

go_on = Event()


@pytest.fixture
def bench(any_store: BaseJobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreBench]:
    go_on.clear()
    made = StoreBench(any_store, monkeypatch, SHORT_STEP_MS)
    yield made
    go_on.set()
    made.close()


def talk() -> None:
    """Says which attempt it is, waits, and fails the first time."""
    run = current_run()
    run.log.info("begins", attempt_of_three=run.attempt, word="Grüße")
    go_on.wait()
    run.command = ENDED  # as a shell command says it
    run.log.bind(job_id="hidden").warning("ends", password="x" * 3000)
    if run.attempt == 1:
        raise ConnectionError("vendor down")


def text(bench: StoreBench, attempt: int | None = None) -> str:
    """What was kept, without the times of its lines."""
    return "\n".join(line[9:] for line in bench.scheduler.get_output(FIRST, attempt).text.splitlines())


def there(bench: StoreBench) -> bool:
    try:
        return bool(bench.scheduler.get_output(FIRST).text)
    except RunNotFoundError:
        return False


def all_is_written(bench: StoreBench, attempt: int) -> bool:
    stored = bench.store.output(FIRST, attempt)
    return stored is not None and stored.has_ended


def test_output_can_be_read_during_the_run_and_each_attempt_has_its_own(bench):
    bench.start().scheduler.add_job(talk, id="job", keep_output="64KiB", retries=1, retry_delay=1, **IN_TEN)
    bench.until(lambda: there(bench))
    live = bench.scheduler.get_output(FIRST)
    assert (live.attempt, live.going_on, live.truncated) == (1, True, False)
    assert text(bench) == "info    begins attempt_of_three=1 word='Grüße'"
    go_on.set()
    bench.until(lambda: bench.named("run.succeeded"))
    bench.until(lambda: [run.outcome for run in bench.scheduler.get_runs("job")] == ["succeeded", "retried"])
    bench.until(lambda: all_is_written(bench, 1) and all_is_written(bench, 2))
    assert bench.scheduler.get_output(FIRST).attempt == 2
    assert [run.command for run in bench.scheduler.get_runs("job")] == [ENDED, ENDED]
    for attempt in (1, 2):
        kept = text(bench, attempt)
        assert kept.startswith(f"info    begins attempt_of_three={attempt}")
        assert kept.endswith("warning ends password='" + "x" * 3000 + "'")


def flood() -> None:
    current_run().log.info("the first line")
    for number in range(2000):
        current_run().output.add(f"{number} of 2000 lines\n".encode())  # as a command's output
    go_on.wait()
    current_run().log.info("the last line")


def test_the_beginning_and_the_end_of_much_output_are_kept_as_long_as_the_record(bench):
    bench.start().scheduler.add_job(flood, id="job", keep_output="1KiB", **IN_TEN)
    bench.until(lambda: there(bench))
    go_on.set()
    bench.until(lambda: all_is_written(bench, 1) and bench.scheduler.get_runs("job", outcome="succeeded"))
    kept = bench.scheduler.get_output(FIRST)
    assert not kept.going_on
    assert "the first line" in kept.text
    assert kept.text.splitlines()[-2] == "1999 of 2000 lines"
    assert kept.text.splitlines()[-1].endswith("info    the last line")
    assert kept.truncated
    assert "KiB left out ...\n" in kept.text
    assert kept.left_out > 30_000
    assert 900 < len(kept.text) < 1100
    bench.clock.skip(1000)
    assert bench.scheduler.admin.purge_runs(timedelta(milliseconds=1)) == 1
    with pytest.raises(RunNotFoundError):
        bench.scheduler.get_output(FIRST)


def test_without_keep_output_nothing_is_kept_and_a_silent_run_has_no_output(bench):
    go_on.set()
    bench.start().add("job", keep_output=2048, **IN_TEN)
    bench.add("other", **IN_TEN)
    bench.until(lambda: bench.scheduler.get_runs("job") and len(bench.named("run.succeeded")) == 2)
    nothing = bench.scheduler.get_output(FIRST)
    assert (nothing.text, nothing.truncated) == ("", False)
    with pytest.raises(RunNotFoundError):
        bench.scheduler.get_output(FIRST.replace("job", "other"))
