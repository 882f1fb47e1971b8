"""Checkpoints with deterministic random weights, for demonstrations and measurements."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.checkpoint.config import parse_config
from export.checkpoint.tensors import checkpoint_tensors
from export.checkpoint.vision_config import VisionConfig


def save_untrained_checkpoint(
    path: Path, ckpt_config: dict[str, Any], vision: VisionConfig, seed: int
) -> None:
    """Write an `ng.pt` without games; the same bytes for the same arguments and file name.

    Raises:
        CheckpointError: when `ckpt_config` is none.
        OSError: when the file cannot be written.
    """
    shapes = checkpoint_tensors(parse_config(ckpt_config), vision, num_games=0)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _initial(name, shape, generator) for name, shape in shapes.items()}
    torch.save({"model": tensors, "ckpt_config": ckpt_config, "step": 0, "epoch": 0}, path)


def _initial(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Norms as identities, biases zero, all else normal with a spread that keeps activations near 1."""
    if len(shape) == 1 or name.endswith(".b"):
        is_norm = "norm" in name and name.endswith(".weight")
        return torch.ones(shape) if is_norm else torch.zeros(shape)
    # Matrices of the action encoder and decoder are (embodiment, in, out), all others (out, in, ...).
    inputs = shape[1] if name.endswith(".W") else math.prod(shape[1:])
    return torch.randn(shape, generator=generator) * inputs**-0.5
