"""Layers whose products are in their weights' type, so that precision is a matter of weights alone.

None declares `__constants__`: TorchScript writes several in an order that changes from process to process,
and the same model shall give the same file.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's own documentation gives it
from torch import Tensor, nn


class Linear(nn.Linear):
    """A linear map in its weights' type, whatever float type its input has."""

    __constants__: list[str] = []  # noqa: RUF012 - as PyTorch declares it

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out) of the weights' type."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


class SteppedLinear(nn.Module):
    """A linear map in its weights' type, with one bias for each sampler step."""

    def __init__(self, in_width: int, out_width: int, steps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_width, in_width))
        self.bias = nn.Parameter(torch.empty(steps, out_width))

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Map (..., in) to (..., out) of the weights' type."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias[step])


class PatchEmbedding(nn.Conv2d):
    """The convolution that cuts frames into patches, in its weights' type."""

    __constants__: list[str] = []  # noqa: RUF012 - as PyTorch declares it

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, 256, 256) to (N, 256, D) of the weights' type, patches in row-major order."""
        patches = F.conv2d(pixels.to(self.weight.dtype), self.weight, self.bias, self.stride)
        return patches.flatten(2).transpose(1, 2)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation of the last dimension, in float32."""

    __constants__: list[str] = []  # noqa: RUF012 - as PyTorch declares it

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) float32 to (..., D) float32."""
        return F.layer_norm(x, [x.size(-1)], self.weight, self.bias, self.eps)


class AdaptiveLayerNorm(nn.Module):
    """Layer normalisation of the last dimension, in float32, whose scale and shift are given at each call."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (..., D) to (..., D), normalised times scale plus shift, both (D,); all float32."""
        return F.layer_norm(x, [x.size(-1)], scale, shift, self.eps)
