"""Run all load tests in order and print what was promised, what was measured, and whether it holds.

Run: python load_tests [--quick] [NAME ...]; ends with 1 if a promise does not hold
Run: python load_tests compare CHECKOUT [--tests ...] [--rounds ...]; CPU time beside another checkout's, see compare.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

NAMES = (
    *("throughput", "lateness", "io_jobs", "hub_slices", "memory", "bulk_add", "triggers", "overheads", "threads"),
    *("without_gevent", "stores", "retries", "groups"),
    *("mongodb_throughput", "mongodb_lateness", "mongodb_scale", "mongodb_wakeup", "mongodb_takeover"),
    *("run_requests", "cluster_faults", "sqlite_faults", "dashboard"),
)
TIMEOUT_SECONDS = 180
LONGER_SECONDS = {
    **{"mongodb_throughput": 600, "mongodb_scale": 1200, "mongodb_takeover": 300, "run_requests": 900},
    **{"threads": 300, "without_gevent": 1500, "cluster_faults": 1800, "sqlite_faults": 1200, "stores": 1500},
    **{"retries": 300, "groups": 900, "dashboard": 600},
}
VERDICTS = {True: "ok", False: "FAILS", None: ""}


def main() -> int:
    """One after the other: they would disturb each other."""
    if sys.argv[1:2] == ["compare"]:
        return subprocess.call([sys.executable, str(Path(__file__).parent / "compare.py"), *sys.argv[2:]])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    rows: list[dict[str, Any]] = []
    for name in chosen.names or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += promises_of(name, chosen.quick)
    print_table(rows)
    return int(any(row["ok"] is False for row in rows))


def promises_of(name: str, quick: bool) -> list[dict[str, Any]]:
    """What one load test says; that it failed is a promise that does not hold, too."""
    command = [sys.executable, str(Path(__file__).parent / f"{name}.py"), *(["--quick"] if quick else [])]
    timeout = LONGER_SECONDS.get(name, TIMEOUT_SECONDS)
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=timeout)
        return json.loads(done.stdout)["promises"]
    except (subprocess.SubprocessError, ValueError) as error:
        return [{"promise": f"{name} runs", "measured": type(error).__name__, "unit": "", "floor": "", "ok": False}]


def print_table(rows: list[dict[str, Any]]) -> None:
    """promise | measured | floor | ok"""
    cells = [("promise", "measured", "floor", "ok")]
    cells += [
        (row["promise"], f"{row['measured']} {row['unit']}".strip(), row["floor"] or "", VERDICTS[row["ok"]])
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for cell in cells:
        print("  ".join(text.ljust(width) for text, width in zip(cell, widths)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
