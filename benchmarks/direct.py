"""Calls straight to a Triton's models."""

import torch
import tritonclient.grpc
from torch import Tensor

from contract.tensors import input_tensors
from export.formats.self_check import Inputs
from export.repository.versions import Version

TIMEOUT_S = 600


def infer(client: tritonclient.grpc.InferenceServerClient, version: Version, inputs: Inputs) -> Tensor:
    """Send a whole batch as one request to a model's served version; return x(1), (B, H, 25).

    A version that was exported without chunk conditioning gets the inputs that it has.
    """
    tensors = []
    takes = input_tensors(1, 1, conditioning=version.facts.conditioning)
    for tensor, value in zip(takes, inputs, strict=False):
        tensors.append(tritonclient.grpc.InferInput(tensor.name, list(value.shape), tensor.data_type))
        tensors[-1].set_data_from_numpy(value.numpy())
    result = client.infer(version.model_name, tensors, client_timeout=TIMEOUT_S)
    return torch.from_numpy(result.as_numpy("actions").copy())
