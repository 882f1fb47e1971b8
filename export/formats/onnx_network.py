"""The network in ONNX's operators: `NitroGen.forward`, node by node.

Written out, not left to PyTorch's exporters (docs/explanation/decisions.md). Each export proves that it
computes the same (`self_check`). Weights have their names in `NitroGen`; those of one sampler step end in the
step's number.
"""

from collections.abc import Iterable
from typing import cast

import torch
from onnx import TensorProto
from torch import Tensor

from contract.gamepad import ACTION_WIDTH
from export.checkpoint.config import TOKENS_PER_FRAME
from export.checkpoint.vision_config import PATCH_SIZE
from export.formats.onnx_nodes import GraphBuilder
from export.network.model import NitroGen
from export.network.transformer import DiT, DiTBlock, MixerBlock
from export.network.vision import VisionBlock, VisionTower

_PATCHES = 256 // PATCH_SIZE  # of a frame, in each direction

# Keys and values of each cross-attention block, as `GraphBuilder.attention` takes them.
CrossKeysValues = list[tuple[str, str]]


def network_graph(model: NitroGen) -> GraphBuilder:
    """Return the nodes from the contract's inputs to its outputs, and their weights."""
    graph = GraphBuilder(model.dit.out.weight.dtype)
    tokens = model.context_length * TOKENS_PER_FRAME + model.padding
    sequence = _sequence(graph, model, _vision(graph, model.vision), tokens)
    keys_values = _keys_values(graph, model.dit, _mix(graph, model, sequence, tokens), tokens)
    x = _sample(graph, model, keys_values)
    _decode(graph, x, model.horizon, old_layout=model.old_layout)
    return graph


def _vision(graph: GraphBuilder, tower: VisionTower) -> str:
    """Map `frames`, (B, K, 256, 256, 3) uint8, to the tower's tokens, (B x K x 256, D)."""
    pixels = graph.node("Cast", "frames", to=TensorProto.FLOAT)
    pixels = graph.node("Sub", graph.node("Div", pixels, graph.number(127.5)), graph.number(1.0))
    # A convolution whose patches do not overlap is a linear map of each patch.
    patches = graph.reshape(pixels, -1, _PATCHES, PATCH_SIZE, _PATCHES, PATCH_SIZE, 3)
    patches = graph.node("Transpose", patches, perm=[0, 1, 3, 2, 4, 5])
    patches = graph.lowered(graph.reshape(patches, -1, PATCH_SIZE * PATCH_SIZE * 3))
    embedding = tower.patch_embedding
    weight = graph.weight("vision.patch_embedding.weight", embedding.weight.permute(0, 2, 3, 1).flatten(1))
    bias = graph.weight("vision.patch_embedding.bias", cast("Tensor", embedding.bias))
    x = graph.raised(graph.product(patches, weight, bias))
    x = graph.add_rows(x, "vision.positions", tower.positions)
    for index, block in enumerate(cast("Iterable[VisionBlock]", tower.blocks)):
        name = f"vision.blocks.{index}"
        h = graph.lowered(graph.layer_norm(x, f"{name}.norm1", block.norm1))
        h = graph.self_attention(h, f"{name}.qkv", block.qkv, TOKENS_PER_FRAME, block.heads)
        x = graph.add_linear(x, h, f"{name}.out", block.out)
        h = graph.layer_norm(x, f"{name}.norm2", block.norm2)
        x = graph.add_feed_forward(x, h, name, block.up, block.down)
    return graph.layer_norm(x, "vision.norm", tower.norm)


