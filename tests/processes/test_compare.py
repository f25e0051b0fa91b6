"""`python -m load_tests compare`: what it refuses, and how ratios are taken and printed. Times are not tested."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from itertools import permutations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "load_tests"))
compare = import_module("compare")

ROUNDS = [
    {"this": {"a job": 11.0}, "other": {"a job": 10.0}, "again": {"a job": 11.0}},
    {"this": {"a job": 12.0}, "other": {"a job": 10.0}, "again": {"a job": 10.0}},
    {"this": {"a job": 13.0}, "other": {"a job": 10.0}, "again": {"a job": 10.0}},
]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("{folder}", "{folder} is no checkout of gsched: it has no file gsched/__init__.py"),
        ("{folder}/none", "{folder}/none is no checkout of gsched: it has no file gsched/__init__.py"),
        ("{checkout} --rounds 0", "0: not a number of rounds; it is 1 or more"),
        ("{checkout} --rounds few", "few: not a number of rounds; it is 1 or more"),
        ("{checkout} --tests import,speed", "speed: not a test; there are throughput, lateness, io_jobs"),
        ("", "the following arguments are required: CHECKOUT"),
    ],
)
def test_compare_reports_a_mistake_in_its_arguments_in_one_line(arguments, complaint, tmp_path, monkeypatch, capsys):
    names = {"folder": tmp_path, "checkout": ROOT}
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments.format(**names).split()])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    [line] = capsys.readouterr().err.splitlines()
    assert complaint.format(**names) in line
    assert ended.value.code == 2


def test_the_load_tests_pass_the_arguments_of_compare_on(tmp_path):
    command = [sys.executable, "-m", "load_tests", "compare", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{tmp_path} is no checkout of gsched" in done.stderr


def test_a_measurement_with_a_package_that_cannot_be_imported_names_the_checkout(tmp_path):
    (tmp_path / "gsched").mkdir()
    (tmp_path / "gsched" / "__init__.py").write_text("raise RuntimeError\n")
    with pytest.raises(SystemExit, match=f"the test import failed with the package of {tmp_path}: exit status 1"):
        compare.measured({"this": compare.THIS, "other": tmp_path}, "import")


def test_a_measurement_of_another_package_than_the_checkout_s_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=f"imported .*gsched, not the package of {tmp_path}"):
        compare.measured({"other": tmp_path}, "import")  # finds the installed package instead


def test_a_measurement_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr(compare, "TIMEOUT_SECONDS", 0)
    with pytest.raises(SystemExit, match="the test import did not end within 0 s"):
        compare.measured({"this": compare.THIS}, "import")


def test_a_measurement_gives_figures_by_checkout_and_workload():
    found = compare.measured({"this": compare.THIS, "again": compare.THIS}, "import")
    assert {side: set(figures) for side, figures in found.items()} == {
        "this": {"import gsched", "gsched --help"},
        "again": {"import gsched", "gsched --help"},
    }


def test_every_round_measures_this_checkout_twice_and_the_other_once_in_changing_order(monkeypatch, tmp_path):
    calls = []

    def note(checkouts, test):
        calls.append((test, list(checkouts.items())))
        return {side: {test: 1.0} for side in checkouts}

    monkeypatch.setattr(compare, "measured", note)
    found = list(compare.measure(tmp_path, ["lateness", "threads"], 6))
    first, *others = calls
    assert first[0] == "import"  # the packages are compiled, and can be imported
    sides = [("this", compare.THIS), ("other", tmp_path), ("again", compare.THIS)]
    assert others == [(test, list(order)) for order in permutations(sides) for test in ("lateness", "threads")]
    assert found == 6 * [{side: {"lateness": 1.0, "threads": 1.0} for side, _ in sides}]


def test_a_ratio_is_taken_inside_a_round():
    assert compare.ratios(ROUNDS, "this", "other") == {"a job": [1.1, 1.2, 1.3]}
    assert compare.ratios(ROUNDS, "this", "again") == {"a job": [1.0, 1.2, 1.3]}


def test_the_table_has_medians_and_quartiles_of_both_ratios(capsys):
    compare.print_table(ROUNDS)
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "CPU us per run"
    assert line.split() == ["a", "job", "12.0", "10.0", "1.200", "1.100-1.300", "1.200", "1.000-1.300"]


def test_the_median_and_quartiles_of_one_round_are_its_ratio():
    assert compare.spread_of([0.987]) == ("0.987", "0.987-0.987")
