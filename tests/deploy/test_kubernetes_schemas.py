"""Every object against Kubernetes' own schemas, strictly: an unknown or misspelt field is an error."""

import copy
import json
import re

import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes import monitoring
from tests.deploy.kubernetes_manifests import APPLIED, FOLDER, Object, Pods, rendered, sources

# The oldest that the manifests are for, and the newest that the schemas are known of.
VERSIONS = ("1.29", "1.37")
# Kinds of operators that extend Kubernetes; their pods and a list of their fields are checked below.
EXTENSIONS = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "ServingRuntime", "InferenceService"}
SERVICE_MONITOR = {"jobLabel", "selector", "endpoints"}
ENDPOINT = {"port", "path", "interval", "scrapeTimeout"}
SERVING_RUNTIME = {
    "labels",
    "supportedModelFormats",
    "protocolVersions",
    "multiModel",
    "containers",
    "volumes",
}
MODEL = {"modelFormat", "protocolVersion", "runtime"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", APPLIED)
def test_objects_follow_kubernetes_schemas(what: str, version: str) -> None:
    objects = [one for one in rendered(what).objects if one["kind"] not in EXTENSIONS]
    assert len(objects) >= 15
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("what", APPLIED)
def test_every_pod_follows_kubernetes_schemas(what: str) -> None:
    for pods in rendered(what).pods():
        _validate(pods)


def test_a_misspelt_field_is_found() -> None:
    deployment = copy.deepcopy(rendered("overlays/gpu").one("Deployment", "gateway"))
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_service_monitors_have_known_fields_only() -> None:
    monitors = rendered("overlays/fleet").of("ServiceMonitor")
    assert len(monitors) == 2
    for one in monitors:
        assert one["apiVersion"] == "monitoring.coreos.com/v1"
        assert one["spec"].keys() == SERVICE_MONITOR
        for endpoint in one["spec"]["endpoints"]:
            assert endpoint.keys() <= ENDPOINT


def test_the_cluster_has_the_alerts_and_dashboards_of_the_compose_stack() -> None:
    for name, text in monitoring.files().items():
        assert (monitoring.FOLDER / name).read_text(encoding="utf-8") == text, name
        assert "docker compose" not in text
    fleet = rendered("overlays/fleet")
    groups = [group for rule in fleet.of("PrometheusRule") for group in rule["spec"]["groups"]]
    page = (FOLDER.parents[1] / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(Nitrogen\w+)` \|", page, re.MULTILINE)
    alerts = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert sorted(alerts) == sorted(named)
    assert len(alerts) >= 27
    for one in fleet.of("PrometheusRule"):
        assert one["apiVersion"] == "monitoring.coreos.com/v1"
        assert one["metadata"]["labels"] == fleet.of("ServiceMonitor")[0]["metadata"]["labels"]
        assert one["spec"].keys() == {"groups"}
    boards = [
        one for one in fleet.of("ConfigMap") if "grafana_dashboard" in one["metadata"].get("labels", {})
    ]
    assert len(boards) == 2
    for board in boards:
        # kubectl keeps the object in an annotation, which may have 256 KiB.
        assert len(json.dumps(board)) < 200_000
        assert all('"uid": "prometheus"' in text and json.loads(text) for text in board["data"].values())


def test_keda_scales_tritons_as_far_as_the_autoscaler_in_its_place() -> None:
    ours, theirs = rendered("overlays/fleet"), rendered("overlays/fleet-keda")
    (scaled,) = theirs.of("ScaledObject")
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    former = ours.one("HorizontalPodAutoscaler", "triton")["spec"]
    assert [one["metadata"]["name"] for one in theirs.of("HorizontalPodAutoscaler")] == ["gateway"]
    spec = scaled["spec"]
    assert spec["scaleTargetRef"] == {"name": former["scaleTargetRef"]["name"]}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (
        former["minReplicas"],
        former["maxReplicas"],
    )
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == former["behavior"]
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "Value")
    assert trigger["metadata"].keys() == {"serverAddress", "query", "threshold"}


def test_kserve_has_known_fields_only() -> None:
    manifests = rendered("kserve")
    (runtime,), (service,) = manifests.of("ServingRuntime"), manifests.of("InferenceService")
    assert runtime["apiVersion"] == "serving.kserve.io/v1alpha1"
    assert runtime["spec"].keys() == SERVING_RUNTIME
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["spec"]["predictor"]["model"].keys() == MODEL
    formats = [one["name"] for one in runtime["spec"]["supportedModelFormats"]]
    assert service["spec"]["predictor"]["model"]["modelFormat"]["name"] in formats
    assert service["spec"]["predictor"]["model"]["protocolVersion"] in runtime["spec"]["protocolVersions"]


def test_kserve_runs_triton_as_the_deployment_does() -> None:
    ours, theirs = rendered("overlays/gpu").pods_of("triton"), rendered("kserve").pods_of("triton")
    spread = {"topologySpreadConstraints"}
    assert {**theirs.main(), "name": "triton"} == ours.main()
    assert theirs.spec.keys() == ours.spec.keys() - spread
    for field in ours.spec.keys() - spread - {"containers"}:
        assert theirs.spec[field] == ours.spec[field], field


def test_every_file_is_part_of_something_that_is_applied() -> None:
    used = set()
    for path in sources():
        if path.name != "kustomization.yaml":
            continue
        used.add(path)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        patches = [one["path"] for one in content.get("patches", []) if "path" in one]
        used |= {path.parent / name for name in content.get("resources", []) + patches}
    beside = {FOLDER / "components/autoscaling/prometheus-adapter-values.yaml"}
    assert set(sources()) - used == beside


def _validate(pods: Pods) -> None:
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pods.name, "labels": pods.labels},
        "spec": pods.spec,
    }
    for version in VERSIONS:
        kubernetes_validate.validate(pod, version, strict=True)
