"""The gateway installs and runs where there is no torch, as in its container."""

import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.environments import fresh_environment
from tests.first_words import ends_if_silent
from tests.paths import ROOT
from tests.patience import WITHIN_S
from tests.stack import free_port


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment that holds nothing but `nitrogen-triton[gateway]`."""
    return fresh_environment(tmp_path_factory.mktemp("gateway-only"), f"{ROOT}[gateway]").parent


@pytest.mark.slow
def test_every_module_imports_without_torch(binaries: Path, tmp_path: Path) -> None:
    modules = ["gateway", *(f"gateway.{path.stem}" for path in (ROOT / "gateway").glob("[a-z]*.py"))]
    code = f"import importlib.util, {', '.join(modules)}\nassert importlib.util.find_spec('torch') is None"

    done = subprocess.run(
        [binaries / "python", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_installed_command_serves(binaries: Path, tmp_path: Path) -> None:
    port = free_port()
    ports = [
        "--zmq-port=0",
        "--tcp-port=0",
        "--web-port=0",
        f"--http-port={port}",
        "--host=127.0.0.1",
        "--triton=127.0.0.1:9",
    ]
    with subprocess.Popen(
        [binaries / "nitrogen-gateway", *ports], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            with ends_if_silent(process):
                assert process.stdout.readline().startswith("ZMQ Server running on port ")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=WITHIN_S) as response:
                assert response.read() == b"ok\n"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(WITHIN_S)
    assert process.returncode == 0
