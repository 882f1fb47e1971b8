"""The operations that one call sends to its device, counted by PyTorch's profiler."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cuGraphLaunch")
_COPIES = ("Memcpy", "Memset")


@dataclass(frozen=True)
class Launches:
    """`by_cpu`: launches by the CPU, or operations if the device is one. `kernels`: what a GPU runs."""

    by_cpu: int
    kernels: int | None


def count_launches(call: Callable[[], object], device: torch.device) -> Launches:
    """Count what one call does."""
    if device.type != "cuda":
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            call()
        operations = [event for event in profiled.events() if event.name.startswith("aten::")]
        outermost = [
            event
            for event in operations
            if event.cpu_parent is None or not event.cpu_parent.name.startswith("aten::")
        ]
        return Launches(len(outermost), None)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        call()
        torch.cuda.synchronize(device)
    on_device = [event.name for event in profiled.events() if event.device_type == DeviceType.CUDA]
    return Launches(
        sum(event.name.startswith(_LAUNCHES) for event in profiled.events()),
        sum(not name.startswith(_COPIES) for name in on_device),
    )
