"""One run at a time in a data set's folder: two would rename and remove each other's unfinished files."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nitrogen_dataset.errors import OutputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keep other runs on this machine out of a folder, which is made if need be.

    Raises:
        OutputError: another run is writing there.
        OSError: the folder cannot be made or opened.
    """
    with suppress(FileExistsError):  # a file: whoever reads it says what is wrong
        folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield  # Windows itself renames and removes no file that another run has open
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network volumes have no locks for folders
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"another run is writing to {folder}: wait until it has ended, or give another folder"
                ) from error
        yield
    finally:
        os.close(descriptor)
