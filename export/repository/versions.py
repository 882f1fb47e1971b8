"""A Triton model repository on disk: which versions it holds, how a new one gets in, and which is served.

    DIR/<name>/config.pbtxt              what Triton reads: the config of the version it is to serve
    DIR/<name>/manifest.json             that version's manifest
    DIR/<name>/history.json              numbers of the versions served so far, the current one last
    DIR/<name>/<version>/model.pt        the graph (model.onnx for ONNX)
    DIR/<name>/<version>/config.pbtxt    the version's own config, so that serving it again is a copy
    DIR/<name>/<version>/manifest.json   what it was made from (`manifest`)

A version folder is written under another name and renamed when complete. Triton ignores the files that are
not its own.
"""

import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from export.errors import OptionError, RepositoryError
from export.repository.manifest import MANIFEST_NAME, Manifest, read_manifest
from export.repository.triton_config import CONFIG_NAME, Facts, read_config, read_facts

logger = logging.getLogger(__name__)

HISTORY_NAME = "history.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PARTIAL = re.compile(r"\.(\d+)\.\d+\.partial")


@dataclass(frozen=True)
class Version:
    """One published version of a model."""

    folder: Path
    facts: Facts
    manifest: Manifest

    @property
    def model_name(self) -> str:
        """Name of the Triton model."""
        return self.folder.parent.name

    @property
    def number(self) -> int:
        """Triton's version number."""
        return int(self.folder.name)


def versions(repository: Path, name: str) -> list[Version]:
    """Complete versions of a model that this export has published, oldest first; others are left alone."""
    found = []
    for number in _numbers(repository / name):
        folder = repository / name / str(number)
        try:
            facts = read_facts(read_config(folder / CONFIG_NAME))
            found.append(Version(folder, facts, read_manifest(folder / MANIFEST_NAME)))
        except RepositoryError as error:
            logger.warning("%s is not used: %s", folder, error)
    return found


def all_versions(repository: Path) -> list[Version]:
    """The versions of every model of a repository, by name and number."""
    if not repository.is_dir():
        return []
    names = sorted(child.name for child in repository.iterdir())
    return [version for name in names for version in versions(repository, name)]


def find_version(repository: Path, name: str, number: int) -> Version:
    """One published version.

    Raises:
        RepositoryError: when there is none of this number; the message lists which there are.
    """
    present = versions(repository, name)
    for version in present:
        if version.number == number:
            return version
    numbers = ", ".join(str(version.number) for version in present) or "none"
    raise RepositoryError(f"{repository} has no version {number} of {name}; its versions: {numbers}")


@dataclass(frozen=True)
class NewVersion:
    """A version that is being written: `folder` takes its graph, config and manifest."""

    number: int
    folder: Path


@contextmanager
def new_version(
    repository: Path, name: str, wanted: int | None = None, *, force: bool = False
) -> Iterator[NewVersion]:
    """A folder for the next version; on a clean exit it is published and is the one to serve.

    Args:
        repository: the repository's folder.
        name: the model's name.
        wanted: a number, or None for the one after the newest.
        force: whether `wanted` may replace an existing version.

    Raises:
        OptionError: when the name is none for a folder.
        RepositoryError: when the version exists, or the repository cannot be written. Nothing of the new
            version is left then.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(f"--name {name!r} is no model name: use letters, digits, '.', '_' and '-'")
    model_folder = repository / name
    try:
        model_folder.mkdir(parents=True, exist_ok=True)
        with _reserved(model_folder, wanted, force=force) as new:
            yield new
            final = model_folder / str(new.number)
            if final.exists():
                replaced = new.folder.with_suffix(".replaced")
                final.rename(replaced)
                new.folder.rename(final)
                shutil.rmtree(replaced)
            else:
                new.folder.rename(final)
        serve_version(repository, name, new.number)
    except OSError as error:
        raise RepositoryError(
            f"the version cannot be written into {model_folder}: {error.strerror or error}"
        ) from error


def serve_version(repository: Path, name: str, number: int, *, after: Sequence[int] | None = None) -> None:
    """Make a published version the one that Triton loads next.

    `after`: numbers of the versions served before it, oldest first; None for all that were.

    Raises:
        RepositoryError: when the version is not there or the model's folder cannot be written.
    """
    model_folder = repository / name
    try:
        past = history(repository, name) if after is None else after
        numbers = [*(other for other in past if other != number), number]
        _replace(model_folder / HISTORY_NAME, json.dumps(numbers).encode())
        for file_name in (MANIFEST_NAME, CONFIG_NAME):
            _replace(model_folder / file_name, (model_folder / str(number) / file_name).read_bytes())
    except OSError as error:
        raise RepositoryError(
            f"version {number} of {name} in {repository} cannot be made the one to serve: {error.strerror}"
        ) from error


def served_number(repository: Path, name: str) -> int | None:
    """The version that the model's config names, None when there is no such config."""
    try:
        named = read_config(repository / name / CONFIG_NAME).version_policy.specific.versions
    except RepositoryError:
        return None
    return int(named[0]) if len(named) == 1 else None


def history(repository: Path, name: str) -> list[int]:
    """Numbers of the versions served so far that are still there, the current one last."""
    try:
        numbers = json.loads((repository / name / HISTORY_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        numbers = []
    present = _numbers(repository / name)
    return [number for number in numbers if number in present] if isinstance(numbers, list) else []


def remove_oldest(repository: Path, name: str, keep: int) -> list[int]:
    """Delete all but `keep` versions: the one served now, the one served before it, then the newest.

    Returns:
        The numbers that were deleted.

    Raises:
        RepositoryError: when one cannot be deleted.
    """
    kept = set(history(repository, name)[-min(keep, 2) :])
    numbers = _numbers(repository / name)
    for number in reversed(numbers):
        if len(kept) < keep:
            kept.add(number)
    removed = [number for number in numbers if number not in kept]
    try:
        for number in removed:
            shutil.rmtree(repository / name / str(number))
    except OSError as error:
        raise RepositoryError(
            f"an old version of {name} in {repository} cannot be removed: {error.strerror}"
        ) from error
    return removed


@contextmanager
def _reserved(model_folder: Path, wanted: int | None, *, force: bool) -> Iterator[NewVersion]:
    """A locked folder under a name of its own; it goes when it was not renamed."""
    with _locked(model_folder, wait=True):
        _remove_abandoned(model_folder)
        published = _numbers(model_folder)
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
        folder = model_folder / f".{number}.{os.getpid()}.partial"
        folder.mkdir()
        lock = _lock(folder, wait=False)
    try:
        yield NewVersion(number, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int:
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
def _locked(folder: Path, *, wait: bool) -> Iterator[None]:
    descriptor = _lock(folder, wait=wait)
    try:
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(model_folder: Path) -> None:
    """Delete what exports that were killed have left half-written; a living one holds its folder's lock."""
    for folder in (*model_folder.glob(".*.partial"), *model_folder.glob(".*.replaced")):
        with suppress(BlockingIOError), _locked(folder, wait=False):
            shutil.rmtree(folder)


def _numbers(model_folder: Path) -> list[int]:
    """Numbers of all version folders, ascending."""
    if not model_folder.is_dir():
        return []
    return sorted(
        int(child.name) for child in model_folder.iterdir() if child.name.isdecimal() and child.is_dir()
    )


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees either the old or the new content."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_bytes(content)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
