"""This machine's bfloat16 units and GPU, which decide which format is fastest. Free of torch."""

import ctypes
import importlib.util
from dataclasses import dataclass
from pathlib import Path

# Instruction sets with bfloat16 products; without one of them bfloat16 is slower than float32.
BF16_UNITS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Machine:
    """`bf16_units`: those of `BF16_UNITS` that its CPU has. `gpu`: whether PyTorch can use an NVIDIA GPU."""

    bf16_units: tuple[str, ...]
    gpu: bool


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    return Machine(bf16_units(), _has_cuda_pytorch() and _has_nvidia_gpu())


def bf16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Return those of `BF16_UNITS` that this machine's CPU has."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return tuple(unit for unit in BF16_UNITS if unit in flags)


def _has_cuda_pytorch() -> bool:
    """Return whether the PyTorch that is installed was built for CUDA; importing it would take seconds."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    return Path(torch.origin).with_name("lib").joinpath("libtorch_cuda.so").exists()


def _has_nvidia_gpu() -> bool:
    """Return whether NVIDIA's driver shows this process a GPU, which CUDA_VISIBLE_DEVICES may hide."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
