"""The process that exports under `nitrogen-serve`: how it logs, and how it tells what came of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from standalone.__main__ import _parse
from tests.export.light_versions import CHECKPOINT, publish_light


def run(log_level: str, log_format: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "standalone.exporter", log_level, log_format, *words, "--reuse"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_the_version_is_told_on_stdout_and_the_rest_is_logged(tmp_path: Path) -> None:
    publish_light(tmp_path / "r", 1)

    done = run(
        "info", "json", str(CHECKPOINT), "--repository=r", "--steps=1", "--any=precision", cwd=tmp_path
    )

    assert (done.returncode, done.stdout) == (0, "reused r/nitrogen/1\n"), done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info", "info"]
    assert lines[1]["message"].startswith("nothing to export: version 1 of nitrogen")


def test_what_went_wrong_is_told_on_stdout_instead(tmp_path: Path) -> None:
    done = run("warning", "human", "nowhere.pt", "--repository=r", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stdout.startswith("no checkpoint 'nowhere.pt': give the path of a file")
    assert done.stderr == ""


def test_it_is_told_how_many_instances_triton_is_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--triton-instances=1" in _parse([]).wanted.flags
    monkeypatch.setenv("NITROGEN_TRITON_INSTANCES", "2")
    flags = _parse([]).wanted.flags
    assert "--triton-instances=2" in flags
    assert "--any=triton_instances" not in flags
    assert "--triton-instances=3" in _parse(["--triton-instances=3"]).wanted.flags
