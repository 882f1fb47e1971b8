"""The parts of the VL self-attention and the DiT (docs/reference/model.md, "Transformer blocks").

Attention masks nothing anywhere. Queries, keys and values are (B, heads, T, head_dim).
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's own documentation gives it
from torch import Tensor, nn

from export.checkpoint.config import DiTConfig, TransformerConfig
from export.network.layers import AdaptiveLayerNorm, LayerNorm, Linear

NORM_EPS = 1e-5
OUTPUT_NORM_EPS = 1e-6


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Map (B, T, heads x head_dim) to (B, heads, T, head_dim)."""
    return x.unflatten(-1, [heads, -1]).transpose(1, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return scaled dot-product attention, heads merged again: (B, T, heads x head_dim)."""
    return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)


def attend_to_itself(projected: Tensor, heads: int) -> Tensor:
    """Return the attention of each sample's tokens to each other.

    Args:
        projected: (B, T, 3 x heads x head_dim), the tokens' queries, keys and values.
        heads: how many there are.

    Returns:
        (B, T, heads x head_dim).
    """
    queries, keys, values = projected.unflatten(-1, [3, heads, -1]).permute(2, 0, 3, 1, 4).unbind(0)
    return attend(queries, keys, values)


class FeedForward(nn.Module):
    """Linear to 4D, tanh-approximated GELU, linear back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = Linear(width, 4 * width)
        self.down = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class MixerBlock(nn.Module):
    """Block of the VL self-attention: affine LayerNorms, every token attends to every token."""

    positions: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.has_positions = config.position_rows > 0
        self.register_buffer("positions", torch.empty(config.position_rows, config.width))
        self.norm1 = LayerNorm(config.width, eps=NORM_EPS)
        self.qkv = Linear(config.width, 3 * config.width)
        self.out = Linear(config.width, config.width)
        self.norm3 = LayerNorm(config.width, eps=NORM_EPS)
        self.feed_forward = FeedForward(config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, D) to (B, S, D)."""
        h = self.norm1(x)
        if self.has_positions:
            h = h + self.positions[: x.size(1)]
        x = x + self.out(attend_to_itself(self.qkv(h), self.heads))
        return x + self.feed_forward(self.norm3(x))


class DiTBlock(nn.Module):
    """Block of the DiT: self-attention, or cross-attention to keys and values made once per frame."""

    positions: Tensor

    def __init__(self, config: DiTConfig, index: int, horizon: int) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.has_positions = config.position_rows > 0
        self.is_self_attention = config.is_self_attention(index)
        self.register_buffer("positions", torch.empty(horizon if self.has_positions else 0, config.width))
        self.norm1 = AdaptiveLayerNorm(NORM_EPS)
        self.projection = Linear(config.width, (3 if self.is_self_attention else 1) * config.width)
        self.out = Linear(config.width, config.width)
        self.norm3 = LayerNorm(config.width, eps=NORM_EPS, elementwise_affine=False)
        self.feed_forward = FeedForward(config.width)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return one block.

        Args:
            x: (B, T, D).
            scale: (D,), AdaLN's 1 + scale at the current time step.
            shift: (D,), AdaLN's shift, likewise.
            keys: (B, heads, S, head_dim) of the frames; a self-attention block has no use for them.
            values: likewise.

        Returns:
            (B, T, D).
        """
        h = self.norm1(x, scale, shift)
        if self.has_positions:
            h = h + self.positions
        if self.is_self_attention:
            attended = attend_to_itself(self.projection(h), self.heads)
        else:
            attended = attend(split_heads(self.projection(h), self.heads), keys, values)
        x = x + self.out(attended)
        return x + self.feed_forward(self.norm3(x))


class DiT(nn.Module):
    """The diffusion transformer: actions attend to the frames and to each other.

    The time embedding and the AdaLN linears are not here: they depend on the time step only, so their
    products come in as tables (`time_tables`).
    """

    def __init__(self, config: DiTConfig, horizon: int) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.blocks = nn.ModuleList(DiTBlock(config, index, horizon) for index in range(config.num_layers))
        self.cross_blocks = sum(not config.is_self_attention(index) for index in range(config.num_layers))
        # Which keys and values a block reads; a self-attention block is given some, and ignores them.
        stride = 2 if config.interleave_self_attention else 1
        self.cross_index = [index // stride for index in range(config.num_layers)]
        self.keys_values = Linear(config.context_width, self.cross_blocks * 2 * config.width)
        self.norm_out = AdaptiveLayerNorm(OUTPUT_NORM_EPS)
        self.out = Linear(config.width, config.output_dim)

    def attend_to(self, context: Tensor) -> list[Tensor]:
        """Return the keys and values of all cross-attention blocks, in one product.

        Args:
            context: (B, S, C), the mixed vision-language tokens.

        Returns:
            Keys and values in turns, of one block after the other, each (B, heads, S, head_dim).
        """
        both = self.keys_values(context).unflatten(-1, [2 * self.cross_blocks, self.heads, -1])
        return both.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x: Tensor, keys_values: list[Tensor], block_adaln: Tensor, out_adaln: Tensor) -> Tensor:
        """Return one pass at one time step.

        Args:
            x: (B, T, D), encoded actions.
            keys_values: what `attend_to` gave.
            block_adaln: (blocks, 2, D), 1 + scale and shift of every block at this time step.
            out_adaln: (2, D), 1 + scale and shift of the output norm at this time step.

        Returns:
            (B, T, output_dim).
        """
        adaln = block_adaln.flatten(0, 1).unbind(0)
        for index, block in enumerate(self.blocks):
            of_block, of_context = 2 * index, 2 * self.cross_index[index]
            keys, values = keys_values[of_context], keys_values[of_context + 1]
            x = block(x, adaln[of_block], adaln[of_block + 1], keys, values)
        scale, shift = out_adaln.unbind(0)
        return self.out(self.norm_out(x, scale, shift))
