"""`python -m export` as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden import checkpoint_path

LIMIT_FILE_SIZE = (
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
)
RUN_EXPORT = "sys.argv[0] = 'export'; runpy.run_module('export', run_name='__main__', alter_sys=True)"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


def test_it_publishes_and_says_where(tmp_path: Path) -> None:
    checkpoint = str(checkpoint_path("tiny"))

    done = run("-m", "export", checkpoint, "--repository", "repository", "--steps", "1", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "published repository/nitrogen/1\n"), done.stderr
    assert "checked against the float32 network" in done.stderr
    assert (tmp_path / "repository" / "nitrogen" / "1" / "model.pt").is_file()


def test_an_error_is_one_sentence(tmp_path: Path) -> None:
    done = run("-m", "export", "nowhere.pt", "--repository", "repository", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "nitrogen-export: no checkpoint 'nowhere.pt': give the path of a file, "
        "of a folder with an ng.pt in it, or a Hugging Face id "
        "(owner/name or owner/name@revision, such as nvidia/NitroGen)"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--steps", "0"), ("--version", "x"), ("--device-kind", "tpu"), ("--cfg-scale", "much")],
)
def test_a_wrong_flag_is_named(tmp_path: Path, flag: str, value: str) -> None:
    done = run("-m", "export", "ng.pt", "--repository", "r", flag, value, cwd=tmp_path)

    assert done.returncode == 2
    assert f"argument {flag}" in done.stderr


def test_a_full_disk_publishes_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands in for the end of the disk: the write fails in the same place.
    checkpoint = str(checkpoint_path("tiny"))

    done = run("-c", LIMIT_FILE_SIZE + RUN_EXPORT, checkpoint, "--repository", "repository", cwd=tmp_path)

    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "repository" / "nitrogen").iterdir()) == []
