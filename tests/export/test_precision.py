"""Low precision: what it costs on the golden cases, when it is chosen, and when it is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from export.errors import OptionError, VerificationError
from export.formats.format import FORMATS, Format
from export.formats.self_check import BOUNDS
from export.machine import bf16_units
from export.publish import export_checkpoint
from export.repository.versions import Version
from export.settings import Precision
from tests.export.golden_networks import golden_inputs
from tests.export.options import options
from tests.golden import CHECKPOINTS, GOLDEN, checkpoint_path, decode, golden_cases


def export(checkpoint: Path, repository: Path, **changes: object) -> Version:
    [version] = export_checkpoint(options(checkpoint, repository, **changes))
    return version


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_golden_cases_are_within_the_stated_bound(
    tmp_path: Path, name: str, precision: Precision, form: Format
) -> None:
    wanted = {"precision": precision, "formats": (form.name,), "device_kind": "gpu"}
    version = export(checkpoint_path(name), tmp_path, **wanted)
    graph = form.writer().load(version.folder / form.file_name)

    differences, flips = [], []
    for case in golden_cases(name):
        if case.cfg_scale != 1.0:
            continue
        outputs = graph(golden_inputs(case))
        assert {output.dtype for output in outputs} == {torch.float32}
        actions = outputs[3][0].numpy()
        differences.append(np.abs(actions - case.actions))
        flips.append(decode(actions, old_layout=case.old_layout)[2] != case.buttons)

    bound = BOUNDS[precision]
    assert 1e-4 < np.mean(differences) <= bound.mean_difference
    assert np.max(differences) <= bound.max_difference
    assert np.mean(flips) <= bound.flipped_buttons


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_self_checks_figures_are_in_the_config_and_the_manifest(
    tmp_path: Path, precision: Precision
) -> None:
    version = export(checkpoint_path("tiny"), tmp_path, precision=precision)

    assert version.facts.precision == version.manifest.made.precision == precision
    assert 1e-4 < version.facts.accuracy.mean_difference <= BOUNDS[precision].mean_difference
    measured = version.manifest.self_check
    assert measured["mean_difference"] == pytest.approx(version.facts.accuracy.mean_difference, rel=1e-2)
    assert (tmp_path / "nitrogen" / "1" / "model.pt").stat().st_size < 0.7 * float32_bytes(tmp_path)


def float32_bytes(tmp_path: Path) -> int:
    version = export(checkpoint_path("tiny"), tmp_path / "fp32", precision="fp32")
    return version.manifest.files["model.pt"].bytes


def test_auto_takes_bf16_where_the_device_multiplies_it(tmp_path: Path) -> None:
    on_this_cpu = export(checkpoint_path("tiny"), tmp_path, device_kind="cpu")
    on_a_gpu = export(checkpoint_path("tiny"), tmp_path, device_kind="gpu")

    assert on_this_cpu.facts.precision == ("bf16" if bf16_units() else "fp32")
    assert on_a_gpu.facts.precision == "bf16"


def checkpoint_that_overflows(folder: Path, value: float) -> Path:
    """A copy of `tiny` with a bias that float16 cannot hold, or bfloat16 holds too coarsely."""
    shutil.copytree(GOLDEN / "tiny", folder)
    content = torch.load(folder / "ng.pt", weights_only=True)
    content["model"]["action_decoder.layer2.b"][:] = value
    torch.save(content, folder / "ng.pt")
    return folder / "ng.pt"


def test_a_precision_that_is_off_by_more_than_its_bound_stops(tmp_path: Path) -> None:
    checkpoint = checkpoint_that_overflows(tmp_path / "checkpoint", 1e5)

    with pytest.raises(VerificationError, match="the saved fp16 graph differs too much"):
        export(checkpoint, tmp_path / "repository", precision="fp16")
    assert list((tmp_path / "repository" / "nitrogen").iterdir()) == []


def test_auto_falls_back_to_float32(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = checkpoint_that_overflows(tmp_path / "checkpoint", 1001.0)

    version = export(checkpoint, tmp_path / "repository", device_kind="gpu")
    assert version.facts.precision == "fp32"
    assert "bf16 graph differs too much" in caplog.text


def test_bf16_for_onnx_is_for_gpus(tmp_path: Path) -> None:
    checkpoint = checkpoint_path("tiny")
    with pytest.raises(OptionError, match=r"ONNX Runtime runs bf16 on GPUs only: .* --device-kind gpu"):
        export(checkpoint, tmp_path, precision="bf16", formats=("onnx",), device_kind="cpu")
    assert list(tmp_path.iterdir()) == []

    of_a_gpu = export(checkpoint, tmp_path, precision="bf16", formats=("onnx",), device_kind="gpu")

    assert of_a_gpu.facts.precision == "bf16"
    assert 1e-3 < of_a_gpu.facts.accuracy.mean_difference <= BOUNDS["bf16"].mean_difference


def test_auto_is_what_every_onnx_runtime_has(tmp_path: Path) -> None:
    of_a_gpu = export(checkpoint_path("tiny"), tmp_path, formats=("onnx",), device_kind="gpu")

    assert of_a_gpu.facts.precision == "fp32"
