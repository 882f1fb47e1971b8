"""The compose files and `.env.example`: valid, complete, and in step with the gateway's settings."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from deploy.compose.health import CHECKS_ONCE_LIVE, CHECKS_TO_START
from deploy.locks import images
from export.commands.export import _parser as export_parser
from gateway.settings import GatewaySettings
from tests.deploy.compose_files import FILES, compose
from tests.paths import ROOT

# Settings that the compose file decides: they name things in the container.
FIXED = {
    *("triton", "triton_key_file", "host", "zmq_port", "tcp_port", "web_port", "http_port"),
    # Triton is in a container of its own, on a network of their own.
    *("triton_tls", "triton_tls_ca", "triton_tls_cert", "triton_tls_key", "triton_shared_memory"),
}
# Settings that the export's command line in the compose file decides.
FIXED_FOR_THE_EXPORT = {"NITROGEN_MODELS_DIR", "NITROGEN_TRITON_KEY_FILE", "NITROGEN_TRITON_START_TIMEOUT"}


@pytest.mark.parametrize("name", FILES)
def test_a_file_follows_the_compose_specification(name: str) -> None:
    schema = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose(name), json.loads(schema.read_text()))


def test_every_setting_of_the_gateway_can_be_made() -> None:
    services = compose("docker-compose.yml")["services"]
    given = {*services["gateway-settings"]["environment"], *services["gateway"]["environment"]}
    wanted = {f"NITROGEN_{name.upper()}" for name in GatewaySettings.model_fields if name not in FIXED}
    assert wanted <= given


def test_every_setting_of_the_export_can_be_made() -> None:
    services = compose("docker-compose.yml")["services"]
    given = {*services["settings"]["environment"], *services["export"]["environment"]}
    wanted = set(re.findall(r"\[(NITROGEN_\w+)\]", " ".join(export_parser().format_help().split())))
    assert wanted - FIXED_FOR_THE_EXPORT <= given
    assert len(wanted) > 10


def test_every_image_and_index_can_come_from_elsewhere() -> None:
    for file in FILES:
        for name, service in compose(file)["services"].items():
            if "build" in service:
                assert {"BASE_IMAGE", "PIP_INDEX_URL"} <= set(service["build"]["args"]), name
            elif "image" in service and service.get("pull_policy") != "never":
                assert re.match(r"\$\{NITROGEN_\w+_IMAGE:-", service["image"]), name
    for dockerfile in ROOT.glob("Dockerfile.*"):
        first, *others = re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE)
        assert first.startswith("${BASE_IMAGE:-")
        assert set(others) == {"base"}


def test_every_variable_of_the_compose_files_is_in_the_example() -> None:
    used = {name for file in FILES for name in re.findall(r"\$\{(\w+)", (ROOT / file).read_text())}
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    # The token in a variable is only looked at, to say that it is not used; the others are Compose's own.
    assert used - {"HF_TOKEN"} == named - {"COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}


@pytest.mark.parametrize("file", FILES)
def test_a_setting_of_the_model_leaves_alone_what_players_are_connected_to(file: str) -> None:
    """Compose replaces a container whose definition has changed."""
    of_the_model = set(compose("docker-compose.yml")["services"]["settings"]["environment"])
    assert "NITROGEN_FORMAT" in of_the_model
    for name in ("triton", "gateway", "balancer"):
        definition = json.dumps(compose(file)["services"].get(name, {}))
        assert of_the_model.isdisjoint(re.findall(r"\$\{(\w+)", definition)), name


@pytest.mark.docker
def test_every_image_that_is_not_built_here_gets_its_digest() -> None:
    found = images.images()
    example = (ROOT / ".env.example").read_text()
    assert found.keys() == set(re.findall(r"^#(NITROGEN_\w+_IMAGE)=", example, re.MULTILINE))
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+", image) for image in found.values())


@pytest.mark.docker
def test_the_lines_for_env_make_the_stacks_that_the_pages_say(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)

    def read(*lines: str) -> dict[str, Any]:
        (tmp_path / ".env").write_text("".join(f"{line}\n" for line in lines))
        ours = ("NITROGEN_", "COMPOSE_")
        run = subprocess.run(
            ["docker", "compose", "config", "--format=json"],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith(ours)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        stack: dict[str, Any] = json.loads(run.stdout)
        return stack

    page = (ROOT / "docs" / "how-to" / "compose.md").read_text()
    lines = re.findall(r"^\| `(COMPOSE_FILE=\S+)`", page, re.MULTILINE)
    assert lines[0] in (ROOT / "README.md").read_text()
    gpu, (cpu, scale, both, graphs) = read(), map(read, lines)
    tritons = [stack["services"]["triton"]["image"] for stack in (gpu, cpu, scale, both)]
    assert ["tritonserver" in image for image in tritons] == [True, False, True, False]
    assert "nitrogen-triton-graphs" in graphs["services"]["triton"]["image"]
    asked_for = [
        stack["services"]["triton"]["deploy"]["resources"]["reservations"] for stack in (gpu, graphs)
    ]
    assert asked_for[0] == asked_for[1]
    release = graphs["services"]["triton"]["build"]["args"]["BASE_IMAGE"]
    assert release == gpu["services"]["triton"]["image"]
    assert ["balancer" in stack["services"] for stack in (gpu, cpu, scale, both)] == [
        False,
        False,
        True,
        True,
    ]
    assert scale["services"]["gateway"]["deploy"]["replicas"] == 2
    assert {"prometheus", "grafana"} <= set(read("COMPOSE_PROFILES=monitoring")["services"])
    only = set(read("COMPOSE_PROFILES=prometheus")["services"])
    assert "prometheus" in only
    assert "grafana" not in only
    assert read("COMPOSE_PROJECT_NAME=another")["name"] == "another"
    pulled = read("NITROGEN_REGISTRY=registry.example.org/team")["services"].values()
    ours = [service["image"] for service in pulled if "nitrogen-" in service["image"]]
    assert len(ours) >= 4
    assert all(image.startswith("registry.example.org/team/nitrogen-") for image in ours)


def test_the_example_changes_nothing() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(line == "" or line.startswith("#") for line in lines)


def test_an_image_is_built_by_one_service_alone() -> None:
    built = [
        service["image"]
        for file in FILES
        for service in compose(file)["services"].values()
        if "build" in service
    ]
    assert len(built) == len(set(built)) == 4
    for name, service in compose("docker-compose.yml")["services"].items():
        if service["image"] in built and "build" not in service:
            assert service["pull_policy"] == "never", name


@pytest.mark.parametrize("name", FILES)
def test_every_image_has_a_version(name: str) -> None:
    for service in compose(name)["services"].values():
        if "image" in service:
            assert re.search(r":[^:]+$", service["image"]), service["image"]
            assert "latest" not in service["image"]


def test_tritons_release_has_the_torch_that_exports() -> None:
    # https://docs.nvidia.com/deeplearning/frameworks/support-matrix: PyTorch 2.13 came with 26.06 and 26.07.
    image = compose("docker-compose.yml")["services"]["triton"]["image"]
    assert "26.07" in image
    assert "torch==2.13.0" in (ROOT / "pyproject.toml").read_text()
    for lock in ("torch.txt", "triton-graphs.txt"):
        assert "torch==2.13.0" in (ROOT / "deploy" / "locks" / lock).read_text()


def test_a_triton_that_hangs_has_as_many_checks_as_in_kubernetes() -> None:
    triton, *_ = yaml.safe_load_all((ROOT / "deploy/kubernetes/base/triton.yaml").read_text())
    container = triton["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["failureThreshold"] == CHECKS_ONCE_LIVE
    assert container["startupProbe"]["failureThreshold"] == CHECKS_TO_START
    interval = compose("docker-compose.yml")["services"]["triton"]["healthcheck"]["interval"]
    assert interval == f"{container['startupProbe']['periodSeconds']}s"


def test_a_gpu_is_asked_for_and_the_override_lets_go_of_it() -> None:
    triton = compose("docker-compose.yml")["services"]["triton"]
    devices = triton["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "device_ids": ["${NITROGEN_GPUS:-all}"], "capabilities": ["gpu"]}]
    assert triton["ulimits"] == {"memlock": -1, "stack": 67108864}
    assert "!reset" in (ROOT / "docker-compose.cpu.yml").read_text()
