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


@pytest.mark.parametrize("arguments", [[], ["v9.8.7"], ["9.8"], ["9.8.7", "9.8.8"]])
def test_what_is_not_one_version_is_refused(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "deploy.version", *arguments]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == "one version is needed: python -m deploy.version X.Y.Z\n"


@pytest.mark.parametrize("before", ["NAME=", "image:", "${NAME:-", '= "', "newTag: ", "version "])
@pytest.mark.parametrize("after", ["", "}", ";", '"', ".", "\n"])
def test_a_version_is_found_as_the_files_write_it(before: str, after: str) -> None:
    found = version.mentions("9.8.7").sub(r"\g<1>9.9.0", f"{before}9.8.7{after}")
    assert found == f"{before}9.9.0{after}"


@pytest.mark.parametrize(
    "text", ["other==9.8.7", "other>=9.8.7", "other 9.8.7", "=19.8.7", "=9.8.7.1", "=9.8.70", "=9.8.7rc1"]
)
def test_other_packages_and_longer_versions_are_left(text: str) -> None:
    assert not version.mentions("9.8.7").search(text)


def test_the_triton_wheel_that_is_asked_for_is_the_one_that_make_and_the_images_install() -> None:
    (locked,) = re.findall(r"^(\S+==\S+)", (ROOT / "deploy/locks/triton-wheel.txt").read_text(), re.MULTILINE)
    assert triton_wheel._INSTALL.endswith(f" {locked}")
