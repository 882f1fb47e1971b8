"""The repository after an export, also when something is wrong."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.errors import OptionError, RepositoryError, VerificationError
from export.formats.format import FORMATS
from export.publish import export_checkpoint
from export.repository.versions import Version, versions
from export.settings import FormatName
from tests.export.options import options
from tests.golden import GOLDEN, checkpoint_path


def export(repository: Path, checkpoint: str = "tiny", **changes: object) -> Version:
    fixed = {"steps": 1, "precision": "fp32", **changes}
    [version] = export_checkpoint(options(checkpoint_path(checkpoint), repository, **fixed))
    return version


def config_of(folder: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def parameters(config: model_config_pb2.ModelConfig) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def one_version(number: int) -> set[str]:
    """Everything in the folder of a model with one version."""
    inside = {f"{number}/{name}" for name in ("model.pt", "config.pbtxt", "manifest.json")}
    return {"config.pbtxt", "manifest.json", "history.json", str(number), *inside}


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_published_model_is_complete(tmp_path: Path) -> None:
    version = export(tmp_path, "tiny-ctx", max_batch_size=4, device_kind="gpu")

    assert version.folder == tmp_path / "nitrogen" / "1"
    assert everything_in(tmp_path / "nitrogen") == one_version(1)
    config = config_of(tmp_path / "nitrogen")
    assert (config.name, config.backend, config.max_batch_size) == ("nitrogen", "pytorch", 4)
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.HasField("default_queue_policy")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert {tensor.name: list(tensor.dims) for tensor in config.input} == {
        "frames": [3, 256, 256, 3],
        "frame_count": [1],
        "game_id": [1],
        "noise": [18, 25],
        "previous": [18, 25],
        "previous_weight": [18],
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


@pytest.mark.parametrize("form", ["torchscript", "onnx"])
def test_the_original_in_git_is_what_a_released_checkpoint_gets(form: FormatName) -> None:
    config = text_format.Parse(FORMATS[form].original.read_text(), model_config_pb2.ModelConfig())

    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO
    assert list(config.input[3].dims) == [18, 25]
    assert FORMATS[form].original.read_text().count("#") > 10


def test_the_next_export_is_the_next_version_and_the_one_served(tmp_path: Path) -> None:
    export(tmp_path)
    export(tmp_path, "tiny-ctx", cfg_scale=2.0)

    config = config_of(tmp_path / "nitrogen")
    assert list(config.version_policy.specific.versions) == [2]
    assert parameters(config)["cfg_scale"] == "2.0"
    assert list(config.input[0].dims) == [3, 256, 256, 3]


def test_triton_bounds_its_queue_when_asked_to(tmp_path: Path) -> None:
    version = export(tmp_path, max_queue_size=5)

    policy = config_of(tmp_path / "nitrogen").dynamic_batching.default_queue_policy
    assert (policy.timeout_action, policy.max_queue_size) == (policy.REJECT, 5)
    assert policy.allow_timeout_override
    assert version.manifest.made.max_queue_size == 5


def test_triton_runs_as_many_instances_as_asked_for(tmp_path: Path) -> None:
    version = export(tmp_path, triton_instances=3)

    assert config_of(tmp_path / "nitrogen").instance_group[0].count == 3
    assert version.manifest.made.triton_instances == 3


def test_every_batch_size_is_warmed_up(tmp_path: Path) -> None:
    config = config_of(export(tmp_path, max_batch_size=3).folder)

    assert [(sample.batch_size, sample.count) for sample in config.model_warmup] == [(1, 1), (2, 1), (3, 1)]
    for sample in config.model_warmup:
        assert {name: list(value.dims) for name, value in sample.inputs.items()} == {
            tensor.name: list(tensor.dims) for tensor in config.input
        }


def test_the_manifest_says_what_the_version_was_made_from(tmp_path: Path) -> None:
    version = export(tmp_path, context_length=1)

    manifest = json.loads((version.folder / "manifest.json").read_text())
    assert manifest == json.loads((tmp_path / "nitrogen" / "manifest.json").read_text())
    checkpoint = checkpoint_path("tiny")
    assert manifest["checkpoint"] == {
        "origin": str(checkpoint),
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
    }
    assert manifest["files"] == {
        "model.pt": {
            "bytes": (version.folder / "model.pt").stat().st_size,
            "sha256": hashlib.sha256((version.folder / "model.pt").read_bytes()).hexdigest(),
        }
    }
    assert (manifest["requested"]["steps"], manifest["steps"], manifest["own_steps"]) == (1, 1, 4)
    assert (manifest["precision"], manifest["requested"]["precision"]) == ("fp32", "fp32")
    assert manifest["software"]["torch"] == torch.__version__
    assert manifest["self_check"]["max_difference"] <= 5e-5


def test_the_same_input_gives_the_same_file_in_every_process(tmp_path: Path) -> None:
    """Also under another order of Python's sets, which changes from process to process."""
    command = [sys.executable, "-m", "export", str(checkpoint_path("tiny-ctx")), "--steps=1", "--keep=0"]
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([*command, f"--repository={tmp_path}"], check=True, env=environment)

    first, *others = [version.manifest.files for version in versions(tmp_path, "nitrogen")]
    assert others == [first, first]


