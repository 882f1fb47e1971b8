"""The golden cases through exported models in a real Triton; each guidance scale is an export of its own."""

import asyncio
import json
from collections.abc import Iterator

import numpy as np
import pytest

from export.publish import ExportOptions, export_checkpoint
from standalone.triton_server import TritonPorts, local_triton
from tests.chain.direct import OUTPUTS, DirectCalls
from tests.golden import (
    ACTIONS_TOLERANCE,
    CHECKPOINTS,
    GoldenCase,
    assert_case,
    checkpoint_path,
    decode,
    golden_cases,
)
from tests.stack import free_port

CASES = {name: list(golden_cases(name)) for name in CHECKPOINTS}
SCALES = sorted({(name, case.cfg_scale) for name in CHECKPOINTS for case in CASES[name]})


def model_name(checkpoint: str, cfg_scale: float) -> str:
    return f"{checkpoint}-scale-{cfg_scale:g}"


@pytest.fixture(scope="module")
def golden_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectCalls]:
    """One Triton that serves every golden checkpoint at every guidance scale of its cases."""
    folder = tmp_path_factory.mktemp("golden")
    names = []
    for checkpoint, cfg_scale in SCALES:
        names.append(model_name(checkpoint, cfg_scale))
        export_checkpoint(
            ExportOptions(
                checkpoint_path(checkpoint),
                folder / "models",
                name=names[-1],
                cfg_scale=cfg_scale,
                precision="fp32",
                max_batch_size=16,
            )
        )
    ports = TritonPorts(free_port(), free_port(), free_port())
    server = local_triton(folder / "models", names, ports, folder)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:
            with DirectCalls(ports.grpc) as calls:
                yield calls
        finally:
            runner.run(server.stop())


@pytest.mark.parametrize(
    ("checkpoint", "case"),
    [pytest.param(name, case, id=f"{name}-{case.index}") for name in CHECKPOINTS for case in CASES[name]],
)
def test_case_gets_the_reference_actions(
    golden_models: DirectCalls, checkpoint: str, case: GoldenCase
) -> None:
    outputs = golden_models.batch(
        model_name(checkpoint, case.cfg_scale),
        {
            "frames": case.frames[np.newaxis],
            "frame_count": np.array([[case.frame_count]]),
            "game_id": np.array([[case.game_id]]),
            "noise": case.noise[np.newaxis],
        },
    )
    j_left, j_right, buttons, actions = (outputs[name][0] for name in OUTPUTS)
    config = json.loads(checkpoint_path(checkpoint).with_name("config.json").read_text())
    if case.old_layout != config["tokenizer_cfg"]["old_layout"]:
        # This case was decoded with the layout that is not the checkpoint's own.
        j_left, j_right, buttons = decode(actions, old_layout=case.old_layout)
    assert_case(case, (j_left, j_right, buttons, actions))


@pytest.mark.parametrize(("checkpoint", "cfg_scale"), SCALES)
def test_all_cases_of_a_scale_in_one_batch_get_the_reference_actions(
    golden_models: DirectCalls, checkpoint: str, cfg_scale: float
) -> None:
    cases = [case for case in CASES[checkpoint] if case.cfg_scale == cfg_scale]
    outputs = golden_models.batch(
        model_name(checkpoint, cfg_scale),
        {
            "frames": np.stack([case.frames for case in cases]),
            "frame_count": np.array([[case.frame_count] for case in cases]),
            "game_id": np.array([[case.game_id] for case in cases]),
            "noise": np.stack([case.noise for case in cases]),
        },
    )
    reference = np.stack([case.actions for case in cases])
    np.testing.assert_allclose(outputs["actions"], reference, rtol=0, atol=ACTIONS_TOLERANCE)
