"""The real Triton under the manifests' own command line, what its probes say, and a gateway before it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.grpc as triton
import yaml
from tritonclient.utils import InferenceServerException

from benchmarks.gateway.models import publish_identity_model
from gateway.settings import GatewaySettings
from standalone.triton_server import TritonPorts, TritonServer
from standalone.triton_wheel import assemble_backends, find_triton_wheel
from tests.deploy.kubernetes_manifests import FOLDER, rendered
from tests.patience import WITHIN_S
from tests.stack import free_port

HOST = "127.0.0.1"
KEY = {"triton-grpc-protocol-nitrogen": "of-the-test"}


@dataclass(frozen=True)
class Running:
    """A Triton, its repository and its key file."""

    ports: TritonPorts
    repository: Path
    key_file: Path

    def status(self, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> int:
        """The status of the HTTP port's answer."""
        return self.get(self.ports.http, path, headers, body)[0]

    def probe(self, name: str) -> int:
        """The status that the kubelet gets from one of the container's probes."""
        probe = rendered("overlays/gpu").pods_of("triton").main()[name]
        return self.status(probe["httpGet"]["path"])

    def get(
        self, port: int, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, str]:
        """The status and the text of an answer."""
        request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers=headers or {}, data=body)
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The command of the manifests, with paths and ports of this machine in the place of the container's."""
    folder = tmp_path_factory.mktemp("kubernetes")
    model = publish_identity_model(folder / "repository")
    assert model == "nitrogen"
    (folder / "triton-key").write_text("nitrogen=of-the-test\n", encoding="ascii")
    wheel = find_triton_wheel()
    assemble_backends(wheel, folder / "backends")
    ports = TritonPorts(free_port(), free_port(), free_port())
    places = {
        "/repository": str(folder / "repository"),
        "/keys/triton": str(folder / "triton-key"),
        "--http-port=8000": f"--http-port={ports.http}",
        "--grpc-port=8001": f"--grpc-port={ports.grpc}",
        "--metrics-port=8002": f"--metrics-port={ports.metrics}",
    }
    command = [
        re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], word)
        for word in rendered("overlays/gpu").pods_of("triton").main()["args"]
    ]
    ours = [f"--backend-directory={folder / 'backends'}", f"--http-address={HOST}", f"--grpc-address={HOST}"]
    environment = wheel.environment()
    environment["PATH"] = f"{wheel.server.parent}{os.pathsep}{environment['PATH']}"
    prefix = f"nitrogen_kubernetes_{os.getpid()}_"
    shared = f"--backend-config=python,shm-region-prefix-name={prefix}"
    server = TritonServer([*command, *ours, shared], environment, ports, folder / "triton.log", prefix)
    with asyncio.Runner() as runner:
        try:
            runner.run(asyncio.wait_for(server.start(), WITHIN_S))
            yield Running(ports, folder / "repository", folder / "triton-key")
        finally:
            runner.run(server.stop())


def test_probes_need_no_key(running: Running) -> None:
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert running.probe(name) == 200, name


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2", None),
        ("/v2/models/nitrogen", None),
        ("/v2/models/nitrogen/config", None),
        ("/v2/models/nitrogen/infer", b"{}"),
        ("/v2/models/stats", None),
        ("/v2/repository/index", b"{}"),
        ("/v2/repository/models/nitrogen/unload", b"{}"),
        ("/v2/systemsharedmemory/status", None),
        ("/v2/logging", None),
        ("/v2/trace/setting", None),
    ],
)
def test_all_else_on_the_http_port_needs_the_key(running: Running, path: str, body: bytes | None) -> None:
    assert running.status(path, body=body) == 403
    assert running.status(path, {"nitrogen": "wrong"}, body) == 403
    if "unload" not in path:
        assert running.status(path, {"nitrogen": "of-the-test"}, body) != 403


