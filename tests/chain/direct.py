"""Calls that go straight to the stack's Triton, past the gateway: what its replies are compared with."""

import queue
from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from contract.gamepad import ACTION_WIDTH
from contract.tensors import OUTPUT_NAMES
from tests.patience import WITHIN_S

_TYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}

Outputs = dict[str, NDArray[np.float32]]


def _tensors(inputs: dict[str, NDArray[Any]]) -> list[triton.InferInput]:
    sent = []
    for name, array in inputs.items():
        tensor = triton.InferInput(name, list(array.shape), _TYPES[str(array.dtype)])
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        sent.append(tensor)
    return sent


def no_previous(count: int, horizon: int) -> dict[str, NDArray[Any]]:
    """The inputs of chunk conditioning for samples without it; NaN stands where nothing may look."""
    return {
        "previous": np.full((count, horizon, ACTION_WIDTH), np.nan, np.float32),
        "previous_weight": np.zeros((count, horizon), np.float32),
    }


class DirectCalls:
    """Triton's own client for one server."""

    def __init__(self, grpc_port: int) -> None:
        self._client = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")

    def batch(self, model: str, inputs: dict[str, NDArray[Any]]) -> Outputs:
        """The outputs for inputs that have the batch dimension."""
        wanted = [triton.InferRequestedOutput(name) for name in OUTPUT_NAMES]
        result = self._client.infer(model, _tensors(inputs), outputs=wanted)
        return {name: result.as_numpy(name) for name in OUTPUT_NAMES}

    def streamed(self, model: str, requests: Sequence[dict[str, NDArray[Any]]]) -> list[Outputs]:
        """The outputs of requests that Triton gets in this order, without waiting for one's answer."""
        answers: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()
        wanted = [triton.InferRequestedOutput(name) for name in OUTPUT_NAMES]
        self._client.start_stream(lambda result, error: answers.put((result, error)))
        try:
            for index, request in enumerate(requests):
                self._client.async_stream_infer(
                    model, _tensors(request), outputs=wanted, request_id=str(index)
                )
            outputs: dict[int, Outputs] = {}
            for _ in requests:
                result, error = answers.get(timeout=WITHIN_S)
                if error is not None:
                    raise error
                outputs[int(result.get_response().id)] = {
                    name: result.as_numpy(name) for name in OUTPUT_NAMES
                }
        finally:
            self._client.stop_stream()
        return [outputs[index] for index in range(len(requests))]

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
                **no_previous(1, len(noise)),
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
