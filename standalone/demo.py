"""`python -m standalone.demo FOLDER`: an untrained checkpoint in the real file format, to try the chain.

The released architecture (layers, steps, horizon) at a reduced width, with deterministic random weights. Its
actions mean nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

from export.checkpoint.untrained import save_untrained_checkpoint
from export.checkpoint.vision_config import read_vision_config

SEED = 20251219
WIDTH = 64
HEADS = 2
HORIZON = 18
CHECKPOINT_NAME = "ng.pt"
TOWER_NAME = "demo-tower-patch16-256"


def demo_config() -> dict[str, Any]:
    """`ckpt_config` of the demo checkpoint."""
    transformer = {
        "num_attention_heads": HEADS,
        "attention_head_dim": WIDTH // HEADS,
        "attention_bias": True,
        "activation_fn": "gelu-approximate",
        "positional_embeddings": None,
        "max_num_positional_embeddings": 512,
    }
    return {
        "experiment_name": "demo",
        "model_cfg": {
            "model_type": "nitrogen",
            "add_pos_embed": True,
            "add_view_embed": False,
            "diffusion_model_cfg": {
                **transformer,
                "output_dim": WIDTH,
                "num_layers": 8,
                "norm_type": "ada_norm",
                "norm_elementwise_affine": False,
                "norm_eps": 1e-5,
                "interleave_self_attention": True,
                "cross_attention_dim": None,
            },
            "vl_self_attention_cfg": {**transformer, "num_layers": 4},
            "hidden_size": WIDTH,
            "max_seq_len": HORIZON,
            "action_dim": 25,
            "action_horizon": HORIZON,
            "num_timestep_buckets": 1000,
            "num_inference_timesteps": 16,
            "max_num_embodiments": 1,
            "vision_encoder_name": TOWER_NAME,
            "vision_hidden_size": WIDTH,
        },
        "tokenizer_cfg": {
            "tokenizer_id": "nitrogen",
            "num_visual_tokens_per_frame": 256,
            "max_action_dim": 25,
            "max_sequence_length": 256,
            "action_horizon": HORIZON,
            "game_mapping_cfg": None,
            "old_layout": False,
        },
        "modality_cfg": {"frame_per_sample": 1, "action_interleaving": False},
    }


def write_demo_checkpoint(folder: Path) -> Path:
    """Write `ng.pt` and its vision tower's `config.json` into `folder`; the same bytes each time.

    Returns:
        The checkpoint's path.
    """
    tower = folder / TOWER_NAME
    tower.mkdir(parents=True, exist_ok=True)
    figures = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 24,
        "num_attention_heads": HEADS,
        "image_size": 256,
        "patch_size": 16,
    }
    (tower / "config.json").write_text(json.dumps({"vision_config": figures}, indent=2), encoding="utf-8")
    config = demo_config()
    path = folder / CHECKPOINT_NAME
    save_untrained_checkpoint(path, config, read_vision_config(tower / "config.json"), SEED)
    return path


def main() -> int:
    """Write the demo checkpoint into the folder that the command line names."""
    write_demo_checkpoint(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
