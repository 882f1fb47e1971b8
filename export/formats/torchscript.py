"""Saving the model as TorchScript, and loading it again.

The saved graph must suit Triton's C++ libtorch backend: arguments named like the configured inputs, a flat
tuple of outputs, no device inside.
"""

import os
from pathlib import Path

import torch

from export.errors import RepositoryError
from export.formats.self_check import Graph, Inputs, Outputs
from export.network.model import NitroGen

_CODE_BYTES = 16 << 20  # at most, for the graph beside its tensors


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


def load_torchscript(path: Path) -> Graph:
    """Return the saved graph, to be run on the CPU in the way it is served."""
    loaded = torch.jit.load(str(path), map_location="cpu")

    def run(inputs: Inputs) -> Outputs:
        # The optimising executor would spend seconds on specialising for two calls.
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined] # untyped
            outputs: Outputs = loaded(*inputs)
        return outputs

    return run
