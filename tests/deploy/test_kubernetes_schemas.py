"""Every object against Kubernetes' own schemas, strictly: an unknown or misspelt field is an error."""

import copy

import kubernetes_validate
import pytest
import yaml

from tests.deploy.kubernetes_manifests import APPLIED, FOLDER, Object, Pods, rendered, sources

# The oldest that the manifests are for, and the newest that the schemas are known of.
VERSIONS = ("1.29", "1.37")
# Of operators that extend Kubernetes; their pods and a list of their fields are checked below.
EXTENSIONS = {"ServiceMonitor", "ServingRuntime", "InferenceService"}
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
