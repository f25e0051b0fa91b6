"""The files in docs/operations do what they say: they can be read, and name what there is."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

import pytest
import yaml

from gsched.config import Configuration, settings
from gsched.metrics import METRICS
from gsched.runner.exit_codes import Exit

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations"
PAGE = ROOT / "docs" / "operations.md"

SAMPLES = {metric.name for metric in METRICS} | {
    f"{metric.name}_{part}" for metric in METRICS if metric.kind == "histogram" for part in ("bucket", "sum", "count")
}
LABELS = {"le", "job", "instance", *(label for metric in METRICS for label in metric.labels)}


def rules():
    groups = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels():
    return json.loads((OPERATIONS / "dashboard.json").read_text())["panels"]


def expressions():
    alerts = [(rule["alert"], rule["expr"]) for rule in rules()]
    return alerts + [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]


def manifests():
    return {each["kind"]: each for each in yaml.safe_load_all((OPERATIONS / "kubernetes.yaml").read_text())}


def seconds(text):
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("where, expression", expressions(), ids=[where for where, _ in expressions()])
def test_alerts_and_panels_use_metrics_and_labels_that_exist(where, expression):
    assert set(re.findall(r"\bgsched_\w+", expression)) <= SAMPLES
    assert "gsched_" in expression or expression == 'up{job="gsched"} == 0'
    named = re.findall(r"(?:[{,]\s*)(\w+)(?:=~|!=|=)", expression)
    grouped = [label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")]
    assert {*named, *grouped} <= LABELS
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_every_metric_is_on_the_dashboard():
    shown = re.findall(r"\bgsched_\w+", " ".join(target["expr"] for panel in panels() for target in panel["targets"]))
    assert not [metric.name for metric in METRICS if not any(name.startswith(metric.name) for name in shown)]


def test_panels_do_not_overlap():
    taken = set()
    for panel in panels():
        grid = panel["gridPos"]
        columns, rows = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_every_alert_is_explained_and_says_how_bad_it_is():
    explained = re.findall(r"^\| (Gsched\w+) \|", PAGE.read_text(), re.M)
    assert explained == [rule["alert"] for rule in rules()]
    assert all(rule["labels"]["severity"] in ("critical", "warning", "info") for rule in rules())
    assert all(rule["annotations"]["summary"] for rule in rules())


def test_the_manifest_waits_longer_than_a_drain_takes_and_probes_pages_that_exist():
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    said = {each["name"]: each["value"] for each in container["env"]}
    assert pod["terminationGracePeriodSeconds"] > seconds(said["GSCHED_DRAIN_TIMEOUT"]) + 5
    paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness", "startup")}
    assert paths == {"/livez", "/readyz"}
    assert said["GSCHED_PROBE"].endswith(f":{container['ports'][0]['containerPort']}")
    variables = {setting.variable for setting in settings()}
    assert {*said, *manifests()["Secret"]["stringData"]} <= variables


def test_the_parts_of_the_manifest_are_about_the_same_pods():
    deployment = manifests()["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert manifests()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests()["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels


def unit():
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str
    parser.read(OPERATIONS / "gsched.service")
    return parser["Service"]


def test_the_unit_notifies_reloads_and_waits_longer_than_a_drain_takes():
    service = unit()
    assert service["Type"] == "notify" and float(service["WatchdogSec"]) > 0
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert float(service["TimeoutStopSec"]) > Configuration().drain_timeout + 5
    lasting = [Exit.USAGE, Exit.INVALID, Exit.CONFLICT]
    assert service["RestartPreventExitStatus"].split() == [str(int(code)) for code in lasting]
    assert service["SuccessExitStatus"] == str(int(Exit.DRAIN_TIMED_OUT))
