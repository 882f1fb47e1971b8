"""The PromQL of the dashboards, the recording rules and the alerts, for the tests of all three."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.paths import ROOT

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
PROMETHEUS = ROOT / "deploy" / "prometheus"

# Grafana's values for its variables when everything is chosen.
_VARIABLES = {
    "$__rate_interval": "1m",
    "$gateway": ".*",
    "$port": ".*",
    "$triton": ".*",
    "$model": ".*",
    "$steps": "18",
}
_METRIC = re.compile(r"\b(?:nitrogen_gateway|nitrogen_graph|nv|process)_[a-z_]+\b")
_RECORDED = re.compile(r"\b[a-z_]+:[a-z_]+:[a-z0-9_]+\b")


@dataclass(frozen=True)
class Expression:
    """A PromQL expression with its variables filled in, and where it stands."""

    where: str
    text: str

    def metrics(self) -> set[str]:
        """Names of scraped metrics."""
        return set(_METRIC.findall(_RECORDED.sub(" ", self.text)))

    def recorded(self) -> set[str]:
        """Names of recorded metrics."""
        return set(_RECORDED.findall(self.text))


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard by its file's name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def rules() -> list[dict[str, Any]]:
    """All rules: those with `record` and those with `alert`."""
    found = []
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += group["rules"]
    return found


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panel_expressions() -> Iterator[Expression]:
    """Yield what the dashboards' panels ask."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield Expression(f"{name}: {panel['title']}", _filled_in(target["expr"]))


def variable_expressions() -> Iterator[Expression]:
    """Yield what the dashboards' variables ask: `label_values(SERIES, LABEL)`."""
    for name, dashboard in dashboards().items():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert asked, variable["query"]
                yield Expression(f"{name}: ${variable['name']}", f"count by ({asked[2]}) ({asked[1]})")


def rule_expressions() -> Iterator[Expression]:
    """Yield what the rules ask."""
    for rule in rules():
        yield Expression(rule.get("alert") or rule["record"], rule["expr"])


def all_expressions() -> list[Expression]:
    """Every expression of this repository."""
    return [*panel_expressions(), *variable_expressions(), *rule_expressions()]


def _filled_in(expression: str) -> str:
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that no dashboard has: {expression}"
    return expression
