"""Calls straight to a Triton's models."""

import torch
import tritonclient.grpc
from torch import Tensor

from export.formats.self_check import Inputs

TIMEOUT_S = 600
_INPUTS = {"frames": "UINT8", "frame_count": "INT64", "game_id": "INT64", "noise": "FP32"}


def infer(client: tritonclient.grpc.InferenceServerClient, model: str, inputs: Inputs) -> Tensor:
    """One request with a whole batch; its x(1), (B, H, 25)."""
    tensors = []
    for (name, datatype), value in zip(_INPUTS.items(), inputs, strict=True):
        tensors.append(tritonclient.grpc.InferInput(name, list(value.shape), datatype))
        tensors[-1].set_data_from_numpy(value.numpy())
    result = client.infer(model, tensors, client_timeout=TIMEOUT_S)
    return torch.from_numpy(result.as_numpy("actions").copy())