def _sequence(graph: GraphBuilder, model: NitroGen, images: str, tokens: int) -> str:
    """Return the vision-language sequence, `NitroGen.tokens`: (B x S, D), with guidance (2B x S, D)."""
    width = model.vision.positions.size(1)
    sequence = graph.reshape(images, -1, model.context_length * TOKENS_PER_FRAME, width)
    count = graph.node("Clip", "frame_count", graph.integer(1), graph.integer(model.context_length))
    if model.is_guided:
        sequence = graph.node("Concat", sequence, sequence, axis=0)
        count = graph.node("Concat", count, graph.node("Min", count, graph.integer(1)), axis=0)
    if model.padding:
        sequence = graph.node("Pad", sequence, graph.integers(0, model.padding, 0, 0, 0, 0))
    row = graph.weight("row", torch.arange(tokens).reshape(1, -1, 1))
    used_rows = graph.node("Mul", graph.reshape(count, -1, 1, 1), graph.integer(TOKENS_PER_FRAME))
    first_image_row = graph.node("Sub", graph.integer(tokens), used_rows)
    is_unused = graph.node("Less", row, first_image_row)
    sequence = graph.node("Where", is_unused, graph.number(0.0), sequence)
    if model.reads_game:
        last = graph.integer(model.game_rows.size(0) - 1)
        game_id = graph.node("Clip", "game_id", graph.integer(0), last)
        game = graph.node("Gather", graph.weight("game_rows", model.game_rows), game_id)
        is_game = graph.node("Equal", row, graph.node("Sub", first_image_row, graph.integer(1)))
        sequence = graph.node("Where", is_game, game, sequence)
    return graph.reshape(sequence, -1, width)


def _mix(graph: GraphBuilder, model: NitroGen, x: str, tokens: int) -> str:
    """Apply the VL self-attention: (B x S, D) to (B x S, D)."""
    for index, block in enumerate(cast("Iterable[MixerBlock]", model.mixer)):
        name = f"mixer.{index}"
        h = graph.layer_norm(x, f"{name}.norm1", block.norm1)
        if block.has_positions:
            h = graph.add_rows(h, f"{name}.positions", block.positions[:tokens])
        h = graph.self_attention(graph.lowered(h), f"{name}.qkv", block.qkv, tokens, block.heads)
        x = _after_attention(graph, block, name, x, h)
    return x


def _after_attention(graph: GraphBuilder, block: MixerBlock | DiTBlock, name: str, x: str, h: str) -> str:
    """Return a block after its attention (VL or DiT): residual stream x, attended values h."""
    x = graph.add_linear(x, h, f"{name}.out", block.out)
    h = graph.layer_norm(x, f"{name}.norm3", block.norm3)
    inner = block.feed_forward
    return graph.add_feed_forward(x, h, f"{name}.feed_forward", inner.up, inner.down)


def _keys_values(graph: GraphBuilder, dit: DiT, context: str, tokens: int) -> CrossKeysValues:
    """Return the keys and values of all cross-attention blocks from the mixed tokens, (B x S, C)."""
    width = dit.out.in_features
    parts = graph.split(
        graph.linear(graph.lowered(context), "dit.keys_values", dit.keys_values), 2 * dit.cross_blocks
    )
    return [
        (
            graph.heads(keys, tokens, dit.heads, width, transposed=True),
            graph.heads(values, tokens, dit.heads, width),
        )
        for keys, values in zip(parts[::2], parts[1::2], strict=True)
    ]


def _sample(graph: GraphBuilder, model: NitroGen, keys_values: CrossKeysValues) -> str:
    """Map `noise`, `previous` and `previous_weight` to x(1), `NitroGen.sample`: (B x H, 25)."""
    noise = x = graph.reshape("noise", -1, ACTION_WIDTH)
    zero, one = graph.number(0.0), graph.number(1.0)
    weight = graph.reshape("previous_weight", -1, 1)
    is_pulled = graph.node("Greater", weight, zero)  # false for NaN
    weight = graph.node("Where", is_pulled, graph.node("Min", weight, one), zero)
    previous = graph.node("Where", is_pulled, graph.reshape("previous", -1, ACTION_WIDTH), noise)
    pull, keep = model.conditioning[1].flatten(1)
    pulls = graph.split(graph.node("Mul", weight, graph.weight("pulls", pull)), model.steps)
    keep_less = graph.node("Mul", weight, graph.weight("keeps", keep))
    keeps = graph.split(graph.node("Add", keep_less, one), model.steps)
    for step in range(model.steps):
        increment = _increment(graph, model, x, step, keys_values)
        pulled = graph.node("Mul", graph.node("Sub", previous, x), pulls[step])
        x = graph.node("Add", graph.node("Add", x, pulled), graph.node("Mul", increment, keeps[step]))
    return graph.node("Where", graph.node("Equal", weight, one), previous, x)


