"""Clones on other machines: Windows' line ends, a strict umask."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose_files import FILES, compose
from tests.deploy.compose_stack import ROOT
from tests.docker_engine import docker


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what is checked in, as somebody with `core.autocrlf=true` and `umask 077` gets it."""
    folder = tmp_path_factory.mktemp("clone") / "clone"
    settings = ["--config", "core.autocrlf=true"]
    old = os.umask(0o077)
    try:
        command = ["git", "clone", "--quiet", "--depth=1", *settings, f"file://{ROOT}", str(folder)]
        subprocess.run(command, check=True, timeout=120)
    finally:
        os.umask(old)
    return folder


def test_no_file_of_a_clone_has_windows_line_ends(clone: Path) -> None:
    files = [clone / name for name in tracked(clone)]
    assert len(files) > 100
    text = [file for file in files if b"\0" not in file.read_bytes()]
    assert [file for file in text if b"\r\n" in file.read_bytes()] == []


@pytest.mark.docker
@pytest.mark.parametrize("name", ["export", "gateway", "triton-cpu"])
def test_what_an_image_takes_from_a_strict_clone_can_be_read_by_its_user(clone: Path, name: str) -> None:
    # The stage before is the usual image: its packages are the same, and take minutes.
    tag = f"nitrogen-{name}:strict"
    docker(
        *("build", "--quiet", "--file", str(clone / f"Dockerfile.{name}"), "--tag", tag),
        *("--build-context", f"build=docker-image://nitrogen-{name}:test", str(clone)),
    )
    closed = ("/opt", "/usr/local", "!", "-readable", "-o", "-type", "d", "!", "-executable")
    scripts = ("/usr/local/bin", "-type", "f", "!", "-executable")
    try:
        assert docker("run", "--rm", "--entrypoint=find", tag, *closed) == ""
        assert docker("run", "--rm", "--entrypoint=find", tag, *scripts) == ""
    finally:
        docker("image", "rm", tag)


def test_containers_are_given_nothing_from_the_clone_but_the_operators_own_folders() -> None:
    mounted = {
        volume
        for file in FILES
        for one in compose(file)["services"].values()
        for volume in one.get("volumes", [])
    }
    named = set(compose("docker-compose.yml")["volumes"])
    folders = {volume for volume in mounted if volume.split(":")[0] not in named}
    assert {folder.split(":-")[0] for folder in folders} == {
        "${NITROGEN_MODELS_DIR",
        "${NITROGEN_SECRETS_DIR",
    }


def tracked(folder: Path) -> list[str]:
    """Names of the files that are checked in."""
    listing = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True)
    return listing.stdout.splitlines()
