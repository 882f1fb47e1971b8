"""Which checkpoint and which variant `python -m standalone` serves, from a name, flags and a repository."""

import os
from pathlib import Path

import numpy as np
import pytest

from export.formats.self_check import BOUNDS
from export.publish import export_checkpoint
from export.repository.served import served_number
from export.repository.versions import versions
from export.settings import ExportOptions, ModelSettings
from tests.golden import GOLDEN, checkpoint_path
from tests.pictures import picture
from tests.stack import PickleClient, Stack, running_stack
from tests.stand_ins.hub_server import running_hub

pytestmark = pytest.mark.slow


def arguments(repository: Path, *more: str) -> tuple[str, ...]:
    return (str(checkpoint_path("tiny")), f"--repository={repository}", "--format=torchscript", *more)


def steps(stack: Stack, **fields: object) -> int:
    with PickleClient(stack.zmq_port) as client:
        return int(client.request(type="info", **fields)["info"]["inference_steps"])


def test_with_nothing_but_the_hubs_address_a_model_is_fetched_and_served(tmp_path: Path) -> None:
    with running_hub() as hub:
        hub.put("nvidia/NitroGen", "ng.pt", checkpoint_path("tiny").read_bytes())
        tower = "siglip2-tiny-patch16-256"
        hub.put(tower, "config.json", (GOLDEN / "tiny" / tower / "config.json").read_bytes(), large=False)
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "*"}

        for start in ("first", "second"):
            asked = len(hub.requests)
            with (
                running_stack("--precision=fp32", cwd=tmp_path, env=environment) as stack,
                PickleClient(stack.zmq_port) as client,
            ):
                info = client.request(type="info")["info"]
                pred = client.request(type="predict", image=picture(1), seed=1)["pred"]
            assert pred["buttons"].shape == (16, 21)
            assert info["ckpt_path"] == "models/nvidia/NitroGen/ng.pt"
            assert (len(hub.requests) > asked) is (start == "first")

    assert (tmp_path / "models" / "nvidia" / "NitroGen" / "ng.pt").read_bytes() == checkpoint_path(
        "tiny"
    ).read_bytes()


def test_without_flags_the_checkpoints_own_sampling_is_served(tiny_repository: Path, tmp_path: Path) -> None:
    """Also when the newest version of the checkpoint was exported otherwise."""
    tiny = checkpoint_path("tiny")
    export_checkpoint(ExportOptions(tiny, tiny_repository, ModelSettings(steps=2, precision="fp32")))
    guided = ModelSettings(cfg_scale=2.0, precision="fp32")
    export_checkpoint(ExportOptions(tiny, tiny_repository, guided, keep=0))

    with running_stack(*arguments(tiny_repository), cwd=tmp_path) as stack:
        assert steps(stack) == 4
    assert served_number(tiny_repository, "nitrogen") == 1


def test_other_models_of_the_repository_are_loaded_beside_it(tiny_repository: Path, tmp_path: Path) -> None:
    fast = ModelSettings(steps=1, precision="fp32")
    export_checkpoint(ExportOptions(checkpoint_path("tiny"), tiny_repository, fast, name="nitrogen-fast"))

    with running_stack(*arguments(tiny_repository, "--load=*"), cwd=tmp_path) as stack:
        assert steps(stack) == 4
        assert steps(stack, model="nitrogen-fast") == 1


def test_a_model_that_is_not_in_the_repository_is_named(tiny_repository: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"--load other: .* has no such model; its models: nitrogen"),
        running_stack(*arguments(tiny_repository, "--load=other"), cwd=tmp_path),
    ):
        pass


def test_onnx_is_served_by_the_same_chain(tiny_repository: Path, tmp_path: Path) -> None:
    preds = []
    for form in ("torchscript", "onnx"):
        with (
            running_stack(*arguments(tiny_repository, f"--format={form}"), cwd=tmp_path) as stack,
            PickleClient(stack.zmq_port) as client,
        ):
            preds.append(client.request(type="predict", image=picture(1), seed=1)["pred"])
            assert client.request(type="info")["info"]["model"].endswith(
                {"torchscript": "nitrogen", "onnx": "nitrogen-onnx"}[form]
            )
    for part in ("j_left", "j_right", "buttons"):
        np.testing.assert_allclose(preds[0][part], preds[1][part], rtol=0, atol=1e-4)


def test_the_fastest_format_is_served_under_the_usual_name(tiny_repository: Path, tmp_path: Path) -> None:
    """ONNX, because the precision is fp32; the repository holds TorchScript, which stays there."""
    preds = []
    for format_ in ("torchscript", "auto"):
        flags = arguments(tiny_repository, f"--format={format_}", "--precision=fp32")
        with running_stack(*flags, cwd=tmp_path) as stack, PickleClient(stack.zmq_port) as client:
            preds.append(client.request(type="predict", image=picture(1), seed=1)["pred"])
            assert client.request(type="info")["info"]["model"] == "nitrogen"
        assert any("--format auto: onnx" in line for line in stack.lines) is (format_ == "auto")

    made = [version.manifest.made.formats for version in versions(tiny_repository, "nitrogen")]
    assert made == [("torchscript",), ("onnx",)]
    for part in ("j_left", "j_right", "buttons"):
        np.testing.assert_allclose(preds[0][part], preds[1][part], rtol=0, atol=1e-4)


def test_bf16_is_served_with_float32_in_and_out(tiny_repository: Path, tmp_path: Path) -> None:
    preds = []
    for precision in ("fp32", "bf16"):
        flags = arguments(tiny_repository, f"--precision={precision}")
        with running_stack(*flags, cwd=tmp_path) as stack, PickleClient(stack.zmq_port) as client:
            preds.append(client.request(type="predict", image=picture(1), seed=1)["pred"])
    [first, second] = versions(tiny_repository, "nitrogen")
    assert (first.facts.precision, second.facts.precision) == ("fp32", "bf16")
    assert preds[1]["j_left"].dtype == np.float32
    difference = np.abs(preds[0]["j_left"] - preds[1]["j_left"]).mean()
    assert 0 < difference <= 2 * BOUNDS["bf16"].mean_difference  # a stick is 2x - 1


def test_the_flags_that_say_what_is_served_may_come_from_the_environment(tmp_path: Path) -> None:
    """Those of `nitrogen-export` that this command has no flag of mean nothing to it."""
    environment = {
        "NITROGEN_CHECKPOINT": str(checkpoint_path("tiny")),
        "NITROGEN_STEPS": "2",
        "NITROGEN_PRECISION": "fp32",
        "NITROGEN_LORA": "",
        "NITROGEN_MAX_BATCH_SIZE": "3",
        "NITROGEN_MODEL": "nitrogen-other",
    }
    with running_stack("--repository=r", cwd=tmp_path, env={**os.environ, **environment}) as stack:
        assert steps(stack) == 2
    [version] = versions(tmp_path / "r", "nitrogen")
    assert version.manifest.requested.max_batch_size is None


def test_the_models_folder_may_come_from_the_environment(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "nvidia" / "NitroGen"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(GOLDEN / "tiny")
    environment = {"NITROGEN_MODELS_DIR": str(tmp_path / "kept"), "HF_HUB_OFFLINE": "1"}

    with running_stack("--precision=fp32", cwd=tmp_path, env={**os.environ, **environment}) as stack:
        assert steps(stack) == 4
