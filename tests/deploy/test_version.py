"""The version of pyproject.toml is that of everything that names one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import version
from standalone import triton_wheel
from tests.paths import ROOT

HISTORY = "CHANGELOG.md"


def test_every_file_that_names_the_version_follows_it() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    pattern = version.mentions(version.version()).pattern.encode()
    named = {name for name in listing.stdout.splitlines() if re.search(pattern, (ROOT / name).read_bytes())}
    assert named - {HISTORY} == {"pyproject.toml", *version.FOLLOWERS}


def test_the_history_begins_with_it() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / HISTORY).read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version.version()


def test_another_version_is_written_wherever_the_old_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ("pyproject.toml", *version.FOLLOWERS)
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    old = version.mentions(version.version())
    monkeypatch.setattr(version, "ROOT", tmp_path)
    assert version.main(["9.8.7"]) == 0
    assert version.version() == "9.8.7"
    for name in files:
        assert "9.8.7" in (tmp_path / name).read_text(), name
        assert not old.search((tmp_path / name).read_text()), name


@pytest.mark.parametrize("arguments", [[], ["v0.2.0"], ["0.2"], ["0.2.0", "0.3.0"]])
def test_what_is_not_one_version_is_refused(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "deploy.version", *arguments]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == "one version is needed, such as: python -m deploy.version 0.2.0\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("v 1.2.3;", True),
        ("image:1.2.3}", True),
        ("=1.2.3", True),
        ("ends with 1.2.3.", True),
        ("some>=1.2.3", False),
        ("other==1.2.3", False),
        ("11.2.3", False),
        ("1.2.3.4", False),
        ("1.2.30", False),
    ],
)
def test_a_version_is_told_from_longer_ones_and_from_other_packages(text: str, found: bool) -> None:
    assert bool(version.mentions("1.2.3").search(text)) is found


def test_the_triton_wheel_that_is_asked_for_is_the_one_that_make_and_the_images_install() -> None:
    (locked,) = re.findall(r"^(\S+==\S+)", (ROOT / "deploy/locks/triton-wheel.txt").read_text(), re.MULTILINE)
    assert triton_wheel._INSTALL.endswith(f" {locked}")
