"""The rights of a pod, and who may speak to whom."""

import ipaddress
from typing import Any

import pytest

from tests.deploy.kubernetes_manifests import APPLIED, Manifests, Pods, rendered

GPU = "nvidia.com/gpu"
PLAYERS = [5555, 5556, 5557]
# The kinds of volumes that Pod Security's level "restricted" allows and that are used here.
VOLUMES = {"persistentVolumeClaim", "secret", "projected", "emptyDir"}


@pytest.fixture(params=APPLIED)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return rendered(request.param)


def test_the_namespace_enforces_restricted(manifests: Manifests) -> None:
    (namespace,) = manifests.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for one in manifests.objects:
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"]


def test_pods_are_restricted(manifests: Manifests) -> None:
    for pods in manifests.pods():
        security = pods.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (1000, 1000, 1000)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pods.spec["automountServiceAccountToken"] is False
        assert not pods.spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"}
        for volume in pods.spec["volumes"]:
            assert volume.keys() - {"name"} <= VOLUMES
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"], "a full folder must not fill the node"


def test_containers_are_restricted(manifests: Manifests) -> None:
    for pods in manifests.pods():
        for one in pods.containers():
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, one["name"]


def test_containers_have_requests_and_limits(manifests: Manifests) -> None:
    for pods in manifests.pods():
        for one in pods.containers():
            for kind in ("requests", "limits"):
                assert one["resources"][kind].keys() >= {"cpu", "memory"}, one["name"]


def test_only_triton_has_a_gpu_and_only_where_there_is_one() -> None:
    for what in APPLIED:
        for pods in rendered(what).pods():
            for one in pods.containers():
                resources = one["resources"]
                wanted = (
                    "1" if one is pods.main() and pods.name == "triton" and what != "overlays/cpu" else None
                )
                assert resources["limits"].get(GPU) == resources["requests"].get(GPU) == wanted


def test_pods_with_a_gpu_and_no_others_tolerate_its_taint() -> None:
    for what in APPLIED:
        for pods in rendered(what).pods():
            taints = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
            wanted = taints if GPU in pods.main()["resources"]["limits"] else []
            assert pods.spec.get("tolerations", []) == wanted, (what, pods.name)


def test_images_have_a_fixed_version(manifests: Manifests) -> None:
    for pods in manifests.pods():
        for one in pods.containers():
            _, colon, tag = one["image"].rpartition("/")[2].partition(":")
            assert colon, one["image"]
            assert tag not in ("", "latest")


def test_no_variable_of_a_service_looks_like_a_setting(manifests: Manifests) -> None:
    for pods in manifests.pods():
        assert pods.spec["enableServiceLinks"] is False


def test_a_gateway_may_drain_before_it_is_killed(manifests: Manifests) -> None:
    settings = manifests.one("ConfigMap", "gateway-settings")["data"]
    pods = manifests.pods_of("gateway")
    readiness = pods.main()["readinessProbe"]
    drain_s = float(settings["NITROGEN_DRAIN_DELAY_S"])
    # docs/how-to/gateway.md: the delay and ten seconds more; readiness has to be noticed within the delay.
    assert pods.spec["terminationGracePeriodSeconds"] >= drain_s + 10
    noticed_s = readiness["failureThreshold"] * (readiness["periodSeconds"] + readiness["timeoutSeconds"])
    assert noticed_s <= drain_s


def test_triton_may_finish_before_it_is_killed(manifests: Manifests) -> None:
    pods = manifests.pods_of("triton")
    (flag,) = [word for word in pods.main()["args"] if word.startswith("--exit-timeout-secs=")]
    assert pods.spec["terminationGracePeriodSeconds"] > int(flag.partition("=")[2])


def test_shared_memory_is_memory_with_a_bound(manifests: Manifests) -> None:
    pods = manifests.pods_of("triton")
    (mount,) = [one for one in pods.main()["volumeMounts"] if one["mountPath"] == "/dev/shm"]
    (volume,) = [one for one in pods.spec["volumes"] if one["name"] == mount["name"]]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


def test_policies_have_ports_of_their_pods(manifests: Manifests) -> None:
    known = {port for pods in manifests.pods() for port in pods.ports().values()} | {53, 443}
    for policy in manifests.of("NetworkPolicy"):
        spec = policy["spec"]
        assert any(pods.has(spec["podSelector"]) for pods in manifests.pods())
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            assert {port["port"] for port in rule["ports"]} <= known, policy["metadata"]["name"]


