"""A start that cannot succeed ends with exit code 1 and one sentence that says why and what to do."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import standalone
from command_line.packages import NEWEST_STANDALONE, OLDEST
from standalone import triton_wheel
from standalone.errors import StandaloneError
from tests.golden import checkpoint_path
from tests.stack import free_port

pytestmark = pytest.mark.slow

CHECKPOINT = str(checkpoint_path("tiny"))
PORTS = ("zmq", "tcp", "web", "http", "triton-http", "triton-grpc", "triton-metrics")
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def failed_start(
    folder: Path, *arguments: str, python: list[str] | None = None, env: dict[str, str] | None = None
) -> str:
    """Start the stack on free ports, unless `arguments` say otherwise; its one sentence."""
    flags = [f"--{name}-port={free_port()}" for name in PORTS]
    ended = subprocess.run(
        [*(python or [sys.executable]), "-m", "standalone", "--host=127.0.0.1", *flags, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    lines = [line for line in ended.stderr.splitlines() if not re.match(r"\d{4}-\d\d-\d\d .* INFO ", line)]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("nitrogen-serve: ")
    return lines[0]


@dataclass(frozen=True)
class RefusedPort:
    """A start with one port in use."""

    flag: str
    port: int
    folder: Path
    sentence: str


@pytest.fixture(scope="module", params=PORTS)
def refused_port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RefusedPort:
    folder = tmp_path_factory.mktemp("refused")
    flag = f"--{request.param}-port"
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        sentence = failed_start(folder, CHECKPOINT, f"{flag}={port}", "--repository=models")
    return RefusedPort(flag, port, folder, sentence)


def test_port_in_use_is_named_with_its_flag(refused_port: RefusedPort) -> None:
    assert str(refused_port.port) in refused_port.sentence
    assert refused_port.flag in refused_port.sentence


def test_port_in_use_stops_the_start_before_the_export(refused_port: RefusedPort) -> None:
    assert list(refused_port.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("one", "other"), [("zmq", "tcp"), ("tcp", "triton-grpc"), ("triton-http", "triton-grpc")]
)
def test_port_given_twice_is_named(tmp_path: Path, tiny_repository: Path, one: str, other: str) -> None:
    port = free_port()
    flags = [f"--{name}-port={port}" for name in (one, other)]
    assert str(port) in failed_start(tmp_path, CHECKPOINT, f"--repository={tiny_repository}", *flags)


@pytest.mark.parametrize(
    ("name", "port"),
    [*((name, "65536") for name in PORTS), ("zmq", "-1"), ("zmq", "many"), ("triton-grpc", "-1")],
)
def test_impossible_port_is_named_with_its_flag(tmp_path: Path, name: str, port: str) -> None:
    sentence = failed_start(tmp_path, CHECKPOINT, f"--{name}-port={port}")
    assert port in sentence
    assert f"--{name}-port" in sentence


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    assert "nowhere/ng.pt" in failed_start(tmp_path, "nowhere/ng.pt")


def serving(repository: Path) -> tuple[str, str]:
    """Flags that serve what a repository holds."""
    return f"--repository={repository}", "--format=torchscript"


def corrupted(repository: Path) -> Path:
    path = repository / "nitrogen" / "1" / "model.pt"
    content = path.read_bytes()
    # In full length, or it would be exported again.
    path.write_bytes(content[:100_000] + bytes(len(content) - 100_000))
    return repository


def test_corrupt_model_is_reported_in_tritons_words(tmp_path: Path, tiny_repository: Path) -> None:
    sentence = failed_start(tmp_path, CHECKPOINT, *serving(corrupted(tiny_repository)))
    assert "nitrogen" in sentence.removeprefix("nitrogen-serve: ")
    assert "PytorchStreamReader" in sentence


class Fails(torch.nn.Module):
    """Takes what a NitroGen model takes, and asks for more memory than there is."""

    def forward(
        self,
        frames: torch.Tensor,
        frame_count: torch.Tensor,
        game_id: torch.Tensor,
        noise: torch.Tensor,
        previous: torch.Tensor,
        previous_weight: torch.Tensor,
    ) -> torch.Tensor:
        return noise + torch.zeros([1 << 50])


def test_a_failing_warm_up_is_reported_by_its_cause(tmp_path: Path, tiny_repository: Path) -> None:
    folder = tiny_repository / "nitrogen" / "1"
    torch.jit.script(Fails()).save(str(folder / "model.pt"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.pt"]["bytes"] = (folder / "model.pt").stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))

    for _ in range(5):
        sentence = failed_start(tmp_path, CHECKPOINT, *serving(tiny_repository))
        # Now and then this Triton ends over a failed warm-up (docs/how-to/export.md), before it tells why.
        if "SIGSEGV" not in sentence:
            break
    assert (
        "failed to run warmup sample 'batch of 1': RuntimeError: [enforce fail at alloc_cpu.cpp" in sentence
    )


def test_log_that_the_sentence_names_is_there_to_be_read(tmp_path: Path, tiny_repository: Path) -> None:
    sentence = failed_start(tmp_path, CHECKPOINT, *serving(corrupted(tiny_repository)))
    named = re.findall(r"/\S+\.log", sentence)
    assert [path for path in named if not Path(path).is_file()] == []


def site_packages_without_pytriton(folder: Path) -> Path:
    """This environment's packages by links, all but the Triton wheel."""
    links = folder / "site-packages"
    links.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name != "pytriton":
            (links / entry.name).symlink_to(entry)
    return links


