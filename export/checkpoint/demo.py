"""Untrained checkpoints for measurements and for the demo, in the real file format, to try the chain.

The demo has the released architecture (layers, steps, horizon) at a reduced width, with deterministic random
weights. Its actions mean nothing.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.checkpoint.config import parse_config
from export.checkpoint.tensors import checkpoint_tensors
from export.checkpoint.vision_config import VisionConfig, read_vision_config
from export.errors import CheckpointError
from export.folder_lock import lock_folder

SEED = 20251219
WIDTH = 64
HEADS = 2
HORIZON = 18
CHECKPOINT_NAME = "ng.pt"
TOWER_NAME = "demo-tower-patch16-256"
_FOLDER_PREFIX = "nitrogen-demo-"


def demo_config() -> dict[str, Any]:
    """Return `ckpt_config` of the demo checkpoint."""
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


def save_untrained_checkpoint(
    path: Path, ckpt_config: dict[str, Any], vision: VisionConfig, seed: int
) -> None:
    """Write an `ng.pt` without games; the same bytes for the same arguments and file name.

    Raises:
        CheckpointError: when `ckpt_config` is malformed.
        OSError: when the file cannot be written.
    """
    shapes = checkpoint_tensors(parse_config(ckpt_config), vision, num_games=0)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _initial(name, shape, generator) for name, shape in shapes.items()}
    torch.save({"model": tensors, "ckpt_config": ckpt_config, "step": 0, "epoch": 0}, path)


def _initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return norms as identities, biases as zeros, and the rest normal, so that activations stay near 1."""
    if len(shape) == 1 or name.endswith(".b"):
        is_norm = "norm" in name and name.endswith(".weight")
        return torch.ones(shape) if is_norm else torch.zeros(shape)
    # Matrices of the action encoder and decoder are (embodiment, in, out), all others (out, in, ...).
    inputs = shape[1] if name.endswith(".W") else math.prod(shape[1:])
    return torch.randn(shape, generator=generator) * inputs**-0.5


@contextmanager
def demo_checkpoint() -> Iterator[Path]:
    """Yield the demo checkpoint in a temporary folder, which is deleted at the end.

    Raises:
        CheckpointError: when it cannot be written.
    """
    with ExitStack() as at_end:
        try:
            folder, lock = _locked_folder()
            at_end.callback(os.close, lock)
            at_end.callback(shutil.rmtree, folder, ignore_errors=True)
            path = write_demo_checkpoint(folder)
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            full = "torch stopped writing, as on a full disk"
            reason = error.strerror if isinstance(error, OSError) else full
            raise CheckpointError(
                f"the demo checkpoint cannot be written into a temporary folder ({reason}): "
                "set TMPDIR to a folder that can be written and has 20 MB free"
            ) from error
        yield path


def _locked_folder() -> tuple[Path, int]:
    """Return a new temporary folder and its lock, which tells others that its process lives."""
    for abandoned in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with suppress(OSError):  # it lives, has just gone, or is another user's
            os.close(lock_folder(abandoned, wait=False))
            shutil.rmtree(abandoned)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        with suppress(BlockingIOError, FileNotFoundError):  # another process took it for abandoned
            lock = lock_folder(folder, wait=False)
            if folder.exists():
                return folder, lock
            os.close(lock)
