"""Write an access log in combined format, with the rhythm of a day; the same seed gives the same log.

    python examples/access_log_generator.py /tmp/access.log                        # a day, 1,000,000 lines
    python examples/access_log_generator.py /tmp/access.log --lines 0 --follow     # append live, 20 lines a second
"""

# ruff: noqa: E402 - gevent patches before anything else is imported
from gevent import monkey

monkey.patch_all()

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import cos, pi
from pathlib import Path
from random import Random
from typing import TextIO

from loopback import stop_on_sigterm

from gsched import GeventScheduler

MINUTES = 24 * 60
BUSIEST_HOUR = 20
PATHS = ("/", "/news", "/products", "/products/{}", "/cart", "/search?q={}", "/images/{}.png", "/api/items/{}")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://bot.example/\\\"why\\\")",
)
GARBAGE = ("", "\x16\x03\x01", "-", '203.0.113.9 - - [31/Jun/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"')


def main() -> None:
    options = parse_arguments()
    random = Random(options.seed)
    with options.log.open("a", encoding="latin-1", newline="\n") as log:
        log.writelines(history(random, options))
        log.flush()
        print(f"{options.lines} lines of the day {options.day:%Y-%m-%d} appended to {options.log}", flush=True)
        if options.follow:
            follow(random, log, options)


def follow(random: Random, log: TextIO, options: argparse.Namespace) -> None:
    """Append lines as time goes on, until `--seconds` are over."""
    scheduler = GeventScheduler(job_defaults={"coalesce": False, "max_instances": 1000})
    scheduler.add_job(append, "interval", seconds=1 / options.rate, args=[random, log])
    if options.seconds is not None:
        scheduler.add_job(scheduler.shutdown, "date", run_date=datetime.now(UTC) + timedelta(seconds=options.seconds))
    stop_on_sigterm(scheduler.shutdown)
    scheduler.run_forever()


def append(random: Random, log: TextIO) -> None:
    """The job: one line, as of now."""
    log.write(line(random, datetime.now(UTC).replace(microsecond=0)))
    log.flush()


def history(random: Random, options: argparse.Namespace) -> Iterator[str]:
    """The lines of a day in order, garbage among them."""
    begun = 0.0
    for minute, share in enumerate(shares_of_minutes()):
        count = round(options.lines * (begun + share)) - round(options.lines * begun)
        begun += share
        for second in sorted(random.randrange(60) for _ in range(count)):
            if random.random() < options.garbage:
                yield random.choice(GARBAGE) + "\n"
            else:
                yield line(random, options.day + timedelta(minutes=minute, seconds=second))


def shares_of_minutes() -> list[float]:
    """How much of a day's visits each minute gets: five times as much in the evening as in the morning."""
    weights = [1.5 + cos(2 * pi * (minute / 60 - BUSIEST_HOUR) / 24) for minute in range(MINUTES)]
    total = sum(weights)
    return [weight / total for weight in weights]


def line(random: Random, at: datetime) -> str:
    number = int(random.random() * 1_000_000)
    address = f"10.{number % 7}.{number % 251}.{number % 241}"
    path = PATHS[number % len(PATHS)].format(number % 1000)
    status = 200 if number % 50 else 404
    return (
        f'{address} - - [{stamp(at)}] "GET {path} HTTP/1.1" {status} {number % 50_000} '
        f'"-" "{AGENTS[number % len(AGENTS)]}"\n'
    )


@lru_cache(8)
def stamp(at: datetime) -> str:
    return f"{at:%d/%b/%Y:%H:%M:%S %z}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, nargs="?", default=Path("access.log"), help="default: access.log")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the past day (default: 1000000)")
    parser.add_argument("--day", type=day, default="2026-11-21", help="which day (default: 2026-11-21, UTC)")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--garbage", type=float, default=0.0001, help="share of garbage lines (default: 0.0001)")
    parser.add_argument("--follow", action="store_true", help="then append live")
    parser.add_argument("--rate", type=float, default=20.0, help="lines a second of --follow (default: 20)")
    parser.add_argument("--seconds", type=float, help="end --follow after so long (default: at Ctrl-C)")
    return parser.parse_args()


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
