"""Action encoder and decoder (docs/reference/model.md, "Action encoder and decoder"), for embodiment 0."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's own documentation gives it
from torch import Tensor, nn

from contract.gamepad import ACTION_WIDTH
from export.network.layers import Linear, SteppedLinear


class ActionEncoder(nn.Module):
    """Noisy actions and a sampler step to DiT tokens.

    The second linear's time half depends on the step only: it is part of that linear's biases.
    """

    positions: Tensor

    def __init__(self, width: int, horizon: int, steps: int) -> None:
        super().__init__()
        self.w1 = Linear(ACTION_WIDTH, width)
        self.w2 = SteppedLinear(width, width, steps)
        self.w3 = Linear(width, width)
        self.register_buffer("positions", torch.empty(horizon, width))

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Map (B, T, 25) actions to (B, T, D)."""
        return self.w3(F.silu(self.w2(self.w1(x), step))) + self.positions


class ActionDecoder(nn.Module):
    """DiT output to what a sampler step adds to x, v / N: the last linear's weights are divided by N."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.layer1 = Linear(in_width, width)
        self.layer2 = Linear(width, ACTION_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, output_dim) to (B, T, 25)."""
        return self.layer2(F.relu(self.layer1(x)))
