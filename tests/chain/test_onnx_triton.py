"""The Python-based onnxruntime backend in a real Triton: batches, failures, weights beside the graph."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from export.checkpoint.reader import read_checkpoint
from export.formats.format import FORMATS
from export.formats.onnx_graph import save_onnx
from export.network.model import NitroGen
from export.network.precision import lower_precision
from export.network.weights import load_model
from export.publish import choose_sampling
from export.repository.triton_config import read_config, write_config
from export.settings import ModelSettings
from tests.chain.direct import DirectCalls, no_previous
from tests.chain.served_models import triton_serving
from tests.golden import checkpoint_path
from tests.stack import wait_until

MODEL = "nitrogen"  # whose statistics DirectCalls reads


def new_network() -> NitroGen:
    path = checkpoint_path("tiny-ctx")
    checkpoint = read_checkpoint(path, path.parent)
    return load_model(checkpoint, choose_sampling(checkpoint, ModelSettings()))


@pytest.fixture(scope="module")
def network() -> NitroGen:
    return new_network()


def publish(network: NitroGen, folder: Path) -> None:
    """Saved as large models are; runs when four samples wait; its config lets noise of any length through."""
    (folder / "1").mkdir(parents=True)
    save_onnx(network, folder / "1" / "model.onnx", one_file_bytes=0)
    config = read_config(FORMATS["onnx"].original)
    config.name = folder.name
    config.max_batch_size = 4
    config.dynamic_batching.max_queue_delay_microseconds = 20_000_000
    config.input[0].dims[0] = network.context_length
    config.input[3].dims[0] = -1
    write_config(config, folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx") / "models"


@pytest.fixture(scope="module")
def grpc_port(models: Path, network: NitroGen) -> Iterator[int]:
    publish(network, models / MODEL)
    with triton_serving(models, [MODEL], models.parent) as grpc_port:
        yield grpc_port


@pytest.fixture(scope="module")
def calls(grpc_port: int) -> Iterator[DirectCalls]:
    with DirectCalls(grpc_port) as calls:
        yield calls


def samples(count: int, horizon: int) -> dict[str, NDArray[Any]]:
    """A request for `tiny-ctx`, another one for each `count`."""
    rng = np.random.default_rng(count)
    return {
        "frames": rng.integers(0, 256, (count, 3, 256, 256, 3), dtype=np.uint8),
        "frame_count": rng.integers(1, 4, (count, 1)),
        "game_id": rng.integers(0, 6, (count, 1)),
        "noise": rng.standard_normal((count, horizon, 25), dtype=np.float32),
        **no_previous(count, horizon),
    }


def test_requests_of_one_batch_each_get_their_own_actions(calls: DirectCalls, network: NitroGen) -> None:
    requests = [samples(count, horizon=18) for count in (1, 3)]
    inferences, executions = calls.inference_counts()

    with ThreadPoolExecutor() as pool:
        replies = list(pool.map(lambda request: calls.batch(MODEL, request), requests))

    wait_until(lambda: calls.inference_counts() == (inferences + 4, executions + 1), "one batch is counted")
    for request, reply in zip(requests, replies, strict=True):
        expected = network(*map(torch.from_numpy, request.values()))[-1].numpy()
        np.testing.assert_allclose(reply["actions"], expected, rtol=0, atol=1e-3)


def test_replies_write_nothing_to_the_log(calls: DirectCalls, models: Path) -> None:
    log = models.parent / "triton.log"
    before = log.read_text()
    for _ in range(3):
        calls.batch(MODEL, samples(4, horizon=18))
    assert log.read_text() == before


def test_a_batch_that_fails_fails_for_each_of_its_requests_and_for_no_other(
    calls: DirectCalls,
) -> None:
    def error(request: dict[str, NDArray[Any]]) -> str:
        with pytest.raises(InferenceServerException) as failure:
            calls.batch(MODEL, request)
        return str(failure.value)

    short = [samples(count, horizon=17) | no_previous(count, 18) for count in (1, 3)]
    with ThreadPoolExecutor() as pool:
        errors = list(pool.map(error, short))

    assert all("Got invalid dimensions for input: noise" in message for message in errors)
    assert calls.batch(MODEL, samples(4, horizon=18))["actions"].shape == (4, 18, 25)


@pytest.mark.python_stub
def test_bf16_on_a_cpu_is_said_in_a_sentence(models: Path, grpc_port: int) -> None:
    network = new_network()
    lower_precision(network, "bf16")
    publish(network, models / "half")

    with triton.InferenceServerClient(f"127.0.0.1:{grpc_port}") as client:
        sentence = (
            "half needs operators .* bf16 does on CPUs: export with --precision fp32, or .*onnxruntime-gpu"
        )
        with pytest.raises(InferenceServerException, match=sentence):
            client.load_model("half")
