"""Stopping a Windows game while the model thinks, as the reference does: by xspeedhack."""

from collections.abc import Callable
from pathlib import Path

from nitrogen_play.errors import DeviceError
from nitrogen_play.packages import needed

_MACHINES = {0x014C: "x86", 0x8664: "x64"}
_PE_OFFSET_AT, _HEAD_BYTES = 0x3C, 4096


def open_speed(process_id: int, executable: Path) -> Callable[[float], None]:
    """Return a function that sets a process' speed: 1.0 is its own, 0.0 stops it.

    Raises:
        MissingPackageError: xspeedhack is not installed.
        DeviceError: the process cannot be changed.
    """
    purpose = "stopping the game while the model thinks (--no-pause does without)"
    xspeedhack = needed("xspeedhack", "windows", purpose)
    architecture = executable_architecture(executable)
    try:
        client = xspeedhack.Client(process_id=process_id, arch=architecture)
    except Exception as error:  # it raises whatever its injection meets
        raise DeviceError(
            f"process {process_id} ({executable.name}) cannot be stopped and let run: {error}. "
            "Start this as an administrator, or play with --no-pause"
        ) from error

    def set_speed(speed: float) -> None:
        client.set_speed(speed)

    return set_speed


def executable_architecture(executable: Path) -> str:
    """Return "x86" or "x64", from the head of a Windows executable (PE format, COFF header's Machine).

    Raises:
        DeviceError: it cannot be read, or is for another machine.
    """
    try:
        with executable.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise DeviceError(f"{executable} cannot be read: {error}") from error
    start = int.from_bytes(head[_PE_OFFSET_AT : _PE_OFFSET_AT + 4], "little")
    if head[:2] != b"MZ" or head[start : start + 4] != b"PE\0\0":
        raise DeviceError(f"{executable} is not a Windows executable: play with --no-pause")
    machine = int.from_bytes(head[start + 4 : start + 6], "little")
    if machine not in _MACHINES:
        raise DeviceError(f"{executable} is for machine {machine:#06x}, not x86 or x64; play with --no-pause")
    return _MACHINES[machine]
