"""Calls that go straight to the stack's Triton, past the gateway: what its replies are compared with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from contract.tensors import OUTPUT_NAMES

_TYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}

Outputs = dict[str, NDArray[np.float32]]


class DirectCalls:
    """Triton's own client for one server."""

    def __init__(self, grpc_port: int) -> None:
        self._client = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")

    def batch(self, model: str, inputs: dict[str, NDArray[Any]]) -> Outputs:
        """The outputs for inputs that have the batch dimension."""
        sent = []
        for name, array in inputs.items():
            tensor = triton.InferInput(name, list(array.shape), _TYPES[str(array.dtype)])
            tensor.set_data_from_numpy(np.ascontiguousarray(array))
            sent.append(tensor)
        wanted = [triton.InferRequestedOutput(name) for name in OUTPUT_NAMES]
        result = self._client.infer(model, sent, outputs=wanted)
        return {name: result.as_numpy(name) for name in OUTPUT_NAMES}

    def predict(
        self,
        frames: Sequence[NDArray[np.uint8]],
        noise: NDArray[np.float32],
        *,
        model: str = "nitrogen",
        context: int = 1,
        game_id: int = 0,
    ) -> Outputs:
        """The outputs for one client's frames, (256, 256, 3), newest last; the unused slots are black."""
        slots = np.zeros((1, context, 256, 256, 3), np.uint8)
        slots[0, context - len(frames) :] = np.stack(frames)
        outputs = self.batch(
            model,
            {
                "frames": slots,
                "frame_count": np.array([[len(frames)]]),
                "game_id": np.array([[game_id]]),
                "noise": noise[np.newaxis],
            },
        )
        return {name: array[0] for name, array in outputs.items()}

    def inference_counts(self) -> tuple[int, int]:
        """How many requests the model has answered, and in how many executions; counted after the replies."""
        statistics = self._client.get_inference_statistics("nitrogen").model_stats[0]
        return statistics.inference_count, statistics.execution_count

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def __enter__(self) -> "DirectCalls":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