def start_with(links: Path, folder: Path) -> str:
    """The sentence of a start that finds its packages in `links` only."""
    project = Path(standalone.__file__).parents[1]
    env = {"PYTHONPATH": f"{project}:{links}", "PATH": "/usr/bin:/bin"}
    return failed_start(folder, CHECKPOINT, python=[sys.executable, "-S"], env=env)


def test_missing_wheel_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    sentence = start_with(site_packages_without_pytriton(tmp_path), tmp_path)
    assert "not installed" in sentence
    assert "pip install --no-deps nvidia-pytriton" in sentence


def test_wheel_without_its_server_is_to_be_reinstalled(tmp_path: Path) -> None:
    links = site_packages_without_pytriton(tmp_path)
    (links / "pytriton").mkdir()
    (links / "pytriton" / "__init__.py").touch()
    assert "pip install --no-deps nvidia-pytriton" in start_with(links, tmp_path)


def test_missing_stub_for_this_python_is_named_with_the_pythons_that_have_one(tmp_path: Path) -> None:
    links = site_packages_without_pytriton(tmp_path)
    real = Path(sysconfig.get_path("purelib"), "pytriton")
    shutil.copytree(real, links / "pytriton", ignore=lambda *_: ["tritonserver"])
    triton = links / "pytriton" / "tritonserver"
    triton.mkdir()
    for entry in (real / "tritonserver").iterdir():
        if entry.name != "python_backend_stubs":
            (triton / entry.name).symlink_to(entry)
    stubs = triton / "python_backend_stubs"
    stubs.mkdir()
    others = [entry for entry in (real / "tritonserver" / stubs.name).iterdir() if entry.name != THIS_PYTHON]
    for entry in others:
        (stubs / entry.name).symlink_to(entry)
    sentence = start_with(links, tmp_path)
    assert f"no stub for Python {THIS_PYTHON}" in sentence
    minors = sorted(int(entry.name.partition(".")[2]) for entry in others)
    assert max(*minors, sys.version_info.minor) == NEWEST_STANDALONE[1]
    *first, last = [f"3.{minor}" for minor in minors if minor >= OLDEST[1]]
    assert f"run this under Python {', '.join(first)} or {last}" in sentence


def test_a_python_without_its_shared_library_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_wheel, "_LIBPYTHON", "libpython3.99.so.1.0")
    with pytest.raises(StandaloneError, match=r"needs libpython3.99.so.1.0, .* apt-get install libpython3"):
        triton_wheel.find_triton_wheel()


def test_a_stub_that_names_the_wheels_own_python_gets_this_ones(tmp_path: Path) -> None:
    wheel = triton_wheel.find_triton_wheel()
    newest = wheel.stub.parents[1] / "3.13" / wheel.stub.name
    assert b"libpython3-419a3a08.13.so.1.0" in newest.read_bytes()
    triton_wheel.assemble_backends(replace(wheel, stub=newest), tmp_path / "backends")
    stub = (tmp_path / "backends" / "python" / wheel.stub.name).read_bytes()
    assert b"libpython3-" not in stub
    assert f"libpython{THIS_PYTHON}.so.1.0".encode() in stub
    assert len(stub) == newest.stat().st_size


def test_without_a_network_the_first_line_says_what_is_wanted_and_that_the_demo_wants_none(
    tmp_path: Path,
) -> None:
    flags = [f"--{name}-port={free_port()}" for name in PORTS]
    starting = subprocess.Popen(
        [sys.executable, "-m", "standalone", "--host=127.0.0.1", *flags],
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert starting.stderr is not None
        first = starting.stderr.readline()
        assert "needs a download of 2 GB from the Hugging Face hub, because models/nvidia/NitroGen/" in first
        assert "--demo serves an untrained model, and needs no network" in first
    finally:
        starting.kill()
        starting.communicate()


def test_wrong_variable_is_named_with_what_is_allowed(tmp_path: Path) -> None:
    sentence = failed_start(tmp_path, env={**os.environ, "NITROGEN_FORMAT": "both"})
    assert "NITROGEN_FORMAT is 'both', but one of auto, torchscript, onnx is needed" in sentence


def test_several_workers_are_not_for_the_standalone(tmp_path: Path) -> None:
    sentence = failed_start(tmp_path, CHECKPOINT, env={**os.environ, "NITROGEN_WORKERS": "2"})
    assert "NITROGEN_WORKERS" in sentence
    assert "--workers" in sentence
