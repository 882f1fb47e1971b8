"""The golden cases through published models in a real Triton; each scale and form is a model of its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.tensors import OUTPUT_NAMES
from export.formats.format import FORMATS
from export.publish import export_checkpoint
from export.repository.versions import Version
from export.settings import ExportOptions, FormatName, ModelSettings
from tests.chain.direct import DirectCalls, no_previous
from tests.chain.served_models import triton_serving
from tests.export.exported_before import make_exported_before
from tests.export.golden_networks import golden_network
from tests.golden import (
    ACTIONS_TOLERANCE,
    CHECKPOINTS,
    GoldenCase,
    assert_case,
    checkpoint_path,
    decode,
    golden_cases,
)

pytestmark = pytest.mark.slow

CASES = {name: list(golden_cases(name)) for name in CHECKPOINTS}
BEFORE = "-before"
SCALES = sorted({(name, case.cfg_scale) for name in CHECKPOINTS for case in CASES[name]})


def model_name(checkpoint: str, cfg_scale: float) -> str:
    return f"{checkpoint}-scale-{cfg_scale:g}"


@dataclass
class Served:
    """A Triton with every golden checkpoint at every guidance scale of its cases, in one form."""

    form: FormatName
    calls: DirectCalls

    def outputs(self, checkpoint: str, cases: list[GoldenCase]) -> dict[str, NDArray[np.float32]]:
        """Return what the model of some cases, all of one scale, answers to them as one batch."""
        inputs = self.inputs(cases)
        inputs |= no_previous(*inputs["noise"].shape[:2])
        return self._answer(model_name(checkpoint, cases[0].cfg_scale), inputs)

    def outputs_before(self, checkpoint: str, cases: list[GoldenCase]) -> dict[str, NDArray[np.float32]]:
        """Return what the same model answered before chunk conditioning, at scale 1."""
        return self._answer(f"{checkpoint}{BEFORE}", self.inputs(cases))

    def inputs(self, cases: list[GoldenCase]) -> dict[str, NDArray[Any]]:
        return {
            "frames": np.stack([case.frames for case in cases]),
            "frame_count": np.array([[case.frame_count] for case in cases]),
            "game_id": np.array([[case.game_id] for case in cases]),
            "noise": np.stack([case.noise for case in cases]),
        }

    def _answer(self, model: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        return self.calls.batch(model + FORMATS[self.form].suffix, inputs)


def publish(checkpoint: str, name: str, form: FormatName, cfg_scale: float, models: Path) -> Version:
    settings = ModelSettings(formats=(form,), cfg_scale=cfg_scale, precision="fp32", max_batch_size=16)
    [version] = export_checkpoint(ExportOptions(checkpoint_path(checkpoint), models, settings, name=name))
    return version


@pytest.fixture(scope="module", params=FORMATS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("golden")
    form, models = request.param, folder / "models"
    published = [
        publish(checkpoint, model_name(checkpoint, cfg_scale), form, cfg_scale, models)
        for checkpoint, cfg_scale in SCALES
    ]
    for checkpoint in CHECKPOINTS:
        published.append(publish(checkpoint, f"{checkpoint}{BEFORE}", form, 1.0, models))
        make_exported_before(published[-1], golden_network(checkpoint))
    names = [version.model_name for version in published]
    with triton_serving(models, names, folder) as grpc_port, DirectCalls(grpc_port) as calls:
        yield Served(form, calls)


@pytest.mark.parametrize(
    ("checkpoint", "case"),
    [pytest.param(name, case, id=f"{name}-{case.index}") for name in CHECKPOINTS for case in CASES[name]],
)
def test_case_gets_the_reference_actions(served: Served, checkpoint: str, case: GoldenCase) -> None:
    outputs = served.outputs(checkpoint, [case])
    j_left, j_right, buttons, actions = (outputs[name][0] for name in OUTPUT_NAMES)
    config = json.loads(checkpoint_path(checkpoint).with_name("config.json").read_text())
    if case.old_layout != config["tokenizer_cfg"]["old_layout"]:
        # This case was decoded with the layout that is not the checkpoint's own.
        j_left, j_right, buttons = decode(actions, old_layout=case.old_layout)
    assert_case(case, (j_left, j_right, buttons, actions))


@pytest.mark.parametrize(("checkpoint", "cfg_scale"), SCALES)
def test_all_cases_of_a_scale_in_one_batch_get_the_reference_actions(
    served: Served, checkpoint: str, cfg_scale: float
) -> None:
    cases = [case for case in CASES[checkpoint] if case.cfg_scale == cfg_scale]
    outputs = served.outputs(checkpoint, cases)
    reference = np.stack([case.actions for case in cases])
    np.testing.assert_allclose(outputs["actions"], reference, rtol=0, atol=ACTIONS_TOLERANCE)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_model_exported_before_chunk_conditioning_answers_the_same_bit_for_bit(
    served: Served, checkpoint: str
) -> None:
    cases = [case for case in CASES[checkpoint] if case.cfg_scale == 1.0]
    for some in (cases, cases[:1]):
        outputs, before = served.outputs(checkpoint, some), served.outputs_before(checkpoint, some)
        for name in OUTPUT_NAMES:
            np.testing.assert_array_equal(outputs[name], before[name])
