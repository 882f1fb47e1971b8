"""The real `tritonserver` that the wheel nvidia-pytriton carries, and a backend folder for it."""

import ctypes
import importlib.util
import os
import platform
import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from command_line.packages import OLDEST, either
from standalone.errors import StandaloneError

_INSTALL = "pip install --no-deps nvidia-pytriton==0.7.0"
_OUR_BACKENDS = Path(__file__).parent / "backends"
_THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_LIBPYTHON = f"libpython{_THIS_PYTHON}.so.1.0"
# The wheel brings an old Python 3.13 for its stub, in which the modules of later ones do not load.
_BUNDLED_LIBPYTHON = re.compile(rb"libpython3-[0-9a-f]{8}\.\d+\.so\.1\.0\0")


@dataclass(frozen=True)
class TritonWheel:
    """Where the wheel's parts are: the server, its libraries, the Python backend and this Python's stub."""

    server: Path
    libraries: Path
    python_backend: Path
    stub: Path

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which the server and its stubs find their libraries."""
        binaries = Path(sys.executable).parent
        return {
            # torch's threads would otherwise spin while they wait, on cores that gateway and clients need:
            # with all of them on two cores that costs a factor of ten and more. The operator's choice wins.
            "OMP_WAIT_POLICY": "PASSIVE",
            "ORT_DISABLE_TELEMETRY": "1",
            # As for the C++ backends, which would otherwise keep the memory of unloaded versions.
            "MALLOC_MMAP_THRESHOLD_": "1048576",
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, (self.libraries, *_folders_with_libpython()))),
            "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }


def find_triton_wheel() -> TritonWheel:
    """Look for the wheel in this Python environment, without importing it.

    Raises:
        StandaloneError: when it is not installed, not for this system, or has no stub for this Python, or
            when this Python lacks the library that the stub loads.
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
        stub=triton / "python_backend_stubs" / _THIS_PYTHON / "triton_python_backend_stub",
    )
    if not wheel.server.is_file():
        raise StandaloneError(f"no tritonserver at {wheel.server}; reinstall the wheel: {_INSTALL}")
    if not wheel.stub.is_file():
        with_stub = [_version(folder.name) for folder in wheel.stub.parents[1].iterdir()]
        offered = either([version for version in with_stub if version >= OLDEST])
        raise StandaloneError(
            f"the Triton wheel has no stub for Python {platform.python_version()}: run this under {offered}"
        )
    if not _folders_with_libpython() and not _is_loaded_by_name(_LIBPYTHON):
        raise StandaloneError(
            f"Triton's Python backend needs {_LIBPYTHON}, which is not there: install it (Debian and Ubuntu: "
            f"apt-get install libpython{_THIS_PYTHON}), or use a Python that was built with --enable-shared"
        )
    return wheel


def _folders_with_libpython() -> list[Path]:
    """Return the folder of this Python's shared library; None for a system Python, which the linker knows."""
    folders = {Path(sysconfig.get_config_var("LIBDIR") or ""), Path(sys.base_prefix, "lib")}
    return sorted(folder for folder in folders if (folder / _LIBPYTHON).is_file())


def _is_loaded_by_name(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _version(name: str) -> tuple[int, int]:
    major, _, minor = name.partition(".")
    return int(major), int(minor)


def assemble_backends(wheel: TritonWheel, folder: Path, others: Path | None = None) -> None:
    """Fill `folder` as Triton's backend directory: the wheel's Python backend, its stub, and our backends.

    Args:
        wheel: the installed one.
        folder: an empty one.
        others: a backend directory to take instead of ours, as Triton's own with its C++ backends.
    """
    source = others or _OUR_BACKENDS

    def left_out(place: str, names: list[str]) -> set[str]:
        return {"__pycache__", "python"} if Path(place) == source else {"__pycache__"}

    # No symbolic links: Triton refuses a backend library that one leads out of the folder.
    shutil.copytree(source, folder, ignore=left_out, copy_function=_link_or_copy)
    shutil.copytree(wheel.python_backend, folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
    stub = folder / "python" / wheel.stub.name
    shutil.copy(wheel.stub, stub)
    content = stub.read_bytes()
    own = _BUNDLED_LIBPYTHON.sub(lambda bundled: _LIBPYTHON.encode().ljust(len(bundled[0]), b"\0"), content)
    stub.write_bytes(own)


def _link_or_copy(source: str, target: str) -> None:
    """Link a file if possible, else copy it: C++ backends have gigabytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
