"""A Triton model whose inference takes as long as a test wants; see `tests.stand_ins.timed_triton`.

Triton's Python backend runs this file in its stub process. It needs numpy and no torch, so it starts quickly.
"""

# Triton puts the types into pb_utils only after it has imported this file.
from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

_MAX_WAIT_S = 30
# libtorch's text before the cause; longer than gRPC's default limit.
_BEFORE_THE_CAUSE = (
    "The following operation failed in the TorchScript interpreter.\n"
    "Traceback of TorchScript (most recent call last):\n"
) + '  File "code/__torch__.py", line 1, in forward\n' * 500


class TritonPythonModel:
    """Answers after `game_id` hundredths of a second, or does what the game's name says.

    `never` waits until its request is cancelled; `infinite` gives an output that is not finite; `raise`
    raises as TorchScript does. The chunk tells what the model was given: j_left[0] the number of frames / 10
    and the noise's first value, clipped to [-1, 1]; j_right[0] the newest and the oldest slot's first byte /
    255; j_right[1, 0] the game's id / 255.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the outputs' shapes and the games' names, and make the metrics that tests look at."""
        config = json.loads(args["model_config"])
        self.games = json.loads(config["parameters"]["games"]["string_value"])
        self.shapes = {tensor["name"]: (1, *tensor["dims"]) for tensor in config["output"]}
        self.families = {
            name: pb_utils.MetricFamily(f"timed_model_{name}", description, pb_utils.MetricFamily.COUNTER)
            for name, description in (
                ("begun", "Inferences begun."),
                ("cancelled", "Inferences ended because Triton said that their request is cancelled."),
            )
        }
        self.counts = {name: family.Metric({}) for name, family in self.families.items()}

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer one request after the other; without dynamic batching there is one."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        game_id = int(_array(request, "game_id")[0, 0])
        game = self.games[game_id]
        self.counts["begun"].increment(1)
        if game == "raise":
            raise RuntimeError(f"{_BEFORE_THE_CAUSE}ValueError: the model was told to raise")
        if game == "never":
            return self._wait_for_cancellation(request)
        outputs = {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}
        if game == "infinite":
            outputs["actions"][:] = np.inf
        else:
            time.sleep(game_id / 100)
        frames, noise = _array(request, "frames"), _array(request, "noise")
        outputs["j_left"][0, 0] = (_array(request, "frame_count")[0, 0] / 10, np.clip(noise[0, 0, 0], -1, 1))
        outputs["j_right"][0, 0] = (frames[0, -1, 0, 0, 0] / 255, frames[0, 0, 0, 0, 0] / 255)
        outputs["j_right"][0, 1, 0] = game_id / 255
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor.from_dlpack(name, array) for name, array in outputs.items()]
        )

    def _wait_for_cancellation(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        give_up = time.monotonic() + _MAX_WAIT_S
        while time.monotonic() < give_up:
            if request.is_cancelled():
                self.counts["cancelled"].increment(1)
                break
            time.sleep(0.01)
        error = pb_utils.TritonError("never has an end after all", pb_utils.TritonError.CANCELLED)
        return pb_utils.InferenceResponse(error=error)


def _array(request: pb_utils.InferenceRequest, name: str) -> NDArray[Any]:
    # By DLPack, because the stub's numpy bridge gives empty tensors under numpy 2.
    return np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))
