"""Compare the CPU time per run of this checkout's `gsched` package with that of another checkout.

Each round measures every workload in three fresh processes: with this checkout's package, with the other's, and with
this checkout's again. The three run at the same time on the same CPU, because the speed of a shared machine can halve
within a second. The six orders of starting them take turns. Every ratio compares two processes of the same round. The
ratio "this / this" compares the two processes with this checkout's package: it shows how much the measurement varies.

The workloads are those of this checkout (compare_workloads.py). The table goes to standard output, the figures of every
round to results/compare.json.
Run: python -m load_tests compare CHECKOUT [--tests throughput,lateness,io_jobs,threads,import] [--rounds 15]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice, permutations
from pathlib import Path
from statistics import median

import gevent
from gevent.subprocess import PIPE, Popen
from harness import HERE, RESULTS, keep, machine, percentile, rounded

THIS = HERE.parent
TESTS = ("throughput", "lateness", "io_jobs", "threads", "import")
TIMEOUT_SECONDS = 60
HEADINGS = ("CPU us per run", "this", "other", "this / other", "quartiles", "this / this", "quartiles")

Measured = dict[str, float]
"""CPU microseconds per run, by workload."""

Round = dict[str, Measured]
"""What one round measured, by side: "this", "other" and "again"."""


def main() -> None:
    """Measure what the command line asks for, print the table, keep the figures."""
    parser = argparse.ArgumentParser(
        "load_tests compare",
        usage=argparse.SUPPRESS,  # so that a mistake is reported in one line
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", metavar="CHECKOUT", type=checkout, help="the folder of the other checkout")
    parser.add_argument("--tests", type=tests, default=TESTS, help=f"some of {','.join(TESTS)}; all by default")
    parser.add_argument("--rounds", type=rounds, default=15, help="15 by default; all tests take 25 s a round")
    chosen = parser.parse_args()
    found = []
    for done in measure(chosen.checkout, chosen.tests, chosen.rounds):
        found.append(done)
        print(f"round {len(found)} of {chosen.rounds}", file=sys.stderr, flush=True)
    print(f"this: {THIS}\nother: {chosen.checkout}\n{chosen.rounds} rounds\n")
    print_table(found)
    keep(RESULTS, "compare", {"other": str(chosen.checkout), "machine": machine(), "rounds": rounded(found)})


def checkout(text: str) -> Path:
    """The folder of a checkout."""
    folder = Path(text).resolve()
    if not (folder / "gsched" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} is no checkout of gsched: it has no file gsched/__init__.py")
    return folder


def tests(text: str) -> list[str]:
    """Names of tests."""
    names = text.split(",")
    if unknown := set(names) - set(TESTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not a test; there are {', '.join(TESTS)}")
    return names


def rounds(text: str) -> int:
    """How many rounds."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: not a number of rounds; it is 1 or more")
    return int(text)


def measure(other: Path, names: Sequence[str], count: int) -> Iterator[Round]:
    """Measure `count` rounds, and give each as soon as it is complete."""
    checkouts = {"this": THIS, "other": other, "again": THIS}
    measured(checkouts, "import")  # compiles both packages, and ends here if one cannot be imported
    for order in islice(cycle(permutations(checkouts)), count):
        found: Round = {side: {} for side in checkouts}
        for name in names:
            for side, figures in measured({side: checkouts[side] for side in order}, name).items():
                found[side] |= figures
        yield found


def measured(checkouts: Mapping[str, Path], test: str) -> dict[str, Measured]:
    """What a test measures with the package of each checkout, in processes that run at the same time."""
    children = {side: start(folder, test) for side, folder in checkouts.items()}
    try:
        with gevent.Timeout(TIMEOUT_SECONDS):
            for child in children.values():
                child.stdout.readline()  # it is ready, or it has failed
            for child in children.values():
                child.stdin.close()
            return {side: figures_of(child, checkouts[side], test) for side, child in children.items()}
    except gevent.Timeout:
        sys.exit(f"the test {test} did not end within {TIMEOUT_SECONDS} s")
    finally:
        for child in children.values():
            child.kill()


def start(folder: Path, test: str) -> Popen:
    """A process that measures with the package of the checkout in `folder` when its standard input is closed."""
    command = [sys.executable, str(HERE / "compare_workloads.py"), test]
    return Popen(command, env={**os.environ, "PYTHONPATH": str(folder)}, stdin=PIPE, stdout=PIPE)


def figures_of(child: Popen, folder: Path, test: str) -> Measured:
    """What the process measured, if it did so with the right package."""
    printed = child.stdout.read()
    if status := child.wait():
        sys.exit(f"the test {test} failed with the package of {folder}: exit status {status}")
    answer = json.loads(printed)
    if Path(answer["package"]).resolve() != (folder / "gsched").resolve():
        sys.exit(f"the test {test} imported {answer['package']}, not the package of {folder}")
    return answer["us_per_run"]


def ratios(found: Sequence[Round], side: str, base: str) -> dict[str, list[float]]:
    """For each workload, the ratio of one side to another in each round."""
    return {name: [each[side][name] / each[base][name] for each in found] for name in found[0][side]}


def print_table(found: Sequence[Round]) -> None:
    """A line for each workload."""
    to_other, to_itself = ratios(found, "this", "other"), ratios(found, "this", "again")
    lines = [HEADINGS]
    for name in to_other:
        this, other = (f"{median(each[side][name] for each in found):,.1f}" for side in ("this", "other"))
        lines.append((name, this, other, *spread_of(to_other[name]), *spread_of(to_itself[name])))
    widths = [max(map(len, column)) for column in zip(*lines)]
    for name, *cells in lines:
        print(name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:])), sep="  ")


def spread_of(values: Sequence[float]) -> tuple[str, str]:
    """Median and quartiles."""
    return f"{median(values):.3f}", f"{percentile(values, 0.25):.3f}-{percentile(values, 0.75):.3f}"


if __name__ == "__main__":
    main()
