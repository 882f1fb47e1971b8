"""Temporary folders beside a model's versions: those being written, and those on their way out.

`.<version>.<random>.partial` is being written; `.pulse` in it shows other machines that its process lives.
`.<version>.<random>.replaced` is what a forced export replaces, until the new version is there.
`.<version>.<random>.removed` is no longer wanted.
"""

import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from export.errors import RepositoryError
from export.folder_lock import lock_folder, locked
from export.pulse import Pulse, is_of_this_mount, silent
from export.writable import advice

logger = logging.getLogger(__name__)

PULSE_NAME = ".pulse"
# A process on another machine that was halted for this long loses what it was writing.
ABANDONED_S = 900.0

_PARTIAL = re.compile(r"\.(\d+)\.[0-9a-f]+\.partial")
_REPLACED = re.compile(r"\.(\d+)(\.[0-9a-f]+)?\.replaced")


@dataclass
class NewVersion:
    """A version that is being written: `folder` takes its graph, config and manifest.

    Attributes:
        number: may still change to a later one.
        pulse: beats until then.
    """

    number: int
    folder: Path
    pulse: Pulse


def version_numbers(model_folder: Path) -> list[int]:
    """Return the numbers of all version folders, ascending."""
    if not model_folder.is_dir():
        return []
    return sorted(
        int(child.name) for child in model_folder.iterdir() if child.name.isdecimal() and child.is_dir()
    )


@contextmanager
def reserved(model_folder: Path, wanted: int | None, *, force: bool) -> Iterator[NewVersion]:
    """Yield a folder with a unique name that nobody else removes; it is deleted unless it was renamed.

    Raises:
        RepositoryError: when the number is taken, or the folder is gone before its time.
    """
    with locked(model_folder) as lock:
        _tidy_up(model_folder, lock)
        published = version_numbers(model_folder)
        being_written = [
            int(found[1]) for path in model_folder.iterdir() if (found := _PARTIAL.fullmatch(path.name))
        ]
        number = wanted if wanted is not None else max([*published, *being_written], default=0) + 1
        if number in published and not force:
            raise RepositoryError(f"{model_folder / str(number)} exists already: --force replaces it")
        if number in being_written:
            raise RepositoryError(
                f"another export is writing version {number} into {model_folder}: wait for it, "
                "or leave --version out"
            )
        folder = aside(model_folder, number, "partial")
        folder.mkdir()
        descriptor = lock_folder(folder, wait=False)
        pulse = Pulse(folder / PULSE_NAME)
    try:
        yield NewVersion(number, folder, pulse)
    except Exception as error:
        if folder.is_dir() or isinstance(error, RepositoryError):
            raise
        raise RepositoryError(
            f"{folder} was removed while this export wrote into it; nothing is published: export again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        pulse.close()
        os.close(descriptor)


def aside(model_folder: Path, number: int, state: str) -> Path:
    """Return a name that nobody else has, and that Triton ignores."""
    return model_folder / f".{number}.{secrets.token_hex(8)}.{state}"


def discard(folder: Path) -> None:
    """Delete a folder; what cannot be deleted stays, with a warning."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        where = OSError(error.errno, error.strerror, str(folder))
        logger.warning(
            "%s is no longer needed, but cannot be removed (%s): %s",
            folder,
            error.strerror,
            advice(where, "remove it by hand"),
        )


def _tidy_up(model_folder: Path, lock: Pulse) -> None:
    """Undo what killed exports have left, and retry failed removals."""
    for folder in _abandoned(model_folder, lock):
        discard(folder)
    for folder in model_folder.iterdir():
        if (found := _REPLACED.fullmatch(folder.name)) and not (model_folder / found[1]).exists():
            folder.rename(model_folder / found[1])
        elif folder.name.startswith(".") and folder.name.endswith((".replaced", ".removed")):
            discard(folder)


def _abandoned(model_folder: Path, lock: Pulse) -> list[Path]:
    """Return folders of exports that have ended; those of other machines are watched, which takes a while."""
    ended, to_watch = [], {}
    for folder in model_folder.glob(".*.partial"):
        pulse = folder / PULSE_NAME
        try:
            os.close(lock_folder(folder, wait=False))
            if is_of_this_mount(pulse):
                ended.append(folder)
            elif lock.written_at_s - _changed_at_s(folder) > ABANDONED_S:
                to_watch[pulse] = folder
        except OSError:  # it lives, has just gone, or is another user's
            continue
    quiet = silent(to_watch)
    return [*ended, *(folder for pulse, folder in to_watch.items() if pulse in quiet or not pulse.exists())]


def _changed_at_s(folder: Path) -> float:
    """When a folder or a file in it changed last, by the clock of the file system."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
