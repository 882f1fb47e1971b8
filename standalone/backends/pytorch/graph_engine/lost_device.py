"""Errors after which CUDA fails every later call of the process, such as an illegal memory access."""

import torch


def is_lost(device: torch.device, error: RuntimeError) -> bool:
    """Whether a device will answer no call of this process any more, after one that failed with an error.

    A CPU cannot be asked, and is lost for the stand-in's tests: when the error calls itself one of CUDA.
    """
    if device.type != "cuda":
        return "CUDA error" in str(error)
    try:  # pragma: no cover - needs a GPU
        torch.cuda.synchronize(device)
    except RuntimeError:  # pragma: no cover
        return True
    return False  # pragma: no cover
