"""A Triton model repository on disk: which versions it holds, how a new one gets in, and which is served.

    DIR/<name>/config.pbtxt              what Triton reads: the config of the version it is to serve
    DIR/<name>/manifest.json             that version's manifest
    DIR/<name>/history.json              numbers of the versions to serve so far, the current one last
    DIR/<name>/<version>/model.pt        the graph (model.onnx for ONNX)
    DIR/<name>/<version>/config.pbtxt    the version's own config, so that serving it again is a copy
    DIR/<name>/<version>/manifest.json   what it was made from (`manifest`)

A version folder is written under another name and renamed when complete. Publishing, serving and removing
hold a lock on the model's folder. Triton ignores the files that are not its own.
"""

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
from export.repository.folder_lock import lock_folder, locked
from export.repository.manifest import MANIFEST_NAME, Manifest, read_manifest
from export.repository.triton_config import CONFIG_NAME, Facts, read_config, read_facts
from export.writable import advice, require_writable

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

    @property
    def is_whole(self) -> bool:
        """Whether its graph's files have their full length, which a crash of the machine may prevent."""
        return all(_has_size(self.folder / name, file.bytes) for name, file in self.manifest.files.items())


def is_model_name(name: str) -> bool:
    """Whether a text can name a model's folder."""
    return _NAME.fullmatch(name) is not None


def require_writable_model(repository: Path, name: str) -> None:
    """Find out before long work whether a version of a model could be published.

    Raises:
        RepositoryError: when the repository cannot be written.
    """
    try:
        require_writable(repository / name)
    except OSError as error:
        raise _not_written(repository / name, error) from error


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
    repository: Path, name: str, wanted: int | None = None, *, force: bool = False, keep: int = 0
) -> Iterator[NewVersion]:
    """A folder for the next version; on a clean exit it is published and is the one to serve.

    Args:
        repository: the repository's folder.
        name: the model's name.
        wanted: a number, or None for the one after the newest.
        force: whether `wanted` may replace an existing version.
        keep: how many versions stay: the one to serve, the one before it, then the newest; 0 for all.

    Raises:
        OptionError: when the name is none for a folder.
        RepositoryError: when the version exists, the model is another's, or the repository cannot be written.
            The new version is not published then.
    """
    if not is_model_name(name):
        raise OptionError(f"--name {name!r} is no model name: use letters, digits, '.', '_' and '-'")
    model_folder = repository / name
    try:
        model_folder.mkdir(parents=True, exist_ok=True)
        with _reserved(model_folder, wanted, force=force) as new:
            yield new
            with locked(model_folder):
                _publish(repository, name, new)
                if keep:
                    _remove_oldest(repository, name, keep)
    except OSError as error:
        raise _not_written(model_folder, error) from error


def serve_version(repository: Path, name: str, number: int, *, after: Sequence[int] | None = None) -> None:
    """Make a published version the one that Triton loads next.

    `after`: numbers of the versions served before it, oldest first; None for all that the history has.

    Raises:
        RepositoryError: when the version is not there or the model's folder cannot be written.
    """
    try:
        with locked(repository / name):
            _serve(repository, name, number, after)
    except OSError as error:
        raise RepositoryError(
            f"version {number} of {name} in {repository} cannot be made the one to serve "
            f"({error.strerror or error}): {advice(error, 'choose another --repository')}"
        ) from error


def served_number(repository: Path, name: str) -> int | None:
    """The version that the model's config names, None when there is no such config."""
    try:
        named = read_config(repository / name / CONFIG_NAME).version_policy.specific.versions
    except RepositoryError:
        return None
    return int(named[0]) if len(named) == 1 else None


def history(repository: Path, name: str) -> list[int]:
    """Numbers of the versions to serve so far that are still there, the current one last."""
    model_folder = repository / name
    try:
        numbers = json.loads((model_folder / HISTORY_NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        numbers = []
    present = _numbers(model_folder)
    return [number for number in numbers if number in present] if isinstance(numbers, list) else []


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _not_written(model_folder: Path, error: OSError) -> RepositoryError:
    return RepositoryError(
        f"the version cannot be written into {model_folder}: {error.strerror or error}; "
        f"{advice(error, 'choose another --repository')}"
    )


def _publish(repository: Path, name: str, new: NewVersion) -> None:
    """Give a complete version its name, and make it the one to serve; all or nothing."""
    model_folder = repository / name
    final = model_folder / str(new.number)
    replaced = model_folder / f".{new.number}.replaced"
    if final.exists():
        final.rename(replaced)
    new.folder.rename(final)
    try:
        _serve(repository, name, new.number)
    except OSError:
        shutil.rmtree(final)
        if replaced.exists():
            replaced.rename(final)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _serve(repository: Path, name: str, number: int, after: Sequence[int] | None = None) -> None:
    """Copy a version's config and manifest to the model's folder; the history comes last."""
    model_folder = repository / name
    past = history(repository, name) if after is None else after
    numbers = [*(other for other in past if other != number), number]
    contents = {
        file: (model_folder / str(number) / file).read_bytes() for file in (MANIFEST_NAME, CONFIG_NAME)
    }
    for file, content in (*contents.items(), (HISTORY_NAME, json.dumps(numbers).encode())):
        staged = model_folder / f".{file}.staged"
        staged.write_bytes(content)
        staged.replace(model_folder / file)


def _remove_oldest(repository: Path, name: str, keep: int) -> None:
    """Delete what this export has published beyond `keep` versions."""
    kept = {*history(repository, name)[-min(keep, 2) :], served_number(repository, name)} - {None}
    numbers = [version.number for version in versions(repository, name)]
    for number in reversed(numbers):
        if len(kept) < keep:
            kept.add(number)
    for number in numbers:
        if number not in kept:
            shutil.rmtree(repository / name / str(number))
            logger.info("removed version %d of %s", number, name)


@contextmanager
def _reserved(model_folder: Path, wanted: int | None, *, force: bool) -> Iterator[NewVersion]:
    """A locked folder under a name of its own; it goes when it was not renamed."""
    with locked(model_folder):
        _require_own(model_folder)
        _tidy_up(model_folder)
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
        lock = lock_folder(folder, wait=False)
    try:
        yield NewVersion(number, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _require_own(model_folder: Path) -> None:
    """Refuse the folder of a model that this export has not published.

    Raises:
        RepositoryError: naming the config that is another's.
    """
    path = model_folder / CONFIG_NAME
    if path.exists():
        try:
            read_facts(read_config(path))
        except RepositoryError as error:
            raise RepositoryError(f"{path} is not this export's: choose another --name ({error})") from error


def _tidy_up(model_folder: Path) -> None:
    """Undo what exports that were killed have left; a living one holds the lock of its folder."""
    for folder in model_folder.glob(".*.partial"):
        with suppress(BlockingIOError, FileNotFoundError):
            os.close(lock_folder(folder, wait=False))
            shutil.rmtree(folder)
    for replaced in model_folder.glob(".*.replaced"):
        number = replaced.name.removeprefix(".").removesuffix(".replaced")
        if (model_folder / number).exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(model_folder / number)


def _numbers(model_folder: Path) -> list[int]:
    """Numbers of all version folders, ascending."""
    if not model_folder.is_dir():
        return []
    return sorted(
        int(child.name) for child in model_folder.iterdir() if child.name.isdecimal() and child.is_dir()
    )
