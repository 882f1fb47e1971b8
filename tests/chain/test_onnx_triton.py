"""The golden cases through the ONNX form in a real Triton; each guidance scale is a graph of its own."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from export.checkpoint.reader import read_checkpoint
from export.formats.onnx_graph import save_onnx
from export.network.model import NitroGen, Sampling
from export.network.weights import load_model
from export.repository.triton_config import ORIGINALS, read_config, write_config
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
BATCHING = "nitrogen"  # whose statistics DirectCalls reads


def model_name(checkpoint: str, cfg_scale: float) -> str:
    return f"{checkpoint}-scale-{cfg_scale:g}-onnx"


def build(checkpoint_name: str, cfg_scale: float) -> NitroGen:
    checkpoint = read_checkpoint(checkpoint_path(checkpoint_name), Path("models"))
    config = checkpoint.config
    sampling = Sampling(
        config.modality_cfg.frame_per_sample, config.model_cfg.num_inference_timesteps, cfg_scale
    )
    return load_model(checkpoint.tensors, config, checkpoint.vision, len(checkpoint.games), sampling)


def config_for(model: NitroGen, name: str) -> model_config_pb2.ModelConfig:
    """The original config with the checkpoint's shapes."""
    config = read_config(ORIGINALS["onnx"])
    config.name = name
    for tensor in (*config.input, *config.output):
        if tensor.name == "frames":
            tensor.dims[0] = model.context_length
        elif tensor.name not in {"frame_count", "game_id"}:
            tensor.dims[0] = model.horizon
    return config


def publish(model: NitroGen, folder: Path) -> None:
    (folder / "1").mkdir(parents=True)
    save_onnx(model, folder / "1" / "model.onnx")
    write_config(config_for(model, folder.name), folder)


def publish_batching(model: NitroGen, folder: Path) -> None:
    """Saved as large models are; runs when four samples wait; its config lets noise of any length through."""
    (folder / "1").mkdir(parents=True)
    save_onnx(model, folder / "1" / "model.onnx", one_file_bytes=0)
    config = config_for(model, folder.name)
    config.max_batch_size = 4
    config.dynamic_batching.max_queue_delay_microseconds = 20_000_000
    config.input[3].dims[0] = -1
    write_config(config, folder)


@pytest.fixture(scope="module")
def batching_model() -> NitroGen:
    return build("tiny-ctx", 1.0)


@pytest.fixture(scope="module")
def golden_models(
    tmp_path_factory: pytest.TempPathFactory, batching_model: NitroGen
) -> Iterator[DirectCalls]:
    """One Triton that serves every golden checkpoint at every guidance scale of its cases."""
    folder = tmp_path_factory.mktemp("golden-onnx")
    names = [model_name(*scale) for scale in SCALES]
    for name, scale in zip(names, SCALES, strict=True):
        publish(build(*scale), folder / "models" / name)
    publish_batching(batching_model, folder / "models" / BATCHING)
    ports = TritonPorts(free_port(), free_port(), free_port())
    server = local_triton(folder / "models", [*names, BATCHING], ports, folder)
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


def samples(count: int, horizon: int) -> dict[str, NDArray[Any]]:
    """A request for `tiny-ctx`, another one for each `count`."""
    rng = np.random.default_rng(count)
    return {
        "frames": rng.integers(0, 256, (count, 3, 256, 256, 3), dtype=np.uint8),
        "frame_count": rng.integers(1, 4, (count, 1)),
        "game_id": rng.integers(0, 6, (count, 1)),
        "noise": rng.standard_normal((count, horizon, 25), dtype=np.float32),
    }


def test_requests_of_one_batch_each_get_their_own_actions(
    golden_models: DirectCalls, batching_model: NitroGen
) -> None:
    requests = [samples(count, horizon=18) for count in (1, 3)]
    inferences, executions = golden_models.inference_counts()

    with ThreadPoolExecutor() as pool:
        replies = list(pool.map(lambda request: golden_models.batch(BATCHING, request), requests))

    assert golden_models.inference_counts() == (inferences + 4, executions + 1)
    for request, reply in zip(requests, replies, strict=True):
        expected = batching_model(*map(torch.from_numpy, request.values()))[-1].numpy()
        np.testing.assert_allclose(reply["actions"], expected, rtol=0, atol=1e-3)


def test_a_batch_that_fails_fails_for_each_of_its_requests_and_for_no_other(
    golden_models: DirectCalls,
) -> None:
    def error(request: dict[str, NDArray[Any]]) -> str:
        with pytest.raises(InferenceServerException) as failure:
            golden_models.batch(BATCHING, request)
        return str(failure.value)

    with ThreadPoolExecutor() as pool:
        errors = list(pool.map(error, [samples(count, horizon=17) for count in (1, 3)]))

    assert all("Got invalid dimensions for input: noise" in message for message in errors)
    assert golden_models.batch(BATCHING, samples(4, horizon=18))["actions"].shape == (4, 18, 25)
