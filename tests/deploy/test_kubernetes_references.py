"""Whatever one object names, another one has: volumes, Secrets, settings, ports, labels, metrics."""

import re
from typing import Any

import pytest
import yaml

from tests.deploy.kubernetes_manifests import APPLIED, FOLDER, Manifests, rendered

# Made by the operator (docs/how-to/kubernetes.md); the second one only for checkpoints that ask for a login.
SECRETS = {"triton-key", "hub-token"}


@pytest.fixture(params=APPLIED)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


def test_volumes_are_there_and_mounted(manifests: Manifests) -> None:
    claims = {one["metadata"]["name"] for one in manifests.of("PersistentVolumeClaim")}
    for pods in manifests.pods():
        mounted = {mount["name"] for one in pods.containers() for mount in one["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pods.spec["volumes"]}, pods.name
        for volume in pods.spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            secrets = [volume["secret"]["secretName"]] if "secret" in volume else []
            secrets += [one["secret"]["name"] for one in volume.get("projected", {}).get("sources", [])]
            assert set(secrets) <= SECRETS


def test_settings_come_from_config_maps_that_are_there(manifests: Manifests) -> None:
    maps = {
        one["metadata"]["name"]: one["data"]
        for one in manifests.of("ConfigMap")
        if "grafana_dashboard" not in one["metadata"].get("labels", {})
    }
    used = {
        source["configMapRef"]["name"]
        for pods in manifests.pods()
        for one in pods.containers()
        for source in one.get("envFrom", [])
    }
    assert used == maps.keys()
    for settings in maps.values():
        assert all(name.startswith("NITROGEN_") for name in settings)


def test_services_lead_to_ports_of_pods(manifests: Manifests) -> None:
    for service in manifests.of("Service"):
        (pods,) = [
            pods for pods in manifests.pods() if pods.has({"matchLabels": service["spec"]["selector"]})
        ]
        for port in service["spec"]["ports"]:
            assert pods.ports()[port["targetPort"]] == port["port"], service["metadata"]["name"]


def test_probes_ask_ports_of_their_pods(manifests: Manifests) -> None:
    for name in ("triton", "gateway"):
        pods = manifests.pods_of(name)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert pods.main()[probe]["httpGet"]["port"] in pods.ports()


def test_selectors_take_one_workload(manifests: Manifests) -> None:
    for deployment in manifests.of("Deployment"):
        assert manifests.pods_of(deployment["metadata"]["name"]).has(deployment["spec"]["selector"])
    budgets = manifests.of("PodDisruptionBudget")
    assert {one["metadata"]["name"] for one in budgets} == {"gateway", "triton"}
    for budget in budgets:
        (pods,) = [pods for pods in manifests.pods() if pods.has(budget["spec"]["selector"])]
        assert pods.name == budget["metadata"]["name"]
    for pods in manifests.pods():
        for spread in pods.spec.get("topologySpreadConstraints", []):
            assert pods.has(spread["labelSelector"])


def test_triton_is_asked_under_a_name_that_has_all_addresses(manifests: Manifests) -> None:
    service = manifests.one("Service", "triton")
    assert service["spec"]["clusterIP"] == "None"
    (port,) = [one["port"] for one in service["spec"]["ports"] if one["name"] == "grpc"]
    settings = manifests.one("ConfigMap", "gateway-settings")["data"]
    assert settings["NITROGEN_TRITON"].split(",") == [f"triton:{port}"]


def test_export_asks_tritons_that_are_loading_too(manifests: Manifests) -> None:
    service, ready = manifests.one("Service", "triton-all"), manifests.one("Service", "triton")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in ready["spec"], "gateways ask those that are ready"
    assert service["spec"]["selector"] == ready["spec"]["selector"]
    (port,) = [one["port"] for one in service["spec"]["ports"]]
    assert _flag(manifests, "export", "--triton") == f"triton-all:{port}"
    wait_s = int(_flag(manifests, "export", "--triton-start-timeout"))
    assert 0 < wait_s < manifests.one("Job", "export")["spec"]["activeDeadlineSeconds"]


def test_key_files_are_where_the_secret_is_mounted(manifests: Manifests) -> None:
    settings = manifests.one("ConfigMap", "gateway-settings")["data"]
    named = {
        "gateway": settings["NITROGEN_TRITON_KEY_FILE"],
        "export": _flag(manifests, "export", "--triton-key-file"),
        "triton": _words(manifests, "triton", r"cat (\S+)\)"),
    }
    for name, path in named.items():
        pods = manifests.pods_of(name)
        (volume,) = [one for one in pods.spec["volumes"] if one["name"] == "keys"]
        (mount,) = [one for one in pods.main()["volumeMounts"] if one["name"] == "keys"]
        secret = volume["projected"]["sources"][0]["secret"] if "projected" in volume else volume["secret"]
        assert path == f"{mount['mountPath']}/{secret['items'][0]['path']}", name
        assert mount["readOnly"] is True


def test_export_writes_what_triton_reads(manifests: Manifests) -> None:
    written = _mounted(manifests, "export", _flag(manifests, "export", "--repository"))
    read = _mounted(manifests, "triton", _flag(manifests, "triton", "--model-repository"))
    assert written["name"] == read["name"] == "repository"
    assert not written.get("readOnly")
    assert read["readOnly"] is True
    models = _mounted(manifests, "export", _flag(manifests, "export", "--models-dir"))
    assert models["name"] == "models"


def test_autoscalers_have_their_workload_and_their_metric() -> None:
    manifests = rendered("overlays/fleet")
    adapter = yaml.safe_load(
        (FOLDER / "components/autoscaling/prometheus-adapter-values.yaml").read_text(encoding="utf-8")
    )
    offered = {rule["name"]["as"] for rule in adapter["rules"]["custom"]}
    scaled = {}
    for autoscaler in manifests.of("HorizontalPodAutoscaler"):
        spec = autoscaler["spec"]
        deployment = manifests.one("Deployment", spec["scaleTargetRef"]["name"])
        assert spec["scaleTargetRef"]["apiVersion"] == deployment["apiVersion"]
        assert "replicas" not in deployment["spec"], "each apply would undo what the autoscaler did"
        (metric,) = spec["metrics"]
        scaled[deployment["metadata"]["name"]] = metric
    assert scaled["triton"]["pods"]["metric"]["name"] in offered
    # A share of the request, so there has to be one.
    name = scaled["gateway"]["resource"]["name"]
    assert name in manifests.pods_of("gateway").main()["resources"]["requests"]


def test_service_monitors_lead_to_one_port_each() -> None:
    manifests = rendered("overlays/fleet")
    for monitor in manifests.of("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        job = monitor["spec"]["jobLabel"]
        services = [
            one
            for one in manifests.of("Service")
            if monitor["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
            and endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}
        ]
        (service,) = services
        assert service["metadata"]["labels"][job] == monitor["metadata"]["name"], (
            "the job's name in Prometheus"
        )


def _flag(manifests: Manifests, name: str, flag: str) -> str:
    """The value of a container's flag."""
    (value,) = [
        word.removeprefix(f"{flag}=")
        for word in manifests.pods_of(name).main()["args"]
        if word.startswith(f"{flag}=")
    ]
    return str(value)


def _words(manifests: Manifests, name: str, pattern: str) -> str:
    """Return what a pattern finds in a container's arguments."""
    found = re.search(pattern, "\n".join(manifests.pods_of(name).main()["args"]))
    assert found is not None
    return found[1]


def _mounted(manifests: Manifests, name: str, path: str) -> dict[str, Any]:
    """The mount of a container at a path."""
    (mount,) = [one for one in manifests.pods_of(name).main()["volumeMounts"] if one["mountPath"] == path]
    return dict(mount)
