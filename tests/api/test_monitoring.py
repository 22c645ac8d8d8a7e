"""Alert rules and dashboards ask for nothing that is not exported, and each alert has its place in the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.system.measures import FAMILIES
from tests.plugins.api import Api

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
TARGETS = [
    target["expr"]
    for file in DASHBOARDS
    for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]
    for target in panel["targets"]
]
EXPRESSIONS = [*(rule["expr"] for rule in RULES), *TARGETS]
# What Prometheus itself puts on every sample, and what histograms have.
USUAL_LABELS = {"instance", "job", "le"}
OTHER_LABELS = {
    "cryoprotect_import_runs": {"state"},
    "cryoprotect_maintenance_since_run_seconds": {"task"},
    "cryoprotect_maintenance_run_duration_seconds": {"task"},
    "cryoprotect_maintenance_last_run_failed": {"task"},
}
LABELS = {family.name: set(family.labels) for family in FAMILIES} | OTHER_LABELS
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")
WORDS = {"by", "on", "and", "or", "unless", "without", "ignoring", "bool"}


def names_in(expression: str) -> set[str]:
    """Return the metrics that an expression asks for: its words, less functions, operators, labels and times."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)", " ", expression)
    return {word for word in re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare) if word not in WORDS}


def unknown_in(expression: str, exported: set[str]) -> set[str]:
    """Return what an expression asks for that does not exist: metrics, and labels that none of its metrics has."""
    names = names_in(expression)
    selectors, groups = re.findall(r"\{([^}]*)\}", expression), re.findall(r"\bby\s*\(([^)]*)\)", expression)
    labels = {label for text in selectors for label in re.findall(r"(\w+)\s*[=!]", text)}
    labels |= {label.strip() for text in groups for label in text.split(",")}
    known = USUAL_LABELS.union(*(LABELS.get(SUFFIX.sub("", name), set()) for name in names))
    return (names - exported) | (labels - known)


@pytest.fixture
def exported(visitor: Api) -> set[str]:
    """Give the names that the service exports, whether they have values yet or not."""
    types = re.findall(r"^# TYPE (\w+) (\w+)$", visitor.get("//metrics").text, re.MULTILINE)
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    return {f"{name}{part}" for name, kind in types for part in parts.get(kind, ("",))}


def test_there_is_something_to_check():
    assert len(RULES) >= 9
    assert {file.stem for file in DASHBOARDS} == {"service", "database", "imports"}
    assert len(TARGETS) >= 20


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_what_is_exported(exported: set[str], expression: str):
    assert names_in(expression)
    assert unknown_in(expression, exported) == set()


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("sum by (pool) (rate(cryoprotect_pool_losses[5m])) > 0", {"cryoprotect_pool_losses"}),
        ('sum by (poll) (cryoprotect_pool_in_use{state="a"})', {"poll", "state"}),
        ("histogram_quantile(0.9, sum by (le) (rate(http_seconds_bucket[5m])))", {"http_seconds_bucket"}),
    ],
)
def test_an_expression_for_what_does_not_exist_is_noticed(exported: set[str], expression: str, unknown: set[str]):
    assert unknown_in(expression, exported) == unknown


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_a_section_of_the_runbook(rule: dict[str, Any]):
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    sections = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)

    assert anchor in {section.lower().replace(" ", "-") for section in sections}
    assert anchor == rule["alert"].lower()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_promtool_takes_the_rules():
    subprocess.run(["promtool", "check", "rules", str(ALERTS)], check=True, capture_output=True)


def test_the_labels_are_those_of_the_samples(visitor: Api):
    visitor.get("/molecules")
    families = text_string_to_metric_families(visitor.get("//metrics").text)
    samples = [(SUFFIX.sub("", sample.name), sample.labels) for family in families for sample in family.samples]

    declared = {family.name for family in FAMILIES}
    assert {(name, *(set(labels) - LABELS[name] - {"le"})) for name, labels in samples if name in declared} <= {
        (name,) for name in declared
    }