def test_an_existing_version_is_refused_unless_forced(tmp_path: Path) -> None:
    export(tmp_path, version=3)
    before = (tmp_path / "nitrogen" / "3" / "model.pt").read_bytes()

    with pytest.raises(RepositoryError, match=r"nitrogen/3 exists already: --force"):
        export(tmp_path, version=3, cfg_scale=2.0)
    assert (tmp_path / "nitrogen" / "3" / "model.pt").read_bytes() == before

    export(tmp_path, version=3, cfg_scale=2.0, force=True)
    assert [version.facts.cfg_scale for version in versions(tmp_path, "nitrogen")] == [2.0]
    assert everything_in(tmp_path / "nitrogen") == one_version(3)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="is not a model name"):
        export(tmp_path, name=name)


def test_an_impossible_context_is_refused_at_export(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"a context of 4 frames is impossible: .* 780 .* of 3;"):
        export(tmp_path, "tiny-ctx", context_length=4)


def test_a_smaller_context_is_taken(tmp_path: Path) -> None:
    export(tmp_path, "tiny-ctx", context_length=2)

    assert list(config_of(tmp_path / "nitrogen").input[0].dims) == [2, 256, 256, 3]


def test_weights_that_are_not_finite_publish_nothing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "tiny", tmp_path / "tiny"))
    content = torch.load(folder / "ng.pt", weights_only=True)
    content["model"]["model.proj_out_2.bias"][0] = float("nan")
    torch.save(content, folder / "ng.pt")

    with pytest.raises(VerificationError, match="NaN"):
        export_checkpoint(options(folder / "ng.pt", tmp_path / "repository", steps=1))
    assert not (tmp_path / "repository").exists()


def test_a_repository_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "repository").write_text("")

    with pytest.raises(RepositoryError, match="cannot be written"):
        export(tmp_path / "repository")


def test_a_repository_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    export(tmp_path)
    folders = [tmp_path, tmp_path / "nitrogen"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        # Root may write everywhere: without this capability it is a user like any other.
        unprivileged = (
            ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        )
        command = [*unprivileged, sys.executable, "-m", "export", str(checkpoint_path("tiny"))]
        result = subprocess.run(
            [*command, f"--repository={tmp_path}"], capture_output=True, text=True, check=False
        )
    finally:
        for folder in folders:
            folder.chmod(0o755)

    assert result.returncode == 1
    assert f"cannot be written into {tmp_path / 'nitrogen'}: Permission denied" in result.stderr
    assert everything_in(tmp_path / "nitrogen") == one_version(1)


def test_two_exports_at_once_become_two_versions(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", str(checkpoint_path("tiny")), f"--repository={tmp_path}"]
    exports = [subprocess.Popen([*command, f"--steps={steps}"]) for steps in (1, 2)]

    assert [process.wait(120) for process in exports] == [0, 0]
    assert {version.manifest.made.steps for version in versions(tmp_path, "nitrogen")} == {1, 2}
    assert [version.number for version in versions(tmp_path, "nitrogen")] == [1, 2]