def _increment(graph: GraphBuilder, model: NitroGen, x: str, step: int, keys_values: CrossKeysValues) -> str:
    """Return the sampler step's addition to x, v(x, t) / N: (B x H, 25) to (B x H, 25)."""
    if model.is_guided:
        x = graph.node("Concat", x, x, axis=0)
    h = _encode(graph, model, x, step)
    for index, block in enumerate(cast("Iterable[DiTBlock]", model.dit.blocks)):
        name, width = f"dit.blocks.{index}", model.dit.out.in_features
        scale, shift = model.block_adaln[step, index]
        normed = graph.scaled_norm(h, f"{name}.norm1.{step}", scale, shift, block.norm1.eps)
        if block.has_positions:
            normed = graph.add_rows(normed, f"{name}.positions", block.positions)
        normed = graph.lowered(normed)
        if block.is_self_attention:
            attended = graph.self_attention(
                normed, f"{name}.projection", block.projection, model.horizon, block.heads
            )
        else:
            queries = graph.linear(normed, f"{name}.projection", block.projection)
            queries = graph.heads(queries, model.horizon, block.heads, width)
            keys, values = keys_values[model.dit.cross_index[index]]
            attended = graph.attention(queries, keys, values, block.heads, width)
        h = _after_attention(graph, block, name, h, attended)
    scale, shift = model.out_adaln[step]
    h = graph.scaled_norm(h, f"dit.norm_out.{step}", scale, shift, model.dit.norm_out.eps)
    h = graph.linear(graph.lowered(h), "dit.out", model.dit.out)
    h = graph.node("Relu", graph.linear(h, "action_decoder.layer1", model.action_decoder.layer1))
    increment = graph.raised(graph.linear(h, "action_decoder.layer2", model.action_decoder.layer2))
    if model.is_guided:
        conditional, unconditional = graph.split(increment, 2, axis=0)
        change = graph.node("Sub", conditional, unconditional)
        change = graph.node("Mul", change, graph.number(float(model.cfg_scale)))
        increment = graph.node("Add", conditional, change)
    return increment


def _encode(graph: GraphBuilder, model: NitroGen, x: str, step: int) -> str:
    """Apply the action encoder: (B x H, 25) to (B x H, D)."""
    encoder = model.action_encoder
    h = graph.linear(graph.lowered(x), "action_encoder.w1", encoder.w1)
    weight = graph.weight("action_encoder.w2.weight", encoder.w2.weight)
    bias = graph.weight(f"action_encoder.w2.bias.{step}", encoder.w2.bias[step])
    h = graph.raised(graph.product(h, weight, bias))
    h = graph.lowered(graph.node("Mul", h, graph.node("Sigmoid", h)))
    h = graph.linear(h, "action_encoder.w3", encoder.w3)
    return graph.add_rows(graph.raised(h), "action_encoder.positions", encoder.positions)


def _decode(graph: GraphBuilder, x: str, horizon: int, *, old_layout: bool) -> None:
    """Turn x(1), (B x H, 25), into the graph's four outputs."""
    actions = graph.node("Reshape", x, graph.integers(-1, horizon, ACTION_WIDTH), output="actions")
    left, right, buttons = ((0, 2), (2, 4), (4, 25)) if old_layout else ((21, 23), (23, 25), (0, 21))
    for output, columns in (("j_left", left), ("j_right", right)):
        stick = graph.node("Mul", graph.columns(actions, *columns), graph.number(2.0))
        stick = graph.node("Sub", stick, graph.number(1.0))
        graph.node("Clip", stick, graph.number(-1.0), graph.number(1.0), output=output)
    is_pressed = graph.node("Greater", graph.columns(actions, *buttons), graph.number(0.5))
    graph.node("Cast", is_pressed, to=TensorProto.FLOAT, output="buttons")
