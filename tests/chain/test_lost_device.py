"""A GPU that fails every call after one error: Triton ends, is started again, and answers as before.

`NITROGEN_CUDA_GRAPHS=stand-in` has a CPU in the place of the GPU.
"""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from tritonclient.utils import InferenceServerException

from export.formats.format import FORMATS
from export.repository.triton_config import read_config, write_config
from standalone.triton_server import TritonPorts, local_triton
from tests.chain.direct import DirectCalls, no_previous
from tests.stack import free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.python_stub]

ERROR = "CUDA error: device-side assert triggered"


class BreaksOnNaN(nn.Module):
    """Gives its noise back; NaN in it is the error after which a GPU answers nothing more."""

    def forward(
        self,
        frames: Tensor,
        frame_count: Tensor,
        game_id: Tensor,
        noise: Tensor,
        previous: Tensor,
        previous_weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        is_number = torch.logical_not(noise.isnan().any())
        zero = torch.zeros(1, device=noise.device)
        noise = noise + torch.ops.aten._functional_assert_async(
            is_number, "CUDA error: device-side assert triggered", zero
        )
        return noise[..., :2], noise[..., 2:4], noise[..., 4:], noise


def publish(models: Path) -> None:
    folder = models / "breaks"
    (folder / "1").mkdir(parents=True)
    torch.jit.script(BreaksOnNaN()).save(str(folder / "1" / "model.pt"))
    config = read_config(FORMATS["torchscript"].original)
    config.name = folder.name
    config.max_batch_size = 2
    write_config(config, folder)


def answer(calls: DirectCalls, value: float) -> float:
    noise = np.full((1, 18, 25), value, np.float32)
    request = {
        "frames": np.zeros((1, 1, 256, 256, 3), np.uint8),
        "frame_count": np.ones((1, 1), np.int64),
        "game_id": np.zeros((1, 1), np.int64),
        "noise": noise,
        **no_previous(1, 18),
    }
    return float(calls.batch("breaks", request)["actions"][0, 0, 0])


async def test_triton_is_started_again_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NITROGEN_CUDA_GRAPHS", "stand-in")
    publish(tmp_path / "models")
    ports = TritonPorts(free_port(), free_port(), free_port())
    triton = local_triton(tmp_path / "models", ["breaks"], ports, tmp_path)
    await triton.start()
    keeping = asyncio.create_task(triton.keep_running())
    try:
        with DirectCalls(ports.grpc) as calls:
            await asyncio.to_thread(play_until_it_is_back, calls)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await triton.stop()
    assert f"breaks ends, because cpu fails every call from now on: RuntimeError: {ERROR}" in caplog.text


def play_until_it_is_back(calls: DirectCalls) -> None:
    assert answer(calls, 3.0) == 3.0
    with pytest.raises(InferenceServerException):
        answer(calls, np.nan)

    def answers_again() -> bool:
        try:
            return answer(calls, 4.0) == 4.0
        except InferenceServerException:
            return False

    wait_until(answers_again, "the model answers again")
