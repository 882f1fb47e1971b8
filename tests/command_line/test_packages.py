"""Pythons that cannot run a command say so in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import packages

ROOT = Path(__file__).parents[2]


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
