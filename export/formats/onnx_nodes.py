"""ONNX nodes and weights in the making: the single operations that the network is put together from.

Between layers a value is (rows, features), all samples' tokens below each other: a linear map is then one
`Gemm`, bias included, on the weights as PyTorch stores them. Every size but the batch's is a constant.
"""

from typing import Any

import torch
from onnx import NodeProto, TensorProto, helper
from torch import Tensor, nn

ONNX_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.int64: TensorProto.INT64,
}


class GraphBuilder:
    """Nodes in the order they run, and the weights they read; a value is known by its name.

    A weight stands in `weights` once, however many nodes read it.

    Args:
        dtype: of matrix products, what export's precision says; all else is float32.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Tensor] = {}

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401 - an operator's own
        """Add an operator with one output, and give that output's name."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def split(self, x: str, parts: int, *, axis: int = -1) -> list[str]:
        """Cut a dimension into equal parts."""
        name = f"Split_{len(self.nodes)}"
        outputs = [f"{name}_{index}" for index in range(parts)]
        self.nodes.append(helper.make_node("Split", [x], outputs, name=name, axis=axis, num_outputs=parts))
        return outputs

    def columns(self, x: str, start: int, end: int) -> str:
        """Return the columns `start` to `end`, exclusive, of the last dimension."""
        return self.node("Slice", x, self.integers(start), self.integers(end), self.integers(-1))

    def reshape(self, x: str, *shape: int) -> str:
        """X in another shape; -1 where the batch is."""
        return self.node("Reshape", x, self.integers(*shape))

    def weight(self, name: str, tensor: Tensor) -> str:
        """Return a weight, by its name."""
        self.weights.setdefault(name, tensor.detach())
        return name

    def integers(self, *values: int) -> str:
        """Return an int64 vector."""
        return self.weight(f"int64 {values}", torch.tensor(values))

    def integer(self, value: int) -> str:
        """Return an int64 scalar."""
        return self.weight(f"int64 {value}", torch.tensor(value))

    def number(self, value: float) -> str:
        """Return a float32 scalar."""
        return self.weight(f"float32 {value!r}", torch.tensor(value))

    def lowered(self, x: str) -> str:
        """Return a float32 value in the type of matrix products."""
        return x if self.dtype == torch.float32 else self.node("Cast", x, to=ONNX_TYPES[self.dtype])

    def raised(self, x: str) -> str:
        """Return a value of the type of matrix products in float32."""
        return x if self.dtype == torch.float32 else self.node("Cast", x, to=TensorProto.FLOAT)

    def linear(self, x: str, name: str, layer: nn.Linear) -> str:
        """Map (rows, in) to (rows, out), both in the type of matrix products."""
        return self.product(
            x, self.weight(f"{name}.weight", layer.weight), self.weight(f"{name}.bias", layer.bias)
        )

    def product(self, x: str, weight: str, bias: str) -> str:
        """Return (rows, in) times an (out, in) weight plus an (out,) bias: (rows, out)."""
        return self.node("Gemm", x, weight, bias, transB=1)

    def layer_norm(self, x: str, name: str, layer: nn.LayerNorm) -> str:
        """Return the normalised rows, times the layer's weight plus its bias if it has them."""
        if layer.elementwise_affine:
            return self.scaled_norm(x, name, layer.weight, layer.bias, layer.eps)
        width = layer.normalized_shape[0]
        return self.scaled_norm(x, f"no affine {width}", torch.ones(width), torch.zeros(width), layer.eps)

    def scaled_norm(self, x: str, name: str, scale: Tensor, shift: Tensor, eps: float) -> str:
        """Return the normalised rows, times `scale` plus `shift`, both (D,) and named after `name`."""
        scale_name, shift_name = self.weight(f"{name}.weight", scale), self.weight(f"{name}.bias", shift)
        return self.node("LayerNormalization", x, scale_name, shift_name, axis=-1, epsilon=eps)

    def add_rows(self, x: str, name: str, rows: Tensor) -> str:
        """Return (B x T, D) plus (T, D) for each sample."""
        tokens, width = rows.shape
        added = self.node("Add", self.reshape(x, -1, tokens, width), self.weight(name, rows))
        return self.reshape(added, -1, width)

    def add_linear(self, x: str, h: str, name: str, layer: nn.Linear) -> str:
        """Return a residual stream x plus a linear map of h, which is of the type of matrix products."""
        return self.node("Add", x, self.raised(self.linear(h, name, layer)))

    def add_feed_forward(self, x: str, h: str, name: str, up: nn.Linear, down: nn.Linear) -> str:
        """Return a residual stream x plus linear, tanh-approximated GELU and linear of h; float32."""
        h = self.raised(self.linear(self.lowered(h), f"{name}.up", up))
        h = self.lowered(self.node("Gelu", h, approximate="tanh"))
        return self.add_linear(x, h, f"{name}.down", down)

    def heads(self, x: str, tokens: int, heads: int, width: int, *, transposed: bool = False) -> str:
        """Map (B x T, D) to (B, heads, T, head_dim), or transposed to (B, heads, head_dim, T)."""
        order = [0, 2, 3, 1] if transposed else [0, 2, 1, 3]
        return self.node("Transpose", self.reshape(x, -1, tokens, heads, width // heads), perm=order)

    def attention(self, queries: str, keys: str, values: str, heads: int, width: int) -> str:
        """Return scaled dot-product attention, heads merged again.

        Args:
            queries: (B, heads, T, head_dim).
            keys: (B, heads, head_dim, S).
            values: (B, heads, S, head_dim).
            heads: how many there are.
            width: heads x head_dim.

        Returns:
            (B x T, heads x head_dim).
        """
        head_dim = width // heads
        scale = self.weight(f"attention scale {head_dim}", torch.tensor(head_dim**-0.5, dtype=self.dtype))
        scores = self.node("MatMul", self.node("Mul", queries, scale), keys)
        merged = self.node("MatMul", self.node("Softmax", scores, axis=-1), values)
        return self.reshape(self.node("Transpose", merged, perm=[0, 2, 1, 3]), -1, width)

    def self_attention(self, x: str, name: str, layer: nn.Linear, tokens: int, heads: int) -> str:
        """Return the attention of each sample's tokens, (B x T, D), to each other; `layer` gives q, k, v."""
        width = layer.in_features
        queries, keys, values = self.split(self.linear(x, name, layer), 3)
        return self.attention(
            self.heads(queries, tokens, heads, width),
            self.heads(keys, tokens, heads, width, transposed=True),
            self.heads(values, tokens, heads, width),
            heads,
            width,
        )
