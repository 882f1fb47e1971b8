"""The SigLIP vision tower: 256x256 frames to 256 tokens each (docs/reference/model.md, "Vision tower")."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's own documentation gives it
from torch import Tensor, nn

from export.checkpoint.vision_config import PATCH_SIZE, VisionConfig
from export.network.layers import LayerNorm, Linear, PatchEmbedding
from export.network.transformer import attend_to_itself


class VisionBlock(nn.Module):
    """Pre-LayerNorm transformer block."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.norm1 = LayerNorm(config.width, eps=config.layer_norm_eps)
        self.qkv = Linear(config.width, 3 * config.width)
        self.out = Linear(config.width, config.width)
        self.norm2 = LayerNorm(config.width, eps=config.layer_norm_eps)
        self.up = Linear(config.width, config.mlp_width)
        self.down = Linear(config.mlp_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 256, D) to (N, 256, D)."""
        x = x + self.out(attend_to_itself(self.qkv(self.norm1(x)), self.heads))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class VisionTower(nn.Module):
    """Patch embedding, learned positions, blocks, final LayerNorm; no pooling head."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(config.width, PATCH_SIZE)
        self.positions = nn.Parameter(torch.empty(256, config.width))
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.num_layers))
        self.norm = LayerNorm(config.width, eps=config.layer_norm_eps)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the tokens of each frame.

        Args:
            frames: (N, 256, 256, 3) uint8, RGB.

        Returns:
            (N, 256, D) float, patches in row-major order.
        """
        pixels = (frames.to(self.positions.dtype) / 127.5 - 1.0).permute(0, 3, 1, 2)
        x = self.patch_embedding(pixels) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
