"""Action encoder and decoder (docs/model.md, "Action encoder and decoder"), for embodiment 0."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's own documentation gives it
from torch import Tensor, nn

from contract.gamepad import ACTION_WIDTH
from export.network.layers import Linear


class ActionEncoder(nn.Module):
    """Noisy actions and a time step to DiT tokens."""

    positions: Tensor

    def __init__(self, width: int, horizon: int) -> None:
        super().__init__()
        self.w1 = Linear(ACTION_WIDTH, width)
        self.w2 = Linear(2 * width, width)
        self.w3 = Linear(width, width)
        self.register_buffer("positions", torch.empty(horizon, width))

    def forward(self, x: Tensor, time_features: Tensor) -> Tensor:
        """(B, T, 25) actions and (D,) time features to (B, T, D)."""
        a = self.w1(x)
        tau = time_features.expand(a.size(0), a.size(1), -1)
        return self.w3(F.silu(self.w2(torch.cat([a, tau], dim=-1)))) + self.positions


class ActionDecoder(nn.Module):
    """DiT output to velocity."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.layer1 = Linear(in_width, width)
        self.layer2 = Linear(width, ACTION_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, output_dim) to (B, T, 25)."""
        return self.layer2(F.relu(self.layer1(x)))
