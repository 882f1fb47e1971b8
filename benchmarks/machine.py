"""Describes the machine to a figure's reader, without names and paths."""

import importlib.metadata
import os
import platform
from pathlib import Path

_CLASSES = (("AMX", "amx_tile"), ("AVX-512", "avx512f"), ("AVX2", "avx2"))
_PACKAGES = ("grpcio", "pyzmq", "uvloop", "numpy")


def machine_in_words(cores: int) -> str:
    """Return what the machine is, and how many of its cores were used."""
    flags = _cpu_flags()
    has = [name for name, flag in _CLASSES if flag in flags]
    units = f"with {has[0]}" if has else "without AVX2"
    if has and has[0] == "AVX2":
        units += ", without AVX-512"
    kind = "virtual machine" if "hypervisor" in flags else "machine"
    return f"{cores} of the {os.cpu_count()} cores of a {platform.machine()} {kind} ({units})"


def versions_in_words() -> str:
    """Return the versions of what the figures depend on most."""
    packages = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return ", ".join([f"Python {platform.python_version()}", *packages])


def load_average() -> float:
    """Return the number of processes that wanted to run in the last minute, on average."""
    return os.getloadavg()[0]


def _cpu_flags() -> set[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()
