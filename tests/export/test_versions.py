"""Versions of a model: which stay, which is served, and what `list` shows."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.commands.list import describe_versions
from export.errors import RepositoryError
from export.publish import export_checkpoint
from export.repository.live import activate, rollback
from export.repository.served import history, served_number
from export.repository.versions import all_versions, versions
from tests.export.options import options
from tests.golden import checkpoint_path


def export(repository: Path, **changes: object) -> None:
    fixed = {"steps": 1, "precision": "fp32", **changes}
    export_checkpoint(options(checkpoint_path("tiny"), repository, **fixed))


def numbers(repository: Path) -> list[int]:
    return [version.number for version in versions(repository, "nitrogen")]


@pytest.fixture(scope="module")
def three_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("three") / "repository"
    for steps in (1, 2, 3):
        export(repository, steps=steps, keep=0)
    return repository


@pytest.fixture
def repository(three_versions: Path, tmp_path: Path) -> Path:
    """Three versions, 3 served; a copy for the test."""
    subprocess.run(["cp", "-r", three_versions, tmp_path / "copy"], check=True)
    return tmp_path / "copy"


def test_two_versions_stay_by_default(tmp_path: Path) -> None:
    for _ in range(3):
        export(tmp_path)
    assert numbers(tmp_path) == [2, 3]


def test_keep_says_how_many_stay(repository: Path) -> None:
    export(repository, keep=3)
    assert numbers(repository) == [2, 3, 4]
    export(repository, keep=1)
    assert numbers(repository) == [5]


def test_the_version_served_before_stays_although_it_is_old(repository: Path) -> None:
    activate(repository, "nitrogen", 1, None)
    export(repository)
    assert numbers(repository) == [1, 4]
    assert rollback(repository, "nitrogen", None) == 1


def test_activate_and_rollback_change_what_the_next_start_loads(repository: Path) -> None:
    activate(repository, "nitrogen", 1, None)
    assert served_number(repository, "nitrogen") == 1
    manifest = json.loads((repository / "nitrogen" / "manifest.json").read_text())
    assert manifest["steps"] == 1

    assert rollback(repository, "nitrogen", None) == 3
    assert rollback(repository, "nitrogen", None) == 2
    assert served_number(repository, "nitrogen") == 2
    assert history(repository, "nitrogen") == [2]
    with pytest.raises(RepositoryError, match="no earlier version of nitrogen"):
        rollback(repository, "nitrogen", None)


def test_a_version_that_is_not_there_is_refused(repository: Path) -> None:
    with pytest.raises(RepositoryError, match="no version 7 of nitrogen; its versions: 1, 2, 3"):
        activate(repository, "nitrogen", 7, None)
    with pytest.raises(RepositoryError, match="no version 1 of other; its versions: none"):
        activate(repository, "other", 1, None)
    assert served_number(repository, "nitrogen") == 3


def test_exports_at_once_that_each_remove_old_versions_all_end_well(repository: Path) -> None:
    command = [sys.executable, "-m", "export", str(checkpoint_path("tiny")), f"--repository={repository}"]
    exports = [subprocess.Popen([*command, "--keep=1", f"--steps={steps}"]) for steps in (1, 2, 3)]

    assert [process.wait(120) for process in exports] == [0, 0, 0]
    assert numbers(repository) == [served_number(repository, "nitrogen")]
    assert history(repository, "nitrogen") == numbers(repository)


def publish_unprivileged(repository: Path) -> subprocess.CompletedProcess[str]:
    """Publish one more version of two that are kept, as a user who may not write everywhere."""
    script = (
        "import logging, sys\nfrom pathlib import Path\n"
        "from tests.export.light_versions import publish_light\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "publish_light(Path(sys.argv[1]), 1, keep=2)"
    )
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    command = [*unprivileged, sys.executable, "-c", script, str(repository)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_an_old_version_that_is_write_protected_stays_with_a_warning(repository: Path) -> None:
    protected = repository / "nitrogen" / "1"
    protected.chmod(0o555)

    assert (
        f"version 1 of nitrogen stays, because {protected} cannot be removed (Permission denied): "
        f"it is write-protected: chmod -R u+w {protected}, or remove it by hand\n"
    ) in publish_unprivileged(repository).stderr
    assert numbers(repository) == [1, 3, 4]
    assert served_number(repository, "nitrogen") == 4
    publish_unprivileged(repository)
    assert numbers(repository) == [1, 4, 5]
    assert all(version.is_whole for version in versions(repository, "nitrogen"))


def test_a_partly_removed_old_version_is_not_listed(repository: Path) -> None:
    stubborn = repository / "nitrogen" / "1" / "notes"
    stubborn.mkdir()
    (stubborn / "file").write_text("")
    stubborn.chmod(0o555)

    assert "is no longer needed, but cannot be removed" in publish_unprivileged(repository).stderr
    assert numbers(repository) == [3, 4]
    [left] = (repository / "nitrogen").glob(".1.*.removed")
    (left / "notes").chmod(0o755)
    publish_unprivileged(repository)
    assert list((repository / "nitrogen").glob(".*")) == []


def test_what_a_killed_replacement_left_comes_back(repository: Path) -> None:
    (repository / "nitrogen" / "2").rename(repository / "nitrogen" / ".2.replaced")

    export(repository, keep=0)
    assert numbers(repository) == [1, 2, 3, 4]


def test_list_shows_versions_with_their_facts(repository: Path) -> None:
    activate(repository, "nitrogen", 2, None)
    header, *rows = describe_versions(repository).splitlines()

    assert header.split()[:5] == ["model", "version", "served", "format", "precision"]
    assert [row.split()[:3] for row in rows] == [
        ["nitrogen", "1", "torchscript"],
        ["nitrogen", "2", "yes"],
        ["nitrogen", "3", "torchscript"],
    ]
    assert str(checkpoint_path("tiny")) in rows[0]


def test_list_as_json_has_all_facts(repository: Path) -> None:
    documents = json.loads(describe_versions(repository, as_json=True))

    assert [(entry["version"], entry["served"]) for entry in documents] == [(1, False), (2, False), (3, True)]
    assert [entry["facts"]["inference_steps"] for entry in documents] == [1, 2, 3]
    assert list(documents[0]["facts"]) == [
        "checkpoint_path",
        "checkpoint_sha256",
        "adapter_sha256",
        "action_horizon",
        "context_length",
        "games",
        "old_layout",
        "action_interleaving",
        "inference_steps",
        "cfg_scale",
        "precision",
        "conditioning",
        "accuracy",
    ]
    assert documents[0]["manifest"] == json.loads((repository / "nitrogen/1/manifest.json").read_text())
    assert documents[0]["manifest"]["files"]["model.pt"]["sha256"]


def test_list_of_an_empty_repository_says_so(tmp_path: Path) -> None:
    assert describe_versions(tmp_path / "nowhere") == f"no published models in {tmp_path / 'nowhere'}\n"


def test_a_model_of_others_is_neither_replaced_nor_tidied_up(tmp_path: Path) -> None:
    other = tmp_path / "resnet"
    (other / "1").mkdir(parents=True)
    (other / "config.pbtxt").write_text('name: "resnet"')

    with pytest.raises(RepositoryError, match=r"config.pbtxt is not this export's: choose another --name"):
        export(tmp_path, name="resnet")
    assert (other / "1").is_dir()


def test_folders_of_others_are_left_alone(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    stranger = repository / "nitrogen" / "4"
    stranger.mkdir()
    (stranger / "config.pbtxt").write_text('name: "nitrogen"')
    (repository / "README").write_text("a file")

    with caplog.at_level(logging.WARNING):
        assert [version.number for version in all_versions(repository)] == [1, 2, 3]
    export(repository, keep=1)
    assert stranger.is_dir()
    assert f"{stranger} is not used: model 'nitrogen' was not published by this export" in caplog.text


def test_the_command_line_lists_activates_and_rolls_back(repository: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "export", *words, f"--repository={repository}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run("activate", "nitrogen", "1", "--triton=none").stdout == (
        "the next start of Triton loads nitrogen, version 1\n"
    )
    assert run("list").stdout == describe_versions(repository)
    assert run("rollback", "nitrogen", "--triton=none").stdout.endswith("version 3\n")

    unreachable = run("activate", "nitrogen", "1", "--triton=127.0.0.1:9")
    assert unreachable.returncode == 1
    assert "no Triton answers at 127.0.0.1:9 (Connection refused): give its" in unreachable.stderr
    assert served_number(repository, "nitrogen") == 3
