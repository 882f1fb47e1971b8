"""A saved graph as ONNX Runtime's CPU provider can run it, which has no bfloat16 kernels.

A bfloat16 operator becomes a float32 one whose result is rounded to bfloat16. That is what GPUs compute: they
multiply bfloat16 numbers, add the products up in float32, and round the sum.
"""

from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

# These compute nothing: the CPU provider has them for every type.
_ANY_TYPE = frozenset({"Cast", "Reshape", "Slice", "Split", "Transpose"})


def graph_for_cpu(path: Path) -> str | bytes:
    """Return the file itself, or its graph with float32 operators if it has bfloat16 ones.

    Weights in files beside it stay there.
    """
    model = onnx.load(str(path), load_external_data=False)
    low = _bfloat16_values(model)
    if not low:
        return str(path)
    nodes = [part for node in model.graph.node for part in _in_float32(node, low)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def _bfloat16_values(model: ModelProto) -> set[str]:
    """Return the names of all bfloat16 weights and values."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    weights = {weight.name for weight in graph.initializer if weight.data_type == TensorProto.BFLOAT16}
    values = graph.value_info
    return weights | {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.BFLOAT16}


def _in_float32(node: NodeProto, low: set[str]) -> list[NodeProto]:
    """Return the node between casts of its bfloat16 inputs and outputs."""
    if node.op_type in _ANY_TYPE or low.isdisjoint([*node.input, *node.output]):
        return [node]
    before, after = [], []
    for index, name in enumerate(node.input):
        if name in low:
            node.input[index] = f"{node.name} input {index}"
            before.append(helper.make_node("Cast", [name], [node.input[index]], to=TensorProto.FLOAT))
    for index, name in enumerate(node.output):
        if name in low:
            node.output[index] = f"{node.name} output {index}"
            after.append(helper.make_node("Cast", [node.output[index]], [name], to=TensorProto.BFLOAT16))
    return [*before, node, *after]
