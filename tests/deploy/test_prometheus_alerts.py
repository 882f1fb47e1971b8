"""Alerts as people read them; each is tested and explained."""

import pytest
import yaml

from tests.deploy.promql import PROMETHEUS, ROOT, alerts, dashboards

every_alert = pytest.mark.parametrize("name", sorted(alerts()))


@every_alert
def test_it_says_what_is_wrong_and_what_to_do(name: str) -> None:
    alert = alerts()[name]
    assert set(alert["annotations"]) == {"summary", "description"}
    assert all(text.strip().endswith((".", ").")) for text in alert["annotations"].values())
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}


@every_alert
def test_a_promtool_test_sees_it_fire(name: str) -> None:
    expected = set()
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for scenario in yaml.safe_load(path.read_text())["tests"]:
            for check in scenario["promql_expr_test"]:
                if 'alertstate="firing"' in check["expr"]:
                    expected |= {sample["labels"] for sample in check["exp_samples"]}
    assert any(f'alertname="{name}"' in labels for labels in expected)


@every_alert
def test_the_documentation_explains_it(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "how-to" / "monitoring.md").read_text()


def test_the_documentation_names_every_panel() -> None:
    text = (ROOT / "docs" / "how-to" / "monitoring.md").read_text()
    titles = {
        panel["title"]
        for board in dashboards().values()
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    assert not {title for title in titles if f"**{title}**" not in text}


def test_prometheus_finds_every_container_by_its_services_name() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    found = {
        job["job_name"]: [(entry["names"], entry["type"], entry["port"]) for entry in job["dns_sd_configs"]]
        for job in jobs
    }
    assert found == {"gateway": [(["gateway"], "A", 8080)], "triton": [(["triton"], "A", 8002)]}
