"""Calls straight to a Triton's models."""

import torch
import tritonclient.grpc
from torch import Tensor

from contract.tensors import input_tensors
from export.formats.self_check import Inputs

TIMEOUT_S = 600


def infer(client: tritonclient.grpc.InferenceServerClient, model: str, inputs: Inputs) -> Tensor:
    """Return one request with a whole batch; its x(1), (B, H, 25)."""
    tensors = []
    for tensor, value in zip(input_tensors(1, 1), inputs, strict=True):
        tensors.append(tritonclient.grpc.InferInput(tensor.name, list(value.shape), tensor.data_type))
        tensors[-1].set_data_from_numpy(value.numpy())
    result = client.infer(model, tensors, client_timeout=TIMEOUT_S)
    return torch.from_numpy(result.as_numpy("actions").copy())
