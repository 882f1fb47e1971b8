import json
from typing import Any

import pytest

from export.checkpoint.config import parse_config
from export.errors import CheckpointError
from tests.golden import GOLDEN


@pytest.fixture
def figures() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / "tiny-ctx" / "config.json").read_text())
    return loaded


def test_unknown_keys_are_ignored(figures: dict[str, Any]) -> None:
    figures["model_cfg"]["invented_later"] = {"a": 1}

    assert parse_config(figures).model_cfg.action_horizon == 18


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("model_cfg", "hidden_size"),
        ("model_cfg", "vision_encoder_name"),
        ("tokenizer_cfg", "max_sequence_length"),
        ("modality_cfg", "frame_per_sample"),
    ],
)
def test_a_missing_key_is_named(figures: dict[str, Any], section: str, key: str) -> None:
    del figures[section][key]

    with pytest.raises(CheckpointError, match=f"{section}.{key}"):
        parse_config(figures)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model_cfg.hidden_size", 96, "DiT heads x head_dim is 64, but hidden_size is 96"),
        ("model_cfg.diffusion_model_cfg.output_dim", 32, "DiT output_dim is 32"),
        ("model_cfg.vision_hidden_size", 128, "VL heads x head_dim is 64"),
        ("model_cfg.diffusion_model_cfg.cross_attention_dim", 32, "cross-attention width is 32"),
        ("tokenizer_cfg.action_horizon", 16, "tokenizer_cfg.action_horizon is 16"),
        ("model_cfg.max_seq_len", 8, "position_embedding has 8 rows, but 18"),
        (
            "model_cfg.vl_self_attention_cfg.max_num_positional_embeddings",
            300,
            "VL positions has 300 rows, but 780",
        ),
        ("model_cfg.diffusion_model_cfg.norm_type", "layer_norm", "norm_type"),
        ("model_cfg.diffusion_model_cfg.norm_eps", 1e-6, "norm_eps"),
        ("model_cfg.action_dim", 30, "action_dim"),
        ("model_cfg.add_view_embed", True, "add_view_embed"),
        ("model_cfg.num_inference_timesteps", 0, "num_inference_timesteps"),
        ("model_cfg.vl_self_attention_cfg.positional_embeddings", "rope", "positional_embeddings"),
    ],
)
def test_contradictory_and_unsupported_values_are_named(
    figures: dict[str, Any], path: str, value: object, message: str
) -> None:
    *sections, key = path.split(".")
    section = figures
    for name in sections:
        section = section[name]
    section[key] = value

    with pytest.raises(CheckpointError, match=message):
        parse_config(figures)


def test_the_game_token_counts_towards_the_context(figures: dict[str, Any]) -> None:
    figures["tokenizer_cfg"]["max_sequence_length"] = 768
    assert parse_config(figures).context_capacity == 2

    figures["tokenizer_cfg"]["game_mapping_cfg"] = None
    assert parse_config(figures).context_capacity == 3
