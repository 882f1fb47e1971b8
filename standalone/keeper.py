"""Keeps one Triton server: `keeper.py SHM_PREFIX SCRATCH GRACE_S COMMAND...`, started by `triton_server`.

A process of its own, because Triton's Python stubs can outlive both a killed Triton and a killed parent: it
starts the command in a process group of its own and, as soon as the command ends or standard input closes
(the parent stops, or was killed), ends the whole group and removes the shared memory that it left. A stub
that dies ends the command too: Triton would never start it again, and fail every request. When the parent has
gone, the folder SCRATCH goes as well. Exits with the command's exit code. Only the standard library, so that
it starts at once.
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
    """Wait until the server or one of its stubs has ended, or the parent has closed standard input: True."""
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
    """Return whether a child of the server is a zombie: Triton never restarts a stub, and then only fails."""
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
