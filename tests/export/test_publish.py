"""What ends up in the repository, and what does not when something is wrong."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.errors import IncompatibleVersionError, OptionError, RepositoryError, VerificationError
from export.publish import ExportOptions, export_checkpoint
from export.repository.triton_config import ORIGINAL
from export.repository.versions import serve_version, versions
from tests.golden import GOLDEN, checkpoint_path


def options(repository: Path, checkpoint: str = "tiny", **changes: object) -> ExportOptions:
    return ExportOptions(checkpoint_path(checkpoint), repository, steps=1, **changes)  # type: ignore[arg-type]


def config_of(folder: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def parameters(config: model_config_pb2.ModelConfig) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_published_model_is_complete(tmp_path: Path) -> None:
    folder = export_checkpoint(options(tmp_path, "tiny-ctx", max_batch_size=4, device_kind="gpu"))

    assert folder == tmp_path / "nitrogen" / "1"
    assert everything_in(tmp_path / "nitrogen") == {"config.pbtxt", "1", "1/model.pt", "1/config.pbtxt"}
    config = config_of(tmp_path / "nitrogen")
    assert (config.name, config.backend, config.max_batch_size) == ("nitrogen", "pytorch", 4)
    assert config.HasField("dynamic_batching")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert {tensor.name: list(tensor.dims) for tensor in config.input} == {
        "frames": [3, 256, 256, 3],
        "frame_count": [1],
        "game_id": [1],
        "noise": [18, 25],
    }
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [
        ("j_left", [18, 2]),
        ("j_right", [18, 2]),
        ("buttons", [18, 21]),
        ("actions", [18, 25]),
    ]
    facts = parameters(config)
    assert facts["checkpoint_path"] == str(checkpoint_path("tiny-ctx"))
    assert len(facts["checkpoint_sha256"]) == 64
    assert json.loads(facts["games"])[:2] == [None, "Celeste"]
    assert (facts["context_length"], facts["inference_steps"], facts["cfg_scale"]) == ("3", "1", "1.0")


def test_the_original_in_git_is_what_a_released_checkpoint_gets() -> None:
    config = text_format.Parse(ORIGINAL.read_text(), model_config_pb2.ModelConfig())

    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert list(config.input[3].dims) == [18, 25]
    assert ORIGINAL.read_text().count("#") > 10


def test_the_next_export_is_the_next_version_and_the_one_served(tmp_path: Path) -> None:
    export_checkpoint(options(tmp_path))
    export_checkpoint(options(tmp_path, cfg_scale=2.0))

    config = config_of(tmp_path / "nitrogen")
    assert list(config.version_policy.specific.versions) == [2]
    assert parameters(config)["cfg_scale"] == "2.0"

    serve_version(tmp_path, "nitrogen", 1)
    config = config_of(tmp_path / "nitrogen")
    assert list(config.version_policy.specific.versions) == [1]
    assert parameters(config)["cfg_scale"] == "1.0"


def test_an_existing_version_is_refused_unless_forced(tmp_path: Path) -> None:
    export_checkpoint(options(tmp_path, version=3))
    before = (tmp_path / "nitrogen" / "3" / "model.pt").read_bytes()

    with pytest.raises(RepositoryError, match=r"nitrogen/3 exists already: --force"):
        export_checkpoint(options(tmp_path, version=3, cfg_scale=2.0))
    assert (tmp_path / "nitrogen" / "3" / "model.pt").read_bytes() == before

    export_checkpoint(options(tmp_path, version=3, cfg_scale=2.0, force=True))
    assert [version.facts.cfg_scale for version in versions(tmp_path, "nitrogen")] == [2.0]
    assert everything_in(tmp_path / "nitrogen") == {"config.pbtxt", "3", "3/model.pt", "3/config.pbtxt"}


def test_versions_of_one_model_share_their_shape(tmp_path: Path) -> None:
    export_checkpoint(options(tmp_path))

    with pytest.raises(
        IncompatibleVersionError, match="horizon 16, context 1, 0 games; the new one: horizon 18"
    ):
        export_checkpoint(options(tmp_path, "tiny-ctx"))
    assert everything_in(tmp_path / "nitrogen") == {"config.pbtxt", "1", "1/model.pt", "1/config.pbtxt"}

    export_checkpoint(options(tmp_path, "tiny-ctx", name="other"))
    export_checkpoint(options(tmp_path, "tiny-ctx", version=1, force=True))
    assert versions(tmp_path, "nitrogen")[0].facts.action_horizon == 18


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="is no model name"):
        export_checkpoint(options(tmp_path, name=name))


def test_an_impossible_context_is_refused_at_export(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"a context of 4 frames is impossible: .* 780 .* of 3;"):
        export_checkpoint(options(tmp_path, "tiny-ctx", context_length=4))


def test_a_smaller_context_is_taken(tmp_path: Path) -> None:
    export_checkpoint(options(tmp_path, "tiny-ctx", context_length=2))

    assert list(config_of(tmp_path / "nitrogen").input[0].dims) == [2, 256, 256, 3]


def test_weights_that_are_not_finite_publish_nothing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "tiny", tmp_path / "tiny"))
    content = torch.load(folder / "ng.pt", weights_only=True)
    content["model"]["model.proj_out_2.bias"][0] = float("nan")
    torch.save(content, folder / "ng.pt")

    with pytest.raises(VerificationError, match="NaN"):
        export_checkpoint(ExportOptions(folder / "ng.pt", tmp_path / "repository", steps=1))
    assert everything_in(tmp_path / "repository" / "nitrogen") == set()


def test_what_a_killed_export_left_is_removed_but_not_what_another_one_writes(tmp_path: Path) -> None:
    model_folder = tmp_path / "nitrogen"
    abandoned, busy = model_folder / ".1.11.partial", model_folder / ".1.12.partial"
    for folder in (abandoned, busy):
        folder.mkdir(parents=True)
        (folder / "model.pt").write_bytes(b"half of it")

    descriptor = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        export_checkpoint(options(tmp_path))
    finally:
        os.close(descriptor)

    assert not abandoned.exists()
    assert (busy / "model.pt").exists()


def test_a_repository_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repository").write_text("")

    with pytest.raises(RepositoryError, match="cannot be written"):
        export_checkpoint(options(tmp_path / "repository"))
