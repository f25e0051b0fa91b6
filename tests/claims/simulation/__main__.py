"""Runs seeds: python -m tests.claims.simulation FIRST LAST, or --seed N --trace, or --minutes N FIRST."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import count

from .simulation import STORMS, Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.claims.simulation", description=__doc__)
    parser.add_argument("first", nargs="?", type=int, default=0)
    parser.add_argument("last", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--storm", choices=STORMS, help="much of one kind of trouble, instead of any")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--minutes", type=float, help="run FIRST and later seeds, each in all storms, for so long")
    options = parser.parse_args()
    if options.minutes is not None:
        return run(everything_for(options.minutes * 60, options.first))
    seeds = range(options.first, options.last) if options.seed is None else [options.seed]
    return run(((seed, options.storm) for seed in seeds), options.trace)


def everything_for(seconds: float, first: int) -> Iterator[tuple[int, str | None]]:
    """Seeds and storms, for so long."""
    over = time.monotonic() + seconds
    for seed in count(first):
        for storm in (None, *STORMS):
            if time.monotonic() > over:
                return
            yield seed, storm


def run(cases: Iterable[tuple[int, str | None]], trace: bool = False) -> int:
    """Print the problems of each case and a summary: the exit code."""
    ran = dispatched = bad = 0
    for seed, storm in cases:
        verdict = Simulation(seed, STORMS.get(storm or ""), show=print if trace else None).run()
        ran += 1
        dispatched += verdict.dispatched
        bad += bool(verdict.problems)
        for problem in verdict.problems[:3]:
            print(f"seed {seed}{f' of {storm}' if storm else ''}: {problem}", flush=True)
    print(f"{ran} seeds, {dispatched} runs, {bad} seeds with problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
