"""Low precision as the reference has it on GPUs (docs/reference/model.md, "Precision").

Weights and matrix products (linear maps, patch embedding, attention) are in bfloat16 or float16; the
residual streams, normalisations, time tables, x, the noise and the Euler sum stay in float32. Inputs and
outputs of the graph are float32 in every precision.
"""

import torch
from torch import nn

from export.network.layers import Linear, PatchEmbedding, SteppedLinear
from export.settings import Precision

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def lower_precision(model: nn.Module, precision: Precision) -> None:
    """Turn the weights of all matrix products into `precision`, in place; float32 is left as it is."""
    for module in model.modules():
        if isinstance(module, Linear | SteppedLinear | PatchEmbedding):
            module.to(DTYPES[precision])
