"""Pythons that cannot run a command say so in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import packages
from tests.paths import ROOT


@pytest.mark.parametrize("program", ["export", "gateway", "standalone"])
def test_a_python_without_the_packages_says_how_to_install_them(program: str) -> None:
    without_site = [sys.executable, "-S", "-m", program]  # as the system's own Python
    done = subprocess.run(without_site, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{sys.executable} (Python 3.")
    assert "has no package '" in line
    assert f"run make .venv, and then .venv/bin/python -m {program}; or install" in line
    assert line.endswith(f"{sys.executable} -m pip install '.[{program}]'")


def test_an_older_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "OLDEST", (3, 99))
    with (
        pytest.raises(SystemExit, match=r"is too old: Python 3.99 or newer is needed"),
        packages.required_packages("export"),
    ):
        raise AssertionError("not reached")


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0)])
def test_a_python_that_triton_has_no_stub_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"Python 3.11, 3.12 or 3.13 is needed \(make PYTHON=python3.13\)"):
        packages.require_python("standalone")


def test_make_refuses_it_before_it_installs_anything(tmp_path: Path) -> None:
    python = tmp_path / "python3.14"
    python.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.version_info = (3, 14, 0)\nsys.path.insert(0, '')\n"
        "runpy.run_module(sys.argv[2], run_name='__main__')\n"
    )
    python.chmod(0o755)
    venv = tmp_path / "venv"
    command = ["make", f"PYTHON={python}", f"VENV={venv}", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode != 0
    assert "has no Triton wheel: Python 3.11, 3.12 or 3.13 is needed (make PYTHON=python3.13)" in done.stderr
    assert not venv.exists()
