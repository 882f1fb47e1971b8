"""The Makefile installs what a target needs, once, and again after an installation that was cut short."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

CPU_BUILD = "https://download.pytorch.org/whl/cpu"
GPU = "GPU 0: NVIDIA A10 (UUID: GPU-0)"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a machine without a GPU."""
    return machine(tmp_path, gpu="")


def machine(folder: Path, gpu: str) -> dict[str, str]:
    """The environment of a machine whose `nvidia-smi` lists a GPU, or none."""
    lists = folder / "nvidia-smi"
    lists.write_text(f"#!/bin/sh\n[ -n '{gpu}' ] && echo '{gpu}'\n")
    lists.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "TORCH_INDEX"}}
    return {**kept, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def make(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def installs(environment: dict[str, str], venv: Path, target: str) -> list[str]:
    """Return what pip would be told for a target, one call a line."""
    planned = make(environment, "--dry-run", f"VENV={venv}", target)
    assert planned.returncode == 0, planned.stderr
    return [line for line in planned.stdout.splitlines() if " -m pip install " in line]


@pytest.mark.parametrize("target", ["demo", "serve", ".venv"])
def test_serving_installs_no_developers_tools(
    environment: dict[str, str], tmp_path: Path, target: str
) -> None:
    venv = tmp_path / "venv"
    torch, project, triton = installs(environment, venv, str(venv) if target == ".venv" else target)
    assert "--no-deps" in torch
    assert "'torch==" in torch
    assert CPU_BUILD in torch
    assert project.endswith(" --editable '.[standalone]'")
    assert triton.endswith(" --no-deps --requirement deploy/locks/triton-wheel.txt")


@pytest.mark.parametrize("target", ["test", "lint", "bench", "fuzz"])
def test_developing_adds_its_tools_to_what_serves(
    environment: dict[str, str], tmp_path: Path, target: str
) -> None:
    venv = tmp_path / "venv"
    serving = installs(environment, venv, "demo")
    both = installs(environment, venv, target)
    assert both[: len(serving)] == serving
    assert ".[standalone,dev]" in both[len(serving)]


def test_what_is_there_is_not_installed_again(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".standalone").touch()
    assert installs(environment, tmp_path, "demo") == []
    assert ".[standalone,dev]" in installs(environment, tmp_path, "test")[0]
    (tmp_path / ".dev").touch()
    assert installs(environment, tmp_path, "test") == []


def test_an_environment_older_than_the_project_is_brought_up_to_date(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for stamp in (tmp_path / ".standalone", tmp_path / ".dev"):
        stamp.touch()
        os.utime(stamp, (0, 0))
    assert len(installs(environment, tmp_path, "demo")) == 3
    assert len(installs(environment, tmp_path, "test")) == 5


def test_a_machine_with_a_gpu_gets_the_build_of_pytorch_that_uses_it(tmp_path: Path) -> None:
    torch, *_ = installs(machine(tmp_path, GPU), tmp_path / "venv", "demo")
    assert "index='';" in torch


def test_an_installation_that_fails_is_taken_up_again(environment: dict[str, str], tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    nowhere = (tmp_path / "no-index").as_uri()
    alone = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": nowhere,
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
    }
    failed = make({**environment, **alone}, f"VENV={venv}", f"TORCH_INDEX={nowhere}", "demo")
    assert failed.returncode != 0
    assert f"PyTorch cannot be fetched from {nowhere}: taking" in failed.stdout
    assert "No matching distribution found" in failed.stderr
    assert (venv / "bin" / "python").exists()
    assert len(installs(environment, venv, "demo")) == 3
