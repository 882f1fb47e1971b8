"""Locks on folders: `flock`, and one that holds between machines as well.

A `flock` ends with its process, however that dies, but other mounts of a network volume do not see it.
"""

import fcntl
import logging
import math
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from export.pulse import Pulse, is_of_this_mount, silent

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"

_TELL_S = 2.0  # a lock is held for less, as a rule
_SETTLE_S = 1.0


def lock_folder(folder: Path, *, wait: bool) -> int:
    """Lock a folder for this mount until the returned descriptor is closed or this process ends.

    Raises:
        BlockingIOError: when another process holds it and `wait` is false.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(folder: Path) -> Iterator[Pulse]:
    """Hold a folder's lock, also against other machines; do not take it again inside.

    Yields:
        The lock's pulse. It is no longer whole when this process was halted so long that another machine took
        the lock.
    """
    descriptor = lock_folder(folder, wait=True)
    try:
        with one_machine(folder / LOCK_NAME) as pulse:
            yield pulse
    finally:
        os.close(descriptor)


def one_machine(path: Path) -> closing[Pulse]:
    """Keep other machines away from what `path` stands for; a `flock` must already keep this one's away."""
    return closing(_taken(path))


def _taken(path: Path) -> Pulse:
    """Return this process's pulse at `path`, once no other process has one there."""
    tell_at = time.monotonic() + _TELL_S
    while True:
        try:
            return Pulse(path)
        except FileExistsError:
            pass
        if time.monotonic() > tell_at:
            logger.info("another machine is changing %s: waiting for it", path.parent)
            tell_at = math.inf
        # This process has the `flock`, so one that saw it has ended.
        if is_of_this_mount(path) or silent([path]):
            pulse = Pulse(path.with_name(f"{path.name}.{secrets.token_hex(8)}"))
            pulse.replace(path)
            # Others that found the same may do so a moment later: the last one keeps it.
            time.sleep(_SETTLE_S)
            if pulse.is_whole:
                return pulse
            pulse.close()
