"""The explicit map from a checkpoint's state_dict to the served model's parameters and buffers.

Strict in both directions: the checkpoint's reader has compared names and shapes with what there must be, and
the mapped tensors load strictly into `NitroGen`. Query, key and value matrices are stacked into one; the
tensors under `tensors.UNUSED_PREFIX` (the vision tower's pooling head) are not used.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from export.checkpoint.config import CheckpointConfig
from export.checkpoint.reader import Checkpoint
from export.checkpoint.vision_config import VisionConfig
from export.network.conditioning import conditioning_table
from export.network.model import NitroGen, Sampling
from export.network.time_tables import time_buckets, time_tables


def load_model(checkpoint: Checkpoint, sampling: Sampling) -> NitroGen:
    """Build the served model from a checked checkpoint, in float32 on the CPU, in eval mode."""
    with torch.device("meta"):
        model = NitroGen(checkpoint.config, checkpoint.vision, len(checkpoint.games), sampling)
    mapped = _mapped(checkpoint, sampling)
    model.load_state_dict({name: tensor.float() for name, tensor in mapped.items()}, strict=True, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


def _mapped(checkpoint: Checkpoint, sampling: Sampling) -> dict[str, Tensor]:
    """Return the tensors of `NitroGen` by their names there."""
    tensors, model = checkpoint.tensors, checkpoint.config.model_cfg
    dit = model.diffusion_model_cfg
    buckets = time_buckets(sampling.steps, model.num_timestep_buckets)
    no_games = torch.empty(0, model.vision_hidden_size)
    mapped = {
        **time_tables(tensors, buckets, dit.num_layers, model.hidden_size),
        "conditioning": conditioning_table(sampling.steps),
        "game_rows": tensors["game_embedding.weight"] if checkpoint.games else no_games,
        **_vision(tensors, checkpoint.vision),
        **_actions(tensors, checkpoint.config, sampling.steps),
    }
    for index in range(model.vl_self_attention_cfg.num_layers):
        source, target = f"vl_self_attention_model.transformer_blocks.{index}", f"mixer.{index}"
        mapped |= _same(tensors, f"{source}.norm1", f"{target}.norm1")
        mapped |= _same(tensors, f"{source}.norm3", f"{target}.norm3")
        mapped |= _stacked(tensors, [f"{source}.attn1.to_{part}" for part in "qkv"], f"{target}.qkv")
        mapped |= _block_rest(tensors, source, target, model.vl_self_attention_cfg.width)
    mapped |= _stacked(
        tensors,
        [
            f"model.transformer_blocks.{index}.attn1.to_{part}"
            for index in range(dit.num_layers)
            if not dit.is_self_attention(index)
            for part in "kv"
        ],
        "dit.keys_values",
    )
    for index in range(dit.num_layers):
        source, target = f"model.transformer_blocks.{index}", f"dit.blocks.{index}"
        parts = "qkv" if dit.is_self_attention(index) else "q"
        mapped |= _stacked(tensors, [f"{source}.attn1.to_{part}" for part in parts], f"{target}.projection")
        mapped |= _block_rest(tensors, source, target, dit.width)
        mapped[f"{target}.positions"] = mapped[f"{target}.positions"][: model.action_horizon].clone()
    mapped |= _same(tensors, "model.proj_out_2", "dit.out")
    return mapped


def _same(tensors: Mapping[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    return {f"{target}.{kind}": tensors[f"{source}.{kind}"] for kind in ("weight", "bias")}


def _stacked(tensors: Mapping[str, Tensor], sources: Iterable[str], target: str) -> dict[str, Tensor]:
    names = list(sources)
    return {
        f"{target}.{kind}": torch.cat([tensors[f"{name}.{kind}"] for name in names])
        for kind in ("weight", "bias")
    }


def _block_rest(tensors: Mapping[str, Tensor], source: str, target: str, width: int) -> dict[str, Tensor]:
    positions = tensors.get(f"{source}.pos_embed.pe")
    return {
        f"{target}.positions": torch.empty(0, width) if positions is None else positions[0],
        **_same(tensors, f"{source}.attn1.to_out.0", f"{target}.out"),
        **_same(tensors, f"{source}.ff.net.0.proj", f"{target}.feed_forward.up"),
        **_same(tensors, f"{source}.ff.net.2", f"{target}.feed_forward.down"),
    }


def _vision(tensors: Mapping[str, Tensor], vision: VisionConfig) -> dict[str, Tensor]:
    embeddings = "vision_encoder.embeddings"
    mapped = {
        **_same(tensors, f"{embeddings}.patch_embedding", "vision.patch_embedding"),
        "vision.positions": tensors[f"{embeddings}.position_embedding.weight"],
        **_same(tensors, "vision_encoder.post_layernorm", "vision.norm"),
    }
    for index in range(vision.num_layers):
        source, target = f"vision_encoder.encoder.layers.{index}", f"vision.blocks.{index}"
        mapped |= _stacked(tensors, [f"{source}.self_attn.{part}_proj" for part in "qkv"], f"{target}.qkv")
        for theirs, ours in [
            ("layer_norm1", "norm1"),
            ("self_attn.out_proj", "out"),
            ("layer_norm2", "norm2"),
            ("mlp.fc1", "up"),
            ("mlp.fc2", "down"),
        ]:
            mapped |= _same(tensors, f"{source}.{theirs}", f"{target}.{ours}")
    return mapped


def _actions(tensors: Mapping[str, Tensor], config: CheckpointConfig, steps: int) -> dict[str, Tensor]:
    model = config.model_cfg
    mapped = {}
    for theirs, ours in [
        ("action_encoder.W1", "action_encoder.w1"),
        ("action_encoder.W3", "action_encoder.w3"),
        ("action_decoder.layer1", "action_decoder.layer1"),
        ("action_decoder.layer2", "action_decoder.layer2"),
    ]:
        # Stored as (embodiment, in, out); a linear wants (out, in).
        mapped[f"{ours}.weight"] = tensors[f"{theirs}.W"][0].t().contiguous()
        mapped[f"{ours}.bias"] = tensors[f"{theirs}.b"][0]
    # The time half is in the biases that `time_tables` makes.
    of_actions = tensors["action_encoder.W2.W"][0, : model.hidden_size]
    mapped["action_encoder.w2.weight"] = of_actions.t().contiguous()
    for kind in ("weight", "bias"):
        mapped[f"action_decoder.layer2.{kind}"] = mapped[f"action_decoder.layer2.{kind}"].float() / steps
    if model.add_pos_embed:
        mapped["action_encoder.positions"] = tensors["position_embedding.weight"][: model.action_horizon]
    else:
        mapped["action_encoder.positions"] = torch.zeros(model.action_horizon, model.hidden_size)
    return mapped
