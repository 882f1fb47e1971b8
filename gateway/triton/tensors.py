"""Triton's inference messages: frames and noise in, an action chunk out.

The message is built by hand with `raw_input_contents`: the frames' bytes go in as they are.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from gateway.errors import ModelError
from gateway.protocol.messages import FRAME_BYTES, FRAME_SHAPE, ActionChunk
from gateway.triton.facts import ACTION_WIDTH, BUTTON_COUNT, STICK_WIDTH, ModelFacts

_UNUSED_SLOT = bytes(FRAME_BYTES)
_OUTPUT_WIDTHS = {
    "j_left": STICK_WIDTH,
    "j_right": STICK_WIDTH,
    "buttons": BUTTON_COUNT,
    "actions": ACTION_WIDTH,
}


def infer_request(
    facts: ModelFacts, frames: Sequence[bytes], game_id: int, noise: NDArray[np.float32]
) -> service_pb2.ModelInferRequest:
    """Return the request for one action chunk, a batch of one.

    `frames`: 1 to K frames of (256, 256, 3) uint8 bytes, newest last; zeros fill the unused older slots
    before them. `noise`: (H, 25) float32.
    """
    context_length = facts.context_length
    unused = context_length - len(frames)
    stacked = frames[0] if context_length == 1 else b"".join([_UNUSED_SLOT] * unused + list(frames))
    # Triton then answers with the very version that the facts describe, or refuses.
    version = "" if facts.version is None else str(facts.version)
    request = service_pb2.ModelInferRequest(model_name=facts.model, model_version=version)
    for name, datatype, shape, data in (
        ("frames", "UINT8", (1, context_length, *FRAME_SHAPE), stacked),
        ("frame_count", "INT64", (1, 1), len(frames).to_bytes(8, "little")),
        ("game_id", "INT64", (1, 1), game_id.to_bytes(8, "little")),
        ("noise", "FP32", (1, facts.horizon, ACTION_WIDTH), noise.astype("<f4", copy=False).tobytes()),
    ):
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(data)
    for name in _OUTPUT_WIDTHS:
        request.outputs.add(name=name)
    return request


def action_chunk(facts: ModelFacts, response: service_pb2.ModelInferResponse) -> ActionChunk:
    """Return the chunk in a response, after checking each output's shape and that every value is finite.

    Raises:
        ModelError: an output is missing, has another type or shape, or holds NaN or infinity.
    """
    outputs: dict[str, NDArray[np.float32]] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        shape = tuple(output.shape)
        if output.datatype == "FP32" and len(raw) == 4 * math.prod(shape):
            outputs[output.name] = np.frombuffer(raw, dtype="<f4").reshape(shape)
    for name, width in _OUTPUT_WIDTHS.items():
        needed = (1, facts.horizon, width)
        if name not in outputs or outputs[name].shape != needed:
            found = outputs[name].shape if name in outputs else "missing or not FP32"
            raise ModelError(
                f"Triton's output {name} is {found}, and {needed} is needed; export the model again"
            )
        if not np.isfinite(outputs[name]).all():
            raise ModelError(f"Triton's output {name} holds values that are not finite; check the checkpoint")
    return ActionChunk(
        j_left=outputs["j_left"][0], j_right=outputs["j_right"][0], buttons=outputs["buttons"][0]
    )
