"""Linear maps on a CPU as oneDNN runs them fastest: weights laid out once at load, GELU within the product.

PyTorch lays a weight out again at each call, and cannot save the layout in a file. Bfloat16 products stay the
same bit for bit, but a GELU reads them before they are rounded; float32 is summed in another order.
"""

from typing import Any

import torch

# The layers of export/network/layers.py whose `weight` only linear maps read.
_LAYERS = {"Linear", "SteppedLinear"}

_LINEAR = """
graph(%x, %weight, %bias):
  %y = aten::linear(%x, %weight, %bias)
  return (%y)"""
_LINEAR_GELU = """
graph(%x, %weight, %bias, %approximate):
  %y = aten::linear(%x, %weight, %bias)
  %z = aten::gelu(%y, %approximate)
  return (%z)"""
_PACKED = """
graph(%x, %weight, %bias):
  %then : str = prim::Constant[value="none"]()
  %scalars : Scalar?[] = prim::ListConstruct()
  %approximate : str = prim::Constant[value=""]()
  %y : Tensor = mkldnn::_linear_pointwise(%x, %weight, %bias, %then, %scalars, %approximate)
  return (%y)"""
_PACKED_GELU = """
graph(%x, %weight, %bias, %approximate):
  %then : str = prim::Constant[value="gelu"]()
  %scalars : Scalar?[] = prim::ListConstruct()
  %z : Tensor = mkldnn::_linear_pointwise(%x, %weight, %bias, %then, %scalars, %approximate)
  return (%z)"""


def pack_linears(model: Any) -> None:  # noqa: ANN401 - PyTorch has no type for what is loaded
    """Pack the linear maps of a TorchScript model on the CPU that has not run yet, in place.

    A model of other layers, or in a type that oneDNN does not multiply on this CPU, is left as it is.
    """
    layers = [layer for layer in model.modules() if getattr(layer, "original_name", "") in _LAYERS]
    if not layers or not all(_can_pack(layer.weight.dtype) for layer in layers):
        return
    graph = model.forward.graph
    torch._C._jit_pass_inline(graph)
    for plain, packed in ((_LINEAR_GELU, _PACKED_GELU), (_LINEAR, _PACKED)):
        torch._C._jit_pass_custom_pattern_based_rewrite_graph(plain, packed, graph)
    with torch.no_grad():
        for layer in layers:
            layer.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight, None)


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32
