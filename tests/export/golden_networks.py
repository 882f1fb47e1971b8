"""The golden checkpoints as networks of this process."""

import functools
from dataclasses import replace

import numpy as np
import torch

from export.checkpoint.reader import Checkpoint, read_checkpoint
from export.formats.self_check import Inputs
from export.network.model import NitroGen, Sampling
from export.network.weights import load_model
from tests.golden import GOLDEN, GoldenCase, checkpoint_path


@functools.cache
def golden_checkpoint(name: str) -> Checkpoint:
    """Return what is read of a golden checkpoint."""
    return read_checkpoint(checkpoint_path(name), GOLDEN)


def golden_network(
    name: str, cfg_scale: float = 1.0, *, old_layout: bool | None = None, steps: int | None = None
) -> NitroGen:
    """Its network; None: as the checkpoint says."""
    read = golden_checkpoint(name)
    config = read.config
    if old_layout is not None:
        tokenizer = config.tokenizer_cfg.model_copy(update={"old_layout": old_layout})
        config = config.model_copy(update={"tokenizer_cfg": tokenizer})
    steps = steps or config.model_cfg.num_inference_timesteps
    sampling = Sampling(config.modality_cfg.frame_per_sample, steps, cfg_scale)
    return load_model(replace(read, config=config), sampling)


def golden_inputs(*cases: GoldenCase) -> Inputs:
    """Cases of one checkpoint as a batch, without a previous chunk; NaN stands where nothing may look."""
    noise = torch.from_numpy(np.stack([case.noise for case in cases]))
    return (
        torch.from_numpy(np.stack([case.frames for case in cases])),
        torch.tensor([[case.frame_count] for case in cases]),
        torch.tensor([[case.game_id] for case in cases]),
        noise,
        torch.full_like(noise, torch.nan),
        torch.zeros(noise.shape[:2]),
    )
