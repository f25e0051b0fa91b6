"""Each example is run as people run it, with small numbers, and what it prints is compared with what must be."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Any

import pytest
from ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT_SECONDS = 150.0  # a bound for waiting, never a delay


class Example:
    """A running example and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._unread: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._unread.put(line)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read on until a line matches."""
        deadline = monotonic() + WAIT_SECONDS
        while monotonic() < deadline:
            try:
                line = self._unread.get(timeout=0.2)
            except Empty:
                assert self.process.poll() is None or not self._unread.empty(), f"ended; {pattern=} {self.lines}"
                continue
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern!r} did not come; {self.lines}")

    def stop(self, number: int) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)


@contextmanager
def started(name: str, *arguments: object, **environment: str) -> Iterator[Example]:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TZ": "UTC", **environment},
    )
    try:
        yield Example(process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def output_of(name: str, *arguments: object) -> str:
    """Run an example to its end, which must be a good one."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
        capture_output=True, text=True, timeout=WAIT_SECONDS, env={**os.environ, "TZ": "UTC"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def number_in(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in {text!r}"
    return int(found[1].replace(",", ""))


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true in bounded time."""
    deadline, pause = monotonic() + WAIT_SECONDS, threading.Event()
    while not condition():
        if monotonic() > deadline:
            return False
        pause.wait(0.05)
    return True


# -- visits from an access log ----------------------------------------------------------------------------------------


def visits_of(log: Path) -> tuple[dict[str, int], str]:
    """What the example counts, by the beginning of the period, and its last line."""
    said = output_of("access_log_visits", log, "--once", "--rows", 0).splitlines()
    rows = [re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d) +(\d+)", line) for line in said]
    return {row[1]: int(row[2]) for row in rows if row}, said[-1]


def independent_count(log: Path) -> dict[str, int]:
    """By splitting at blanks and brackets, without regular expressions or a position."""
    counts: Counter[str] = Counter()
    for line in log.read_text("latin-1").split("\n"):
        if line.endswith('"') and line.count('"') >= 6 and "31/Jun" not in line:
            at = datetime.strptime(line.partition("[")[2].partition("]")[0], "%d/%b/%Y:%H:%M:%S %z")
            counts[f"{at.replace(minute=at.minute // 5 * 5):%Y-%m-%d %H:%M}"] += 1
    return dict(counts)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a day, with one garbage line in a hundred."""
    path = tmp_path / "access.log"
    output_of("access_log_generator", path, "--lines", 20_000, "--garbage", 0.01)
    return path


def a_line(minute: int) -> str:
    return f'10.0.0.1 - - [22/Nov/2026:10:{minute:02}:30 +0000] "GET /\\"a\\" HTTP/1.1" 200 5 "-" "curl"\n'


def test_visits_add_up_to_an_independent_count_of_a_generated_log(log: Path) -> None:
    counted, summary = visits_of(log)
    assert counted == independent_count(log)
    assert len(counted) == 288
    garbage = number_in(r" (\d+) garbage", summary)
    assert 100 < garbage < 300 and sum(counted.values()) + garbage == 20_000
    evening, morning = (sum(counted[key] for key in counted if hour in key) for hour in (" 20:", " 08:"))
    assert evening > 3 * morning


def test_the_same_seed_gives_the_same_log(log: Path, tmp_path: Path) -> None:
    output_of("access_log_generator", tmp_path / "again.log", "--lines", 20_000, "--garbage", 0.01)
    assert (tmp_path / "again.log").read_bytes() == log.read_bytes()


def test_half_a_line_counts_once_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(a_line(1) + a_line(2)[:60])
    assert visits_of(log)[0] == {"2026-11-22 10:00": 1}
    with log.open("a") as appended:
        appended.write(a_line(2)[60:])
    assert visits_of(log)[0] == {"2026-11-22 10:00": 2}
    assert visits_of(log)[0] == {"2026-11-22 10:00": 2}


def test_a_rotated_log_is_read_to_its_end_and_a_truncated_one_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(a_line(1) * 3)
    visits_of(log)
    with log.open("a") as appended:
        appended.write(a_line(6) * 2)
    log.rename(tmp_path / "access.log.1")
    log.write_text(a_line(11) * 4)
    expected = {"2026-11-22 10:00": 3, "2026-11-22 10:05": 2, "2026-11-22 10:10": 4}
    assert visits_of(log)[0] == expected
    log.write_text(a_line(16) * 5)  # the same file, now longer than the old position
    assert visits_of(log)[0] == {**expected, "2026-11-22 10:15": 5}
    log.write_text(a_line(21))
    assert visits_of(log)[0] == {**expected, "2026-11-22 10:15": 5, "2026-11-22 10:20": 1}


def test_visits_are_counted_again_and_again_while_the_log_grows_and_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(a_line(1))
    with started("access_log_visits", log, "--every", 0.3) as example:
        example.wait_for(r" 1 new lines; so far 1 lines")
        log.rename(tmp_path / "access.log.1")
        with (tmp_path / "access.log.1").open("a") as still_written:
            still_written.write(a_line(2))
            still_written.flush()
            example.wait_for(r"so far 2 lines")
        log.write_text(a_line(3))
        example.wait_for(r"so far 3 lines, 0 garbage, 3 visits in 1 periods")
        assert example.stop(signal.SIGINT) == 0


def test_a_log_that_is_followed_live_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with started("access_log_generator", log, "--lines", 0, "--follow", "--rate", 50) as generator:
        generator.wait_for("appended")
        assert soon(lambda: log.read_text().count("\n") >= 20)
        assert generator.stop(signal.SIGTERM) == 0
    assert sum(visits_of(log)[0].values()) == log.read_text().count("\n")


# -- a cache in Redis -------------------------------------------------------------------------------------------------


def test_every_key_of_the_cache_is_refreshed_and_none_gets_older_than_it_may() -> None:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    said = output_of("cache_refresh", "--keys", 50, "--every", 2, "--jitter", 0.5, "--seconds", 8)
    assert "50 of 50 in the cache" in said
    assert ", 0 failed" in said
    assert 3 * 50 <= number_in(r"refreshes +([\d,]+)", said) <= 5 * 50
    oldest = re.search(r"oldest value +([\d.]+) s seen", said)
    assert oldest and 1.0 < float(oldest[1]) < 4.5


# -- mass polling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [(), ("--sqlite",)])
def test_each_endpoint_is_polled_as_often_as_promised_by_the_targets_own_count(place: tuple[str, ...]) -> None:
    said = output_of("mass_polling", "--endpoints", 150, "--every", 2, "--seconds", 6, "--broken", 3, *place)
    assert "150 of 150 endpoints" in said
    assert number_in(r"polls +([\d,]+)", said) == 3 * 150
    assert number_in(r"failures +([\d,]+)", said) == 3 * 3
    assert len(re.findall(r"runs/s .* in progress .* late p50", said)) >= 4


def test_ctrl_c_ends_the_polling_with_its_summary() -> None:
    with started("mass_polling", "--endpoints", 100, "--every", 1, "--seconds", 60) as example:
        example.wait_for("in progress")
        status = example.stop(signal.SIGINT)
        example.wait_for("as promised")
        assert status == 1  # not as promised: it was cut short
        assert not any("Traceback" in line for line in example.lines)


# -- web servers ------------------------------------------------------------------------------------------------------


def page_of(url: str) -> str:
    with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
        return str(answer.read().decode())


def test_the_page_of_the_pywsgi_server_shows_what_the_jobs_did() -> None:
    with started("pywsgi_server", "--port", 0) as example:
        url = example.wait_for(r"http://\S+")[0]

        def jobs_ran() -> bool:
            page = page_of(url)
            return "load average" in page and "a job that fails disturbs nobody" in page

        assert soon(jobs_ran)
        assert example.stop(signal.SIGINT) == 0


def test_each_gunicorn_worker_keeps_its_own_copy_fresh_and_ends_cleanly(tmp_path: Path) -> None:
    settings, port = tmp_path / "settings.json", free_port()
    settings.write_text('{"greeting": "first"}')
    known: dict[int, dict[str, Any]] = {}

    def ask() -> None:
        try:
            answer = json.loads(page_of(f"http://127.0.0.1:{port}/"))
        except (urllib.error.URLError, ConnectionError):  # not up yet
            return
        known[answer["worker"]] = answer

    def both_know(greeting: str) -> bool:
        ask()
        return len(known) == 2 and all(one["settings"]["greeting"] == greeting for one in known.values())

    with started("gunicorn_app", "--bind", f"127.0.0.1:{port}", EXAMPLE_SETTINGS=str(settings)) as example:
        assert soon(lambda: both_know("first"))
        replacement = tmp_path / "new.json"
        replacement.write_text('{"greeting": "second"}')
        replacement.replace(settings)
        assert soon(lambda: both_know("second"))
        assert all(one["refreshes"] > 1 for one in known.values())
        assert example.stop(signal.SIGTERM) == 0
        example.wait_for("is shut down, 0 runs cut")
        example.wait_for("is shut down, 0 runs cut")
