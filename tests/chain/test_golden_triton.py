"""The golden cases through published models in a real Triton; each scale and form is a model of its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.tensors import OUTPUT_NAMES
from export.formats.format import FORMATS
from export.publish import export_checkpoint
from export.settings import ExportOptions, FormatName, ModelSettings
from tests.chain.direct import DirectCalls, no_previous
from tests.chain.served_models import triton_serving
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
SCALES = sorted({(name, case.cfg_scale) for name in CHECKPOINTS for case in CASES[name]})


def model_name(checkpoint: str, cfg_scale: float) -> str:
    return f"{checkpoint}-scale-{cfg_scale:g}"


@dataclass
class Served:
    """A Triton with every golden checkpoint at every guidance scale of its cases, in one form."""

    form: FormatName
    calls: DirectCalls

    def outputs(self, checkpoint: str, cases: list[GoldenCase]) -> dict[str, NDArray[np.float32]]:
        """What the model of some cases, all of one scale, answers to them as one batch."""
        noise = np.stack([case.noise for case in cases])
        return self.calls.batch(
            model_name(checkpoint, cases[0].cfg_scale) + FORMATS[self.form].suffix,
            {
                "frames": np.stack([case.frames for case in cases]),
                "frame_count": np.array([[case.frame_count] for case in cases]),
                "game_id": np.array([[case.game_id] for case in cases]),
                "noise": noise,
                **no_previous(*noise.shape[:2]),
            },
        )


@pytest.fixture(scope="module", params=FORMATS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("golden")
    names = []
    for checkpoint, cfg_scale in SCALES:
        [version] = export_checkpoint(
            ExportOptions(
                checkpoint_path(checkpoint),
                folder / "models",
                ModelSettings(
                    formats=(request.param,), cfg_scale=cfg_scale, precision="fp32", max_batch_size=16
                ),
                name=model_name(checkpoint, cfg_scale),
            )
        )
        names.append(version.model_name)
    with triton_serving(folder / "models", names, folder) as grpc_port, DirectCalls(grpc_port) as calls:
        yield Served(request.param, calls)


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
