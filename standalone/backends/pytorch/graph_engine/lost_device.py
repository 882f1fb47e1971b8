"""Errors after which CUDA fails every later call of the process, such as an illegal memory access."""

import torch


def is_lost(device: torch.device, error: RuntimeError) -> bool:
    """Return whether a device will fail all further calls of this process, after one that failed.

    A GPU is asked. A CPU counts as lost for the stand-in's tests alone, if the error says that it is CUDA's.
    """
    if device.type == "cuda":  # pragma: no cover - needs a GPU
        try:
            torch.cuda.synchronize(device)
        except RuntimeError:
            return True
        return False
    return "CUDA error" in str(error)
