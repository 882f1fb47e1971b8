"""The whole way of a checkpoint into a repository: read, build, save, verify, publish."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from export.checkpoint.reader import Checkpoint, read_checkpoint
from export.errors import OptionError
from export.formats.torchscript import save_torchscript, verify_torchscript
from export.network.model import Sampling
from export.network.weights import load_model
from export.repository.triton_config import DeviceKind, Facts, fill_config
from export.repository.versions import MODEL_FILE, choose_version, new_version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportOptions:
    """What to publish, where, and how the model is to sample.

    `version`: None for the one after the newest. `steps`, `context_length`: None for the checkpoint's own.
    """

    checkpoint: Path
    repository: Path
    name: str = "nitrogen"
    version: int | None = None
    max_batch_size: int = 16
    steps: int | None = None
    context_length: int | None = None
    cfg_scale: float = 1.0
    device_kind: DeviceKind = "auto"
    force: bool = False


def export_checkpoint(options: ExportOptions) -> Path:
    """Publish a checkpoint as a version of a Triton model.

    Returns:
        The version's folder.

    Raises:
        ExportError: one of its subclasses; nothing is published then.
    """
    logger.info("reading %s", options.checkpoint)
    checkpoint = read_checkpoint(options.checkpoint)
    sampling = choose_sampling(checkpoint, options)
    facts = _facts(checkpoint, sampling)
    number = choose_version(options.repository, options.name, options.version, facts, force=options.force)
    config = fill_config(
        facts,
        name=options.name,
        version=number,
        max_batch_size=options.max_batch_size,
        device_kind=options.device_kind,
    )
    logger.info("building the model: %s", sampling)
    model = load_model(
        checkpoint.tensors, checkpoint.config, checkpoint.vision, len(checkpoint.games), sampling
    )
    with new_version(options.repository, options.name, number, config) as folder:
        logger.info("scripting and saving")
        save_torchscript(model, folder / MODEL_FILE)
        logger.info("verifying the saved graph")
        difference = verify_torchscript(model, folder / MODEL_FILE)
    logger.info("the saved graph is within %.1e of the eager model", difference)
    return options.repository / options.name / str(number)


def choose_sampling(checkpoint: Checkpoint, options: ExportOptions) -> Sampling:
    """The checkpoint's own sampling with what the options override.

    Raises:
        OptionError: when the checkpoint cannot do it.
    """
    config = checkpoint.config
    context = options.context_length or config.modality_cfg.frame_per_sample
    if context > config.context_capacity:
        raise OptionError(
            f"a context of {context} frames is impossible: max_sequence_length "
            f"{config.tokenizer_cfg.max_sequence_length} holds the tokens of {config.context_capacity}; "
            f"use --context {config.context_capacity} or less"
        )
    steps = options.steps or config.model_cfg.num_inference_timesteps
    if not math.isfinite(options.cfg_scale):
        raise OptionError(f"--cfg-scale {options.cfg_scale} is no finite number")
    return Sampling(context, steps, options.cfg_scale)


def _facts(checkpoint: Checkpoint, sampling: Sampling) -> Facts:
    config = checkpoint.config
    return Facts(
        checkpoint_path=str(checkpoint.path),
        checkpoint_sha256=checkpoint.sha256,
        action_horizon=config.model_cfg.action_horizon,
        context_length=sampling.context_length,
        games=checkpoint.games,
        old_layout=config.tokenizer_cfg.old_layout,
        action_interleaving=config.modality_cfg.action_interleaving,
        inference_steps=sampling.steps,
        cfg_scale=sampling.cfg_scale,
    )