def test_who_may_speak_to_whom(manifests: Manifests) -> None:
    gateway, triton, export = (manifests.pods_of(name) for name in ("gateway", "triton", "export"))
    speaks = {
        (source.name, target.name, port)
        for source in (gateway, triton, export)
        for target in (gateway, triton, export)
        for port in (*PLAYERS, 8000, 8001, 8002, 8080)
        if _leaves(manifests, source, target, port) and _enters(manifests, source, target, port)
    }
    assert speaks == {("gateway", "triton", 8001), ("export", "triton", 8001)}


def test_players_reach_their_own_ports_only(manifests: Manifests) -> None:
    reached = {
        (target.name, port)
        for target in manifests.pods()
        for port in (*PLAYERS, 8000, 8001, 8002, 8080)
        if _enters(manifests, None, target, port)
    }
    assert reached == {("gateway", port) for port in PLAYERS}


def test_only_export_leaves_the_cluster(manifests: Manifests) -> None:
    for pods in manifests.pods():
        found = [
            (rule, block["ipBlock"])
            for rule in _rules(manifests, pods, "Egress")
            for block in rule["to"]
            if "ipBlock" in block and not ipaddress.ip_network(block["ipBlock"]["cidr"]).is_link_local
        ]
        assert bool(found) == (pods.name == "export")
        for rule, block in found:
            assert [port["port"] for port in rule["ports"]] == [443]
            if block["cidr"] == "0.0.0.0/0":
                metadata = ipaddress.ip_address("169.254.169.254")
                assert any(metadata in ipaddress.ip_network(network) for network in block["except"])


def test_prometheus_reads_metrics_in_the_fleet_only() -> None:
    for what in APPLIED:
        manifests = rendered(what)
        reached = {
            (pods.name, port["port"])
            for pods in manifests.pods()
            for rule in _rules(manifests, pods, "Ingress")
            for port in rule["ports"]
            if any("namespaceSelector" in peer for peer in rule.get("from", []))
        }
        wanted = {("triton", 8002), ("gateway", 8080)} if what.startswith("overlays/fleet") else set()
        assert reached == wanted


def test_balancers_keep_the_addresses_of_players() -> None:
    for what in APPLIED:
        for service in rendered(what).of("Service"):
            if service["spec"].get("type") == "LoadBalancer":
                assert service["metadata"]["name"] == "gateway"
                assert service["spec"]["externalTrafficPolicy"] == "Local"
                assert [port["port"] for port in service["spec"]["ports"]] == PLAYERS


def test_one_address_may_have_many_connections_only_where_addresses_are_hidden(manifests: Manifests) -> None:
    keeps = manifests.one("Service", "gateway")["spec"].get("externalTrafficPolicy") == "Local"
    settings = manifests.one("ConfigMap", "gateway-settings")["data"]
    assert ("NITROGEN_MAX_CONNECTIONS_PER_ADDRESS" not in settings) == keeps


def _rules(manifests: Manifests, pods: Pods, direction: str) -> list[dict[str, Any]]:
    """The rules that let something through; that any policy takes the pods closes everything else."""
    policies = [
        one["spec"]
        for one in manifests.of("NetworkPolicy")
        if direction in one["spec"]["policyTypes"] and pods.has(one["spec"]["podSelector"])
    ]
    assert policies, f"nothing closes {direction} of {pods.name}"
    return [rule for one in policies for rule in one.get(direction.lower(), [])]


def _leaves(manifests: Manifests, source: Pods, target: Pods, port: int) -> bool:
    return any(
        port in {one["port"] for one in rule["ports"]} and _is_named(rule["to"], target)
        for rule in _rules(manifests, source, "Egress")
    )


def _enters(manifests: Manifests, source: Pods | None, target: Pods, port: int) -> bool:
    """Whether pods take a connection from others of the namespace; without a source, from anywhere."""
    return any(
        port in {one["port"] for one in rule["ports"]}
        and ("from" not in rule or (source is not None and _is_named(rule["from"], source)))
        for rule in _rules(manifests, target, "Ingress")
    )


def _is_named(peers: list[dict[str, Any]], pods: Pods) -> bool:
    return any(
        "namespaceSelector" not in peer and pods.has(peer["podSelector"])
        for peer in peers
        if "podSelector" in peer
    )
