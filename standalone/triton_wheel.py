"""The real `tritonserver` that the wheel nvidia-pytriton carries, and a backend folder for it."""

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from command_line.packages import OLDEST, either
from standalone.errors import StandaloneError

_INSTALL = "pip install --no-deps nvidia-pytriton==0.7.0"
_OUR_BACKENDS = Path(__file__).parent / "backends"


@dataclass(frozen=True)
class TritonWheel:
    """Where the wheel's parts are: the server, its libraries, the Python backend and this Python's stub."""

    server: Path
    libraries: Path
    python_backend: Path
    stub: Path

    def environment(self) -> dict[str, str]:
        """Environment variables under which the server and its stubs find their libraries and torch."""
        binaries = Path(sys.executable).parent
        return {
            # torch's threads would otherwise spin while they wait, on cores that gateway and clients need:
            # with all of them on two cores that costs a factor of ten and more. The operator's choice wins.
            "OMP_WAIT_POLICY": "PASSIVE",
            "ORT_DISABLE_TELEMETRY": "1",
            **os.environ,
            "LD_LIBRARY_PATH": str(self.libraries),
            "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }


def find_triton_wheel() -> TritonWheel:
    """Look for the wheel in this Python environment, without importing it.

    Raises:
        StandaloneError: when it is not installed, not for this system, or has no stub for this Python.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise StandaloneError(f"the Triton wheel is not installed: {_INSTALL}")
    package = Path(spec.submodule_search_locations[0])
    triton = package / "tritonserver"
    wheel = TritonWheel(
        server=triton / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=triton / "backends" / "python",
        stub=triton
        / "python_backend_stubs"
        / f"{sys.version_info.major}.{sys.version_info.minor}"
        / "triton_python_backend_stub",
    )
    if not wheel.server.is_file():
        raise StandaloneError(f"no tritonserver at {wheel.server}; reinstall the wheel: {_INSTALL}")
    if not wheel.stub.is_file():
        with_stub = [_version(folder.name) for folder in wheel.stub.parents[1].iterdir()]
        offered = either([version for version in with_stub if version >= OLDEST])
        raise StandaloneError(
            f"the Triton wheel has no stub for Python {platform.python_version()}: run this under {offered}"
        )
    return wheel


def _version(name: str) -> tuple[int, int]:
    major, _, minor = name.partition(".")
    return int(major), int(minor)


def assemble_backends(wheel: TritonWheel, folder: Path, others: Path | None = None) -> None:
    """Fill `folder` as Triton's backend directory: the wheel's Python backend, its stub, and our backends.

    `others`: a backend directory to take instead of ours, as Triton's own with its C++ backends.
    """
    source = others or _OUR_BACKENDS

    def left_out(place: str, names: list[str]) -> set[str]:
        return {"__pycache__", "python"} if Path(place) == source else {"__pycache__"}

    # No symbolic links: Triton refuses a backend library that one leads out of the folder.
    shutil.copytree(source, folder, ignore=left_out, copy_function=_link_or_copy)
    shutil.copytree(wheel.python_backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(wheel.stub, folder / "python")


def _link_or_copy(source: str, target: str) -> None:
    """Give a file a second name where that can be: C++ backends have gigabytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
