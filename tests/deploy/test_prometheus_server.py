"""The rules, the alerts and the dashboards' queries in a real Prometheus that scrapes the real chain."""

import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.prometheus_container import Prometheus, prometheus_image, promtool, running_prometheus
from tests.deploy.promql import (
    PROMETHEUS,
    all_expressions,
    panel_expressions,
    rule_expressions,
    rules,
    variable_expressions,
)
from tests.pictures import picture
from tests.stack import JsonClient, PickleClient, Stack, wait_until

pytestmark = pytest.mark.docker

# Panels that say something only of a GPU, or with a flag of Triton's, or when something went wrong.
MAY_BE_EMPTY = {
    *("GPU", "GPU memory", "GPU utilisation", "GPU power", "Slow requests, p99"),
    *("Errors by cause", "Mistakes of clients", "Turned away at the door", "Alerts"),
    "Failed predicts by model and version",
    *("Batches by graph", "Padding", "Without a graph", "Memory of the graphs"),
}


@pytest.fixture(scope="module")
def image() -> str:
    return prometheus_image()


@pytest.fixture(scope="module")
def prometheus(
    image: str, tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    ports = {"gateway": tiny_stack.http_port, "triton": tiny_stack.triton_metrics_port}
    config["scrape_configs"] = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in ports.items()
    ]
    path: Path = tmp_path_factory.mktemp("prometheus") / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    with running_prometheus(image, path) as server:
        yield server


def play(stack: Stack) -> None:
    """One predict on each port."""
    with PickleClient(stack.zmq_port) as client:
        client.request(type="predict", image=picture(1))
    with JsonClient(stack.tcp_port) as client:
        client.request({"type": "predict"}, picture(1).tobytes())


def test_promtool_finds_no_fault_with_the_configuration(image: str) -> None:
    assert "SUCCESS" in promtool(image, "check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_not_before(image: str) -> None:
    scenarios = sorted(path.name for path in (PROMETHEUS / "tests").glob("*.yml"))
    said = promtool(image, "test", "rules", *(f"tests/{name}" for name in scenarios))
    assert said.count("SUCCESS") == len(scenarios)


def test_every_expression_is_promql(prometheus: Prometheus) -> None:
    faults = {}
    for expression in all_expressions():
        try:
            prometheus.query(expression.text)
        except urllib.error.HTTPError as error:
            faults[expression.where] = error.read().decode()
    assert not faults


def test_both_are_scraped(prometheus: Prometheus) -> None:
    expected = {"gateway": "up", "triton": "up"}
    wait_until(lambda: prometheus.targets() == expected, "both targets are up")


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    wait_until(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, "all rules are evaluated")
    assert len(prometheus.rules()) == len(rules())


def test_panels_variables_and_recorded_metrics_show_a_games_data(
    prometheus: Prometheus, tiny_stack: Stack
) -> None:
    recorded = [expression for expression in rule_expressions() if ":" in expression.where]
    shown = [e for e in panel_expressions() if e.where.split(": ")[1] not in MAY_BE_EMPTY]
    missing = [*shown, *variable_expressions(), *recorded]

    def nothing_is_missing() -> bool:
        play(tiny_stack)
        missing[:] = [expression for expression in missing if not _has_value(prometheus, expression.text)]
        return not missing

    try:
        wait_until(nothing_is_missing, "all panels show something")
    except AssertionError as error:
        raise AssertionError(f"no data for {[expression.where for expression in missing]}") from error


def _has_value(prometheus: Prometheus, expression: str) -> bool:
    return any(sample["value"][1] != "NaN" for sample in prometheus.query(expression))
