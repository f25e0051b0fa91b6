"""Runs seeds: python -m tests.simulation FIRST LAST, or --seed N --trace."""

from __future__ import annotations

import argparse
import sys

from .simulation import STORMS, Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("first", nargs="?", type=int, default=0)
    parser.add_argument("last", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--storm", choices=STORMS, help="much of one kind of trouble, instead of any")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    options = parser.parse_args()
    seeds = range(options.first, options.last) if options.seed is None else [options.seed]
    bad = dispatched = 0
    for seed in seeds:
        verdict = Simulation(seed, STORMS.get(options.storm), show=print if options.trace else None).run()
        dispatched += verdict.dispatched
        bad += bool(verdict.problems)
        for problem in verdict.problems[:3]:
            print(f"seed {seed}: {problem}")
    print(f"{len(seeds)} seeds, {dispatched} runs, {bad} seeds with problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
