"""The dashboards' JSON: what their code says, and nothing that Grafana would stumble over."""

from itertools import combinations
from typing import Any

import pytest
import yaml

from deploy.grafana.generator.documents import documents
from gateway import errors
from tests.deploy.promql import DASHBOARDS, ROOT, dashboards

PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
# Grafana takes an unknown unit in silence, as a suffix. These were looked up among its own (@grafana/data).
UNITS = {"bytes", "cps", "none", "ops", "percentunit", "reqps", "s", "short", "watt"}

every_dashboard = pytest.mark.parametrize("name", sorted(dashboards()))


def panels(name: str, *kinds: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboards()[name]["panels"] if panel["type"] in kinds]


def charts(name: str) -> list[dict[str, Any]]:
    return panels(name, "stat", "timeseries")


def test_the_files_are_what_the_code_says() -> None:
    written = {path.name: path.read_text() for path in DASHBOARDS.iterdir()}
    assert written == documents(), "write them again: python -m deploy.grafana.generator"


def test_the_two_dashboards_are_there() -> None:
    assert {board["title"]: board["uid"] for board in dashboards().values()} == {
        "NitroGen: players": "nitrogen-players",
        "NitroGen: Triton": "nitrogen-triton",
    }


@every_dashboard
def test_panels_have_ids_of_their_own(name: str) -> None:
    ids = [panel["id"] for panel in dashboards()[name]["panels"]]
    assert len(ids) == len(set(ids))


@every_dashboard
def test_panels_lie_on_the_grid_without_overlap(name: str) -> None:
    def box(panel: dict[str, Any]) -> tuple[range, range]:
        place = panel["gridPos"]
        return range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])

    boxes = [box(panel) for panel in dashboards()[name]["panels"]]
    assert all(across.start >= 0 and across.stop <= 24 for across, _ in boxes)
    for (left, upper), (right, lower) in combinations(boxes, 2):
        assert not (set(left) & set(right) and set(upper) & set(lower))


@every_dashboard
def test_no_panel_is_a_hole_in_its_line(name: str) -> None:
    cells = sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in dashboards()[name]["panels"])
    assert cells == 24 * max(
        panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboards()[name]["panels"]
    )


@every_dashboard
def test_every_panel_is_described_and_has_a_known_unit(name: str) -> None:
    for panel in charts(name):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


@every_dashboard
def test_titles_tell_a_rows_panels_apart(name: str) -> None:
    for kind in ("stat", "timeseries", "row"):
        titles = [panel["title"] for panel in panels(name, kind)]
        assert len(titles) == len(set(titles))


@every_dashboard
def test_every_query_goes_to_the_provisioned_data_source(name: str) -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    expected = {"type": sources[0]["type"], "uid": sources[0]["uid"]}
    for panel in charts(name):
        assert panel["datasource"] == expected
        assert [target["datasource"] for target in panel["targets"]] == [expected] * len(panel["targets"])
    asking = [
        variable for variable in dashboards()[name]["templating"]["list"] if variable["type"] == "query"
    ]
    assert asking
    assert all(variable["datasource"] == expected for variable in asking)


@every_dashboard
def test_a_panels_queries_have_letters_of_their_own(name: str) -> None:
    for panel in charts(name):
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEF"[: len(letters)])


@every_dashboard
def test_every_line_has_a_legend(name: str) -> None:
    for panel in panels(name, "timeseries"):
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@every_dashboard
def test_thresholds_rise(name: str) -> None:
    for panel in charts(name):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [{"value": None}])
        assert steps[0]["value"] is None
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(set(values)), panel["title"]


@every_dashboard
def test_every_variable_is_used(name: str) -> None:
    asked = " ".join(target["expr"] for panel in charts(name) for target in panel["targets"])
    for variable in dashboards()[name]["templating"]["list"]:
        assert f"${variable['name']}" in asked


def test_the_data_source_is_the_stacks_prometheus() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert [(source["url"], source["isDefault"]) for source in sources] == [("http://prometheus:9090", True)]


def test_rates_look_back_over_several_scrapes() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert sources[0]["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_every_outcome_is_counted_as_ours_or_the_clients() -> None:
    def outcomes(kind: type[errors.GatewayError]) -> set[str]:
        return {kind.outcome}.union(*(outcomes(child) for child in kind.__subclasses__()))

    # `internal` is what has no error class: a fault of the gateway.
    every = outcomes(errors.GatewayError) | {"internal"}
    asked = [target["expr"] for panel in charts("players.json") for target in panel["targets"]]
    for outcome in every:
        shown = [expression for expression in asked if f"|{outcome}|" in expression.replace('"', "|")]
        assert shown, f"no panel of players.json counts the outcome {outcome}"
