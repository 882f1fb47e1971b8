"""Names and shapes of the tensors in a checkpoint's state_dict, worked out from its configuration.

Only this module, and `weights`, which reads them, know the checkpoint's names. The order is the released
checkpoint's.
"""

from collections.abc import Mapping

from torch import Tensor

from contract.gamepad import ACTION_WIDTH
from export.checkpoint.config import CheckpointConfig, TransformerConfig
from export.checkpoint.vision_config import IMAGE_SIZE, PATCH_SIZE, VisionConfig
from export.errors import CheckpointError, first_few, shown

Shapes = dict[str, tuple[int, ...]]

TIME_FEATURES = 256
UNUSED_PREFIX = "vision_encoder.head."  # SigLIP's pooling head: the model uses the tower's tokens instead


def checkpoint_tensors(config: CheckpointConfig, vision: VisionConfig, num_games: int) -> Shapes:
    """Return the shape of every tensor of the state_dict by its name, the unused ones included.

    Args:
        config: the checkpoint's own.
        vision: that of its vision tower.
        num_games: rows of the game table, 0 for a model without games.
    """
    model = config.model_cfg
    dit, mixer, width = model.diffusion_model_cfg, model.vl_self_attention_cfg, model.hidden_size
    shapes = {
        **_vision_tensors(vision),
        **_layer("model.timestep_encoder.timestep_embedder.linear_1", width, TIME_FEATURES),
        **_layer("model.timestep_encoder.timestep_embedder.linear_2", width, width),
    }
    for index in range(dit.num_layers):
        block = f"model.transformer_blocks.{index}"
        context_width = dit.width if dit.is_self_attention(index) else dit.context_width
        norm1 = _layer(f"{block}.norm1.linear", 2 * dit.width, dit.width)
        shapes |= _block_tensors(block, dit, context_width, norm1, {})
    shapes |= _layer("model.proj_out_1", 2 * width, width)
    shapes |= _layer("model.proj_out_2", dit.output_dim, width)
    for index in range(mixer.num_layers):
        block = f"vl_self_attention_model.transformer_blocks.{index}"
        norm1, norm3 = (_layer(f"{block}.{norm}", mixer.width) for norm in ("norm1", "norm3"))
        shapes |= _block_tensors(block, mixer, mixer.width, norm1, norm3)
    embodiments = model.max_num_embodiments
    for name, inner, outer in [
        ("action_encoder.W1", ACTION_WIDTH, width),
        ("action_encoder.W2", 2 * width, width),
        ("action_encoder.W3", width, width),
        ("action_decoder.layer1", dit.output_dim, width),
        ("action_decoder.layer2", width, ACTION_WIDTH),
    ]:
        shapes[f"{name}.W"] = (embodiments, inner, outer)
        shapes[f"{name}.b"] = (embodiments, outer)
    if model.add_pos_embed:
        shapes["position_embedding.weight"] = (model.max_seq_len, width)
    if num_games:
        shapes["game_embedding.weight"] = (num_games, model.vision_hidden_size)
    return shapes


def check_tensors(tensors: Mapping[str, Tensor], expected: Shapes) -> None:
    """Compare a state_dict with the shapes from `checkpoint_tensors`; unused tensors may be anything.

    Raises:
        CheckpointError: naming missing, wrongly shaped, non-float and unexpected tensors.
    """
    problems = [
        f"{name} is missing"
        for name in expected
        if name not in tensors and not name.startswith(UNUSED_PREFIX)
    ]
    for name, tensor in tensors.items():
        if name.startswith(UNUSED_PREFIX):
            continue
        if name not in expected:
            problems.append(f"{shown(name)} is not expected")
        elif tuple(tensor.shape) != expected[name]:
            problems.append(f"{name} has shape {tuple(tensor.shape)} instead of {expected[name]}")
        elif not tensor.is_floating_point():
            problems.append(f"{name} has type {tensor.dtype} instead of a float")
    if problems:
        raise CheckpointError(
            f"the checkpoint's tensors do not fit its configuration: {first_few(problems, '; ', ', and')}"
        )


def _layer(name: str, *weight: int) -> Shapes:
    """Return a layer's weight, its outputs first, and its bias."""
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _vision_tensors(vision: VisionConfig) -> Shapes:
    width, root = vision.width, "vision_encoder."
    shapes: Shapes = {
        **_layer(f"{root}embeddings.patch_embedding", width, 3, PATCH_SIZE, PATCH_SIZE),
        f"{root}embeddings.position_embedding.weight": ((IMAGE_SIZE // PATCH_SIZE) ** 2, width),
    }
    for index in range(vision.num_layers):
        block = f"{root}encoder.layers.{index}"
        shapes |= _layer(f"{block}.layer_norm1", width)
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= _layer(f"{block}.self_attn.{name}", width, width)
        shapes |= _layer(f"{block}.layer_norm2", width)
        shapes |= _layer(f"{block}.mlp.fc1", vision.mlp_width, width)
        shapes |= _layer(f"{block}.mlp.fc2", width, vision.mlp_width)
    shapes |= _layer(f"{root}post_layernorm", width)
    head = UNUSED_PREFIX
    shapes[f"{head}probe"] = (1, 1, width)
    shapes[f"{head}attention.in_proj_weight"] = (3 * width, width)
    shapes[f"{head}attention.in_proj_bias"] = (3 * width,)
    shapes |= _layer(f"{head}attention.out_proj", width, width)
    shapes |= _layer(f"{head}layernorm", width)
    shapes |= _layer(f"{head}mlp.fc1", vision.mlp_width, width)
    shapes |= _layer(f"{head}mlp.fc2", width, vision.mlp_width)
    return shapes


def _block_tensors(
    block: str, config: TransformerConfig, context_width: int, norm1: Shapes, norm3: Shapes
) -> Shapes:
    """Return a block of the DiT or the VL self-attention, which differ in what their norms hold."""
    width, rows = config.width, config.position_rows
    return {
        **({f"{block}.pos_embed.pe": (1, rows, width)} if rows else {}),
        **norm1,
        **_layer(f"{block}.attn1.to_q", width, width),
        **_layer(f"{block}.attn1.to_k", width, context_width),
        **_layer(f"{block}.attn1.to_v", width, context_width),
        **_layer(f"{block}.attn1.to_out.0", width, width),
        **norm3,
        **_layer(f"{block}.ff.net.0.proj", 4 * width, width),
        **_layer(f"{block}.ff.net.2", width, 4 * width),
    }
