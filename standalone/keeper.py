"""Keeps one Triton server: `keeper.py SHM_PREFIX SCRATCH GRACE_S COMMAND...`, started by `triton_server`.

Triton's Python stubs can outlive both a killed Triton and a killed parent. So this process starts the command
in its own process group and, as soon as the command ends or standard input closes (the parent stops, or was
killed), ends the whole group and removes the shared memory that it left. When a stub dies, it also ends the
command: Triton would never restart the stub, and fail every request. When the parent has gone, it deletes the
folder SCRATCH as well. Exits with the command's exit code. Uses only the standard library, to start at once.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5
LOST_A_STUB = "error: one of Triton's Python stubs has ended"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux


def main() -> int:
    """Run the command of the command line to its end."""
    shm_prefix, scratch, grace_s, *command = sys.argv[1:]
    remove_shared_memory(shm_prefix)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = subprocess.Popen(  # noqa: S603 - the command is triton_server's
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one thread
    )
    try:
        if _wait_for_end(server):
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(float(grace_s))
            shutil.rmtree(scratch, ignore_errors=True)
    finally:
        _kill_group(server.pid)
        server.wait()
        remove_shared_memory(shm_prefix)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def remove_shared_memory(prefix: str) -> None:
    """Delete the shared memory segments whose names begin with `prefix`."""
    for segment in SHARED_MEMORY.glob(f"{prefix}*"):
        segment.unlink(missing_ok=True)


def _wait_for_end(server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server or a stub ends, or the parent closes standard input; True for the latter."""
    server_end = os.pidfd_open(server.pid)
    try:
        lost = 0
        while lost < 2:
            ready, _, _ = select.select([server_end, sys.stdin.fileno()], [], [], _POLL_S)
            if ready:
                return server_end not in ready
            # Twice in a row, because Triton itself collects a stub that ends while a model loads.
            lost = lost + 1 if _has_lost_a_stub(server.pid) else 0
    finally:
        os.close(server_end)
    sys.stderr.write(f"{LOST_A_STUB}\n")
    return False


def _has_lost_a_stub(server: int) -> bool:
    """Return whether a child of the server is a zombie: Triton never restarts a stub."""
    for children in Path(f"/proc/{server}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def die_with_parent() -> None:
    """For `preexec_fn`: have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
