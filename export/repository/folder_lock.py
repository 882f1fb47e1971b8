"""Locks on folders, which end with the process that holds them, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def lock_folder(folder: Path, *, wait: bool) -> int:
    """Lock a folder until the returned descriptor is closed or this process ends.

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
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; it is not to be taken again inside."""
    descriptor = lock_folder(folder, wait=True)
    try:
        yield
    finally:
        os.close(descriptor)