def test_grpc_needs_the_key_for_all_but_inference(running: Running) -> None:
    with triton.InferenceServerClient(f"{HOST}:{running.ports.grpc}") as client:
        assert client.is_model_ready("nitrogen")
        for call in (
            lambda: client.get_model_config("nitrogen"),
            client.get_model_repository_index,
            client.get_system_shared_memory_status,
            client.get_log_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()
        assert client.get_model_config("nitrogen", headers=KEY).config.name == "nitrogen"


def test_the_autoscalers_metric_is_one_of_tritons(running: Running) -> None:
    values = yaml.safe_load(
        (FOLDER / "components/autoscaling/prometheus-adapter-values.yaml").read_text(encoding="utf-8")
    )
    (rule,) = values["rules"]["custom"]
    name = rule["seriesQuery"].partition("{")[0]
    assert name in rule["metricsQuery"]
    status, page = running.get(running.ports.metrics, "/metrics")
    assert status == 200
    assert re.search(rf'^{name}{{.*model="nitrogen".*}} 0$', page, re.MULTILINE)


def test_a_gateway_with_the_manifests_settings_serves_and_drains(running: Running) -> None:
    settings = rendered("overlays/gpu").one("ConfigMap", "gateway-settings")["data"]
    fields = {f"NITROGEN_{name.upper()}" for name in GatewaySettings.model_fields}
    assert settings.keys() <= fields, "unknown variables are left out without a word"
    http_port, endpoint = free_port(), f"{HOST}:{running.ports.grpc}"
    environment = {
        **os.environ,
        **settings,
        "NITROGEN_TRITON": settings["NITROGEN_TRITON"].replace("triton:8001", endpoint),
        "NITROGEN_TRITON_KEY_FILE": str(running.key_file),
        "NITROGEN_DRAIN_DELAY_S": "1",
        "NITROGEN_HOST": HOST,
    }
    flags = [
        f"--zmq-port={free_port()}",
        f"--tcp-port={free_port()}",
        "--web-port=0",
        f"--http-port={http_port}",
    ]
    gateway = rendered("overlays/gpu").pods_of("gateway").main()
    ready = gateway["readinessProbe"]["httpGet"]["path"]
    live = gateway["livenessProbe"]["httpGet"]["path"]
    with subprocess.Popen([sys.executable, "-m", "gateway", *flags], env=environment) as process:
        try:
            _wait_for(running, http_port, ready, 200)
            assert running.get(http_port, live)[0] == 200
            process.send_signal(signal.SIGTERM)
            _wait_for(running, http_port, ready, 503)
            assert running.get(http_port, live)[0] == 200, "no restart while it drains"
            assert process.wait(WITHIN_S) == 0
        finally:
            process.kill()


def test_export_knows_its_settings_and_flags() -> None:
    manifests = rendered("overlays/gpu")
    told = subprocess.run(
        [sys.executable, "-m", "export", "-h"], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    for name in manifests.one("ConfigMap", "export-settings")["data"]:
        assert f"[{name}]" in told
    for flag in manifests.pods_of("export").main()["args"]:
        assert f"{flag.partition('=')[0]} " in told.replace("\n", " ").replace("]", " ")


# The last one, for it leaves the server with a version that cannot be loaded, and then without a model.
def test_a_version_that_cannot_be_loaded_takes_no_pod_out(running: Running) -> None:
    version = running.repository / "nitrogen" / "2"
    version.mkdir()
    (version / "model.py").write_text("raise RuntimeError", encoding="utf-8")
    with triton.InferenceServerClient(f"{HOST}:{running.ports.grpc}") as client:
        with pytest.raises(InferenceServerException, match="load failed"):
            client.load_model("nitrogen", headers=KEY)
        assert client.is_model_ready("nitrogen", "1")
        assert running.probe("readinessProbe") == 200
        assert running.probe("livenessProbe") == 200
        assert running.status("/v2/health/ready") == 400, "why the server's own readiness is not asked"
        client.unload_model("nitrogen", headers=KEY)
        give_up = time.monotonic() + WITHIN_S
        while running.probe("readinessProbe") == 200:
            assert time.monotonic() < give_up
        assert running.probe("livenessProbe") == 200


def _wait_for(running: Running, port: int, path: str, wanted: int) -> None:
    give_up = time.monotonic() + WITHIN_S
    while True:
        try:
            status, text = running.get(port, path)
        except (urllib.error.URLError, ConnectionError):
            status, text = 0, "no answer"
        if status == wanted:
            return
        assert time.monotonic() < give_up, f"{path} says {status}: {text}"
        time.sleep(0.05)
