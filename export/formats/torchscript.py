"""Saving the model as TorchScript, and proving that the saved file computes the same.

The saved graph must suit Triton's C++ libtorch backend: arguments named like the configured inputs, a flat
tuple of outputs, no device inside.
"""

import os
from pathlib import Path

import torch
from torch import Tensor

from export.checkpoint.config import ACTION_DIM
from export.errors import RepositoryError, VerificationError
from export.network.model import NitroGen

VERIFIED_BATCH_SIZES = (1, 3)
MAX_DIFFERENCE = 5e-5  # of `actions`, between the eager model and the saved graph
_CODE_BYTES = 16 << 20  # at most, for the graph beside its tensors

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def random_inputs(model: NitroGen, batch: int, seed: int) -> Inputs:
    """Arguments of `NitroGen.forward` for a batch of random frames, frame counts, games and noise."""
    generator = torch.Generator().manual_seed(seed)
    context = model.context_length

    def integers(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (batch, 1), generator=generator)

    return (
        torch.randint(0, 256, (batch, context, 256, 256, 3), generator=generator, dtype=torch.uint8),
        integers(1, context + 1),
        integers(0, max(model.game_rows.size(0), 1)),
        torch.randn(batch, model.horizon, ACTION_DIM, generator=generator),
    )


def save_torchscript(model: NitroGen, path: Path) -> None:
    """Script the model and write it to `path`, down to the disk.

    Raises:
        RepositoryError: when the file cannot be written.
    """
    scripted = torch.jit.script(model)
    need = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())) + _CODE_BYTES
    try:
        with path.open("wb") as file:
            # Asked for beforehand: PyTorch's writer ends the whole process when the disk is full.
            os.posix_fallocate(file.fileno(), 0, need)
        scripted.save(str(path))
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise RepositoryError(
            f"{need / 1e9:.2f} GB for {path} cannot be written ({error.strerror}): "
            "free some space, or choose another --repository"
        ) from error


def verify_torchscript(model: NitroGen, path: Path) -> float:
    """Load the saved graph again and compare it with the eager model on random inputs.

    Returns:
        The largest absolute difference of `actions` seen, at the batch sizes `VERIFIED_BATCH_SIZES`.

    Raises:
        VerificationError: when it is above `MAX_DIFFERENCE` or not finite, or the graph decodes differently.
    """
    loaded = torch.jit.load(str(path), map_location="cpu")
    worst = 0.0
    # As it is served; the optimising executor would spend seconds on specialising for two calls.
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined] # untyped
        for batch in VERIFIED_BATCH_SIZES:
            inputs = random_inputs(model, batch, seed=batch)
            outputs = loaded(*inputs)
            difference = (model(*inputs)[-1] - outputs[-1]).abs().max().item()
            if not difference <= MAX_DIFFERENCE:  # also true of NaN
                raise VerificationError(
                    f"at batch {batch} the saved graph differs from the eager model by {difference:.3g}, "
                    f"more than {MAX_DIFFERENCE}: nothing was published. "
                    "Do the weights hold NaN or extreme values?"
                )
            if not all(map(torch.equal, outputs, model.decode(outputs[-1]))):
                raise VerificationError(f"at batch {batch} the saved graph decodes its actions differently")
            worst = max(worst, difference)
    return worst
