"""A Triton of one's own, and calls straight to its models."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import tritonclient.grpc
from torch import Tensor

from export.formats.self_check import Inputs
from standalone.ports import require_free_port
from standalone.triton_server import HOST, TritonPorts, local_triton

TIMEOUT_S = 600
_INPUTS = {"frames": "UINT8", "frame_count": "INT64", "game_id": "INT64", "noise": "FP32"}


@contextmanager
def running_triton(folder: Path, models: list[str]) -> Iterator[int]:
    """Serve models of `folder`/repository; the port of Triton's gRPC service on `HOST`."""
    ports = TritonPorts(*(require_free_port(HOST, 0, "") for _ in range(3)))
    triton = local_triton(folder / "repository", models, ports, folder)
    with asyncio.Runner() as runner:
        try:
            runner.run(triton.start())
            yield ports.grpc
        finally:
            runner.run(triton.stop())


def infer(client: tritonclient.grpc.InferenceServerClient, model: str, inputs: Inputs) -> Tensor:
    """One request with a whole batch; its x(1), (B, H, 25)."""
    tensors = []
    for (name, datatype), value in zip(_INPUTS.items(), inputs, strict=True):
        tensors.append(tritonclient.grpc.InferInput(name, list(value.shape), datatype))
        tensors[-1].set_data_from_numpy(value.numpy())
    result = client.infer(model, tensors, client_timeout=TIMEOUT_S)
    return torch.from_numpy(result.as_numpy("actions").copy())
