"""The distribution nitrogen-play: whichever way its wheel is built, the table of buttons is in it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.paths import ROOT

CLIENTS = ROOT / "clients"


def built(source: Path, target: str, place: Path) -> Path:
    """Return what hatchling makes of a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(place), "--target", target]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)
    (path,) = place.iterdir()
    return path


@pytest.mark.parametrize("is_by_sdist", [False, True])
def test_the_wheel_has_the_table_and_the_license(tmp_path: Path, *, is_by_sdist: bool) -> None:
    source = CLIENTS / "nitrogen_play"
    if is_by_sdist:
        archive = built(source, "sdist", tmp_path / "sdist")
        (tmp_path / "unpacked").mkdir()
        # By tar: Python's own way to unpack safely is not in the first releases of 3.11.
        subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / "unpacked"], check=True, timeout=60)
        (source,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(built(source, "wheel", tmp_path / "wheel")) as wheel:
        assert wheel.read("nitrogen_play/consoles.toml") == (CLIENTS / "consoles.toml").read_bytes()
        assert "nitrogen_play/games/vizdoom.toml" in wheel.namelist()
        assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
