"""Pulses: files whose content changes while their process lives, which other machines can see.

A `flock` ends at once with its process, but is visible within one mount only: machines that share a network
volume do not see each other's. Whoever watches a pulse compares it with its earlier content, so clocks need
not agree.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

BEAT_S = 5.0
SILENCE_S = 75.0  # an NFS client may believe for a minute what it knew of a file
LOOK_AGAIN_S = 0.1

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Pulse:
    """One process's pulse, which beats until it is closed."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            FileExistsError: when another's is there.
            OSError: when it cannot be written.
        """
        self.path = path
        self._token = secrets.token_hex(8)
        self._place = _place(path.parent)
        self._beats = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="pulse", daemon=True)
        try:
            self._beat()
        except OSError:
            os.close(self._descriptor)
            path.unlink()
            raise
        self._thread.start()

    @property
    def is_whole(self) -> bool:
        """Whether the file at the path is still this process's."""
        return (_read(self.path) or b"").startswith(self._token.encode())

    @property
    def written_at_s(self) -> float:
        """When it last beat, by the clock of the file system."""
        return os.fstat(self._descriptor).st_mtime

    def replace(self, path: Path) -> None:
        """Take the place of another pulse."""
        self.path = self.path.replace(path)

    def close(self) -> None:
        """Stop, and remove the file unless another process has taken it; a second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        os.close(self._descriptor)
        if self.is_whole:
            self.path.unlink(missing_ok=True)

    def _keep_beating(self) -> None:
        while not self._closing.wait(BEAT_S):
            with suppress(OSError):  # its process meets the same trouble where it writes, and reports it
                self._beat()

    def _beat(self) -> None:
        """Write through the descriptor, so that a file that has taken the path is left alone."""
        self._beats += 1
        os.pwrite(self._descriptor, f"{self._token} {self._place} {self._beats:010}\n".encode(), 0)
        os.fsync(self._descriptor)


def is_of_this_mount(path: Path) -> bool:
    """Return whether a pulse was made where its process and this one see each other's `flock`."""
    place = _place(path.parent)
    return bool(place) and place.encode() in (_read(path) or b"").split()


def silent(paths: Iterable[Path]) -> set[Path]:
    """Return the pulses that do not beat while watched; the watch ends early when all beat or are gone."""
    first = {path: content for path in paths if (content := _read(path)) is not None}
    end = time.monotonic() + SILENCE_S
    while first and time.monotonic() < end:
        time.sleep(LOOK_AGAIN_S)
        first = {path: content for path, content in first.items() if _read(path) == content}
    return set(first)


def _read(path: Path) -> bytes | None:
    """Return a pulse's content, None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _place(folder: Path) -> str:
    """Return this kernel and the mount of a folder; empty if the kernel has no boot id."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return f"{boot}:{folder.stat().st_dev}"
