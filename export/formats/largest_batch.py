"""The largest batch, run once before a version is published: Triton's warm-up is not the first to try it."""

import ctypes
from pathlib import Path

import torch

from contract.failure_text import cause_of
from export.errors import VerificationError
from export.formats.self_check import Graph, Inputs, Reference

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def run_largest_batch(graph: Graph, reference: Reference, size: int) -> int | None:
    """Run the self-check's inputs as one batch of `size` samples.

    Returns:
        Peak bytes of this machine's memory, None where the system does not tell.

    Raises:
        VerificationError: when it cannot be run, or its answers are not finite.
    """
    given, _ = reference.batches[-1]
    rows = torch.arange(size) % given[0].size(0)
    frames, frame_count, game_id, noise, previous, weight = (tensor[rows] for tensor in given)
    inputs: Inputs = (frames, frame_count, game_id, noise, previous, weight)
    before = _resident_bytes()
    try:
        is_finite = bool(graph(inputs)[-1].isfinite().all())
    except Exception as error:
        # Each runtime has exceptions of its own.
        raise VerificationError(
            f"the saved graph does not run a batch of {size} on this machine ({cause_of(str(error))}): give "
            "a smaller --max-batch-size, or export on a machine with more memory"
        ) from error
    if not is_finite:
        raise VerificationError(f"the saved graph's answers to a batch of {size} are not finite")
    return None if before is None else max(_status_bytes("VmHWM") - before, 0)


def _resident_bytes() -> int | None:
    """Return the bytes in memory now, where the peak begins; None where the system does not tell."""
    try:
        # Memory that earlier runs have left to the allocator would be taken for this one's.
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text(_RESET_PEAK)
        return _status_bytes("VmRSS")
    except (AttributeError, OSError):
        return None


def _status_bytes(key: str) -> int:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[key].split()[0]) * 1024
