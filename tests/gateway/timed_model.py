"""A model whose inference takes as long as a test wants.

It is a real gRPC server on a real socket that answers as Triton does; the real Triton has its tests in
`tests/chain`, but cannot be told to be slow for one request and quick for the next.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

CONFIG = Path(__file__).parents[2] / "model_repository" / "nitrogen" / "config.pbtxt"
HORIZON = 18
CONTEXT_LENGTH = 3
GAMES = [None, *(f"game {index}" for index in range(1, 500))]
NEVER = 499


class TimedModel(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers after `game_id` hundredths of a second; NEVER waits until it is cancelled.

    In the chunk, j_left[0] tells the number of frames / 10 and the noise's first value, and j_right[0] the
    newest and the oldest slot's first byte / 255.
    """

    def __init__(self) -> None:
        self.started = asyncio.Semaphore(0)
        self.cancelled = asyncio.Event()
        self.finite = True
        self.context_length = CONTEXT_LENGTH
        self.config_reads = 0

    async def ModelConfig(self, request: Any, context: Any) -> service_pb2.ModelConfigResponse:  # noqa: ANN401, N802
        self.config_reads += 1
        config = text_format.Parse(CONFIG.read_text(), model_config_pb2.ModelConfig())
        config.input[0].dims[0] = self.context_length
        config.parameters["context_length"].string_value = str(self.context_length)
        config.parameters["games"].string_value = json.dumps(GAMES)
        return service_pb2.ModelConfigResponse(config=config)

    async def ModelReady(self, request: Any, context: Any) -> service_pb2.ModelReadyResponse:  # noqa: ANN401, N802
        return service_pb2.ModelReadyResponse(ready=True)

    async def ModelInfer(self, request: Any, context: Any) -> service_pb2.ModelInferResponse:  # noqa: ANN401, N802
        frames, count, game, noise = request.raw_input_contents
        hundredths = int.from_bytes(game, "little")
        self.started.release()
        try:
            await asyncio.sleep(3600 if hundredths == NEVER else hundredths / 100)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        j_left, j_right = (np.zeros((1, HORIZON, 2), np.float32) for _ in range(2))
        first_noise = float(np.frombuffer(noise, np.float32)[0])
        j_left[0, 0] = (int.from_bytes(count, "little") / 10, max(-1, min(1, first_noise)))
        j_right[0, 0] = (frames[-1] / 255, frames[0] / 255)
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        actions = np.full((1, HORIZON, 25), 0 if self.finite else np.inf, np.float32)
        for name, array in (
            ("j_left", j_left),
            ("j_right", j_right),
            ("buttons", np.zeros((1, HORIZON, 21), np.float32)),
            ("actions", actions),
        ):
            response.outputs.add(name=name, datatype="FP32", shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response


@asynccontextmanager
async def serving(service: TimedModel, port: int = 0) -> AsyncIterator[int]:
    """Serve a model on a port of 127.0.0.1, by default one that the system chooses; the port."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
