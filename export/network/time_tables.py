"""Everything of the sampler that depends on the time step only, computed once at export.

Source: docs/reference/model.md, "Transformer blocks" (DiT time embedding, AdaLN) and "Action encoder and
decoder" (tau). One step at a time and in float32, as the reference does.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's own documentation gives it
from torch import Tensor

from export.checkpoint.tensors import TIME_FEATURES

MAX_PERIOD = 1e4


def time_buckets(steps: int, num_buckets: int) -> list[int]:
    """Return the integer time of each sampler step: int(i / steps x num_buckets), in double precision."""
    return [int(step / steps * num_buckets) for step in range(steps)]


def time_tables(
    tensors: Mapping[str, Tensor], buckets: list[int], num_blocks: int, width: int
) -> dict[str, Tensor]:
    """Return the tables for the given integer times, one row for each, by their names in `NitroGen`.

    Args:
        tensors: the checkpoint's state_dict; reads `model.timestep_encoder.*`, `norm1.linear` of each block,
            `proj_out_1` and `action_encoder.W2`.
        buckets: `time_buckets`.
        num_blocks: DiT blocks.
        width: D.

    Returns:
        `block_adaln`: (steps, blocks, 2, D), 1 + scale and shift of each DiT block; `out_adaln`:
        (steps, 2, D), 1 + scale and shift of the output norm; `action_encoder.w2.bias`: (steps, D), the bias
        of the action encoder's second linear with the product of its time half.
    """
    # The shape is (embodiment, in, out); the time features are the second half of the inputs.
    time_weight = tensors["action_encoder.W2.W"][0, width:].float().t()
    time_bias = tensors["action_encoder.W2.b"][0].float()
    block_rows, out_rows, bias_rows = [], [], []
    for bucket in buckets:
        activated = F.silu(_time_embedding(tensors, bucket))
        of_blocks = [
            _linear(tensors, f"model.transformer_blocks.{index}.norm1.linear", activated).unflatten(
                0, [2, -1]
            )
            for index in range(num_blocks)
        ]
        block_rows.append(torch.stack(of_blocks))
        # The output norm's halves come in the other order: shift, then scale.
        out_rows.append(_linear(tensors, "model.proj_out_1", activated).unflatten(0, [2, -1]).flip(0))
        bias_rows.append(F.linear(_encoder_features(bucket, width), time_weight, time_bias))
    block_adaln, out_adaln = torch.stack(block_rows), torch.stack(out_rows)
    block_adaln[:, :, 0] += 1
    out_adaln[:, 0] += 1
    return {
        "block_adaln": block_adaln,
        "out_adaln": out_adaln,
        "action_encoder.w2.bias": torch.stack(bias_rows),
    }


def _linear(tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x[None], tensors[f"{name}.weight"].float(), tensors[f"{name}.bias"].float())[0]


def _time_embedding(tensors: Mapping[str, Tensor], bucket: int) -> Tensor:
    half = TIME_FEATURES // 2
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, dtype=torch.float32) / (half - 1))
    angles = bucket * frequencies
    prefix = "model.timestep_encoder.timestep_embedder"
    hidden = F.silu(_linear(tensors, f"{prefix}.linear_1", torch.cat([angles.cos(), angles.sin()])))
    return _linear(tensors, f"{prefix}.linear_2", hidden)


def _encoder_features(bucket: int, width: int) -> Tensor:
    half = width // 2
    frequencies = torch.exp(-torch.arange(half, dtype=torch.float32) * (math.log(MAX_PERIOD) / half))
    angles = bucket * frequencies
    return torch.cat([angles.sin(), angles.cos()])
