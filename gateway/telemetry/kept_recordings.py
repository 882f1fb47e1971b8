"""A folder of recordings, kept below a size: the oldest are deleted first.

The workers of one gateway write into the same folder. Each reads the whole folder again before it has used up
its share of the headroom, so together they stay below the limit; other gateways may exceed it by their
headroom. Other files, and a folder or link with a recording's name, are neither counted nor touched.
"""

import logging
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.telemetry.recording_format import Part, is_recording

logger = logging.getLogger(__name__)

# The part of the limit that is kept free for what is written between two readings of the folder.
_HEADROOM = 1 / 8
# An unfinished file that is older than this has lost its writer.
_ABANDONED_S = 120.0
_UNDER_WAY = re.compile(r"\.[A-Za-z0-9._-]+\.tar\.part")


class KeptRecordings:
    """Writes recordings into `folder` and keeps them below `max_bytes`; for one thread.

    Args:
        writers: how many processes write into it.
    """

    def __init__(self, folder: Path, max_bytes: int, writers: int = 1) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._headroom = int(max_bytes * _HEADROOM)
        self._share = max(1, self._headroom // writers)
        # Unknown until the folder was read, which the first recording waits for.
        self._kept_bytes: int | None = None
        self._unseen_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """Bytes of recordings in the folder, as far as they are known."""
        return (self._kept_bytes or 0) + self._unseen_bytes

    def write(self, name: str, parts: Sequence[Part]) -> int:
        """Write a recording, after making room for it; return its size in bytes.

        Raises:
            OSError: it cannot be written; then no part of it is left.
        """
        size = sum(len(part) for part in parts)
        if size > self._max_bytes:
            raise OSError(f"it has {size} bytes, more than all recordings together may have")
        if self._kept_bytes is None or self._unseen_bytes + size > self._share:
            self.make_room(size)
        try:
            self._write(name, parts, size)
        except FileNotFoundError:
            # Somebody deleted the folder.
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(name, parts, size)
        self._unseen_bytes += size
        return size

    def make_room(self, size: int) -> None:
        """Delete the oldest recordings until `size` more bytes fit and the headroom is free.

        Raises:
            OSError: the folder cannot be read, or recordings cannot be deleted.
        """
        found, total = self._look()
        most = self._max_bytes - max(self._headroom, size)
        for name, bytes_ in sorted(found):
            if total <= most:
                break
            if _removed(self._folder / name):
                total -= bytes_
        self._kept_bytes, self._unseen_bytes = total, 0
        if total + size > self._max_bytes:
            raise OSError(f"the recordings there have {total} bytes and cannot be removed")

    def _look(self) -> tuple[list[tuple[str, int]], int]:
        """Return all recordings with their sizes, and the sum; delete files without a writer."""
        found: list[tuple[str, int]] = []
        total = 0
        now = time.time()
        try:
            entries = os.scandir(self._folder)
        except FileNotFoundError:
            return found, total
        with entries:
            for entry in entries:
                under_way = _UNDER_WAY.fullmatch(entry.name) is not None
                if not under_way and not is_recording(entry.name):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISREG(status.st_mode):
                    continue
                is_abandoned = under_way and now - status.st_mtime > _ABANDONED_S
                if is_abandoned and _removed(Path(entry.path)):
                    continue
                total += status.st_size
                if not under_way:
                    found.append((entry.name, status.st_size))
        return found, total

    def _write(self, name: str, parts: Sequence[Part], size: int) -> None:
        """Write a file under another name, and rename it once it is complete."""
        under_way = self._folder / f".{name}.part"
        try:
            handle = os.open(under_way, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                # One call, during which other threads run; a full disk takes only a part.
                written = os.writev(handle, parts)
            finally:
                os.close(handle)
            if written != size:
                raise OSError(f"only {written} of {size} bytes could be written: the disk is full")
            under_way.rename(self._folder / name)
        except OSError:
            under_way.unlink(missing_ok=True)
            raise


def _removed(path: Path) -> bool:
    """Remove a file; return whether it is gone. One that stays does not stop the recording."""
    try:
        # Another writer may have been quicker.
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("an old recording cannot be removed, and still takes space: %s", error)
        return False
    return True
