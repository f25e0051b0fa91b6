"""What the load tests share: their command line, promises, results, charts, and cases in a fresh process.

A load test gives `run` a function that measures and returns `Results`. Absolute times on shared machines mean little:
what is judged is a ratio to a peer or to the raw primitive measured in the same run, wherever there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import gevent

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # so that a checkout that is not installed can be measured, too

RESULTS = HERE / "results"
BLUE, ORANGE, GREY = "#2a6fbb", "#e07b39", "#9aa0a6"


@dataclass
class Results:
    """What a load test found.

    :ivar promises: made by `promise`
    :ivar figures: everything else worth keeping
    :ivar chart: draws into matplotlib axes
    """

    promises: list[dict[str, Any]]
    figures: dict[str, Any] = field(default_factory=dict)
    chart: Callable[[Any], None] | None = None


def promise(
    what: str, measured: float, *, at_least: float | None = None, at_most: float | None = None, unit: str = ""
) -> dict[str, Any]:
    """A measured value beside its floor or ceiling; without either it is for information."""
    bound = at_most if at_least is None else at_least
    ok = None if bound is None else measured >= bound if at_least is not None else measured <= bound
    floor = None if bound is None else f"{'>=' if at_least is not None else '<='} {bound:g}"
    return {"promise": what, "measured": rounded(measured), "unit": unit, "floor": floor, "ok": ok}


Case = Callable[[bool], Any]


def run(name: str, measure: Callable[[bool], Results], cases: Mapping[str, Case] | None = None) -> None:
    """Measure by the command line, print JSON and keep it, with a chart.

    :param measure: called with whether it should be quick
    :param cases: what `fresh` can run in a process of its own, by name
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="in seconds; results go to results/quick")
    parser.add_argument("--case", choices=sorted(cases or {}), help="one case only, as the test itself calls it")
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps((cases or {})[chosen.case](chosen.quick)))
        return
    began = perf_counter()
    results = measure(chosen.quick)
    said = {
        "name": name,
        "quick": chosen.quick,
        "seconds": round(perf_counter() - began, 1),
        "machine": machine(),
        "promises": results.promises,
        "figures": rounded(results.figures),
    }
    keep(RESULTS / "quick" if chosen.quick else RESULTS, name, said, results.chart)
    print(json.dumps(said, indent=2))


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {"python": platform.python_version(), "gevent": gevent.__version__, "cpus": os.cpu_count()}


def fresh(script: str, case: str, quick: bool) -> Any:
    """The result of a case of `script` (a `__file__`), run in a process of its own."""
    command = [sys.executable, script, "--case", case, *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=110)
    return json.loads(done.stdout)


class Stopwatch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = perf_counter(), process_time()

    def read(self) -> tuple[float, float]:
        return perf_counter() - self._wall, process_time() - self._cpu


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Key by key, the median over repetitions."""
    return {key: median(row[key] for row in rows) for key in rows[0]}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0-1) of `values` does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 10_000) // 10_000) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the largest."""
    return {f"p{100 * share:g}": percentile(values, share) for share in (0.5, 0.99, 0.999)} | {"max": max(values)}


def rounded(value: Any) -> Any:
    """Numbers with four significant digits, inside lists and mappings, too."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return value


def bars(title: str, unit: str, values: Mapping[str, float], bound: float | None = None) -> Callable[[Any], None]:
    """A chart: one horizontal bar each, ours (those that begin with "gsched") in blue, the bound as a line."""

    def draw(axes: Any) -> None:
        names = list(values)
        colours = [BLUE if name.startswith("gsched") else GREY for name in names]
        drawn = axes.barh(names, list(values.values()), color=colours)
        axes.bar_label(drawn, fmt="{:,.4g}", padding=3)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set(title=title, xlabel=unit)
        if bound is not None:
            axes.axvline(bound, color=ORANGE, linestyle="--", linewidth=1)

    return draw


def shares(title: str, unit: str, series: Mapping[str, Sequence[float]], bound: float | None = None) -> Any:
    """A chart: for each series, which share of the values exceeds x, both axes logarithmic."""

    def draw(axes: Any) -> None:
        for name, values in series.items():
            ordered = sorted(max(value, 0.01) for value in values)
            count = len(ordered)
            axes.step(ordered, [(count - n) / count for n in range(count)], where="pre", label=name)
        axes.set(title=title, xlabel=unit, ylabel="share that is above", xscale="log", yscale="log")
        if bound is not None:
            axes.axvline(bound, color=ORANGE, linestyle="--", linewidth=1)
        axes.legend(fontsize="small")

    return draw


def keep(folder: Path, name: str, said: Mapping[str, Any], chart: Callable[[Any], None] | None = None) -> None:
    """Write the results, and the chart beside them if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n")
    if chart is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    chart(axes)
    figure.savefig(folder / f"{name}.png", dpi=75)
