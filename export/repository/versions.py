"""A Triton model repository on disk: which versions it holds, and how a new one gets in.

    DIR/<name>/config.pbtxt              what Triton reads: the config of the version it is to serve
    DIR/<name>/<version>/model.pt        TorchScript
    DIR/<name>/<version>/config.pbtxt    the version's own config, so that serving it again is a copy

A version folder is written under another name and renamed when complete. Free of torch.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.errors import IncompatibleVersionError, OptionError, RepositoryError
from export.repository.triton_config import CONFIG_NAME, Facts, read_config, read_facts

MODEL_FILE = "model.pt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Version:
    """One published version of a model."""

    folder: Path
    facts: Facts

    @property
    def model_name(self) -> str:
        """Name of the Triton model."""
        return self.folder.parent.name

    @property
    def number(self) -> int:
        """Triton's version number."""
        return int(self.folder.name)


def versions(repository: Path, name: str) -> list[Version]:
    """Complete versions of a model, oldest first.

    Raises:
        RepositoryError: when a version's config is unreadable.
    """
    folder = repository / name
    if not folder.is_dir():
        return []
    complete = [
        child for child in folder.iterdir() if child.name.isdecimal() and (child / CONFIG_NAME).is_file()
    ]
    return [
        Version(child, read_facts(read_config(child / CONFIG_NAME)))
        for child in sorted(complete, key=lambda child: int(child.name))
    ]


def all_versions(repository: Path) -> list[Version]:
    """Complete versions of every model that this export has published into a repository.

    Raises:
        RepositoryError: when a version's config is unreadable.
    """
    if not repository.is_dir():
        return []
    names = sorted(child.name for child in repository.iterdir())
    return [version for name in names for version in versions(repository, name)]


def choose_version(repository: Path, name: str, wanted: int | None, facts: Facts, *, force: bool) -> int:
    """The number under which a new version may be published.

    Args:
        repository: the repository's folder.
        name: the model's name.
        wanted: a number, or None for the one after the newest.
        facts: the new version's; horizon, context and games must be those of the versions that stay.
        force: whether `wanted` may replace an existing version.

    Raises:
        OptionError: when the name is none for a folder.
        RepositoryError: when the version exists.
        IncompatibleVersionError: when it does not fit the others.
    """
    if not _NAME.fullmatch(name):
        raise OptionError(f"--name {name!r} is no model name: use letters, digits, '.', '_' and '-'")
    present = versions(repository, name)
    numbers = [
        int(child.name)
        for child in (repository / name).glob("*")
        if child.is_dir() and child.name.isdecimal()
    ]
    number = wanted if wanted is not None else max(numbers, default=0) + 1
    if number in numbers and not force:
        raise RepositoryError(f"{repository / name / str(number)} exists already: --force replaces it")
    for other in present:
        if other.number != number and not _compatible(other.facts, facts):
            raise IncompatibleVersionError(
                f"version {other.number} of {name} in {repository} has another horizon, context or games "
                f"({_shape(other.facts)}; the new one: {_shape(facts)}): "
                "choose another --name or --repository"
            )
    return number


@contextmanager
def new_version(
    repository: Path, name: str, number: int, config: model_config_pb2.ModelConfig
) -> Iterator[Path]:
    """A folder to write `model.pt` into; on a clean exit the version is complete and is the one to serve.

    Raises:
        RepositoryError: when the repository cannot be written. Nothing of the version is left then.
    """
    model_folder = repository / name
    final = model_folder / str(number)
    partial = model_folder / f".{number}.{os.getpid()}.partial"
    try:
        _remove_abandoned(model_folder)
        partial.mkdir(parents=True)
        try:
            with _locked(partial):
                yield partial
            (partial / CONFIG_NAME).write_text(text_format.MessageToString(config), encoding="utf-8")
            if final.exists():
                replaced = partial.with_suffix(".replaced")
                final.rename(replaced)
                partial.rename(final)
                shutil.rmtree(replaced)
            else:
                partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        serve_version(repository, name, number)
    except OSError as error:
        raise RepositoryError(
            f"version {number} cannot be written into {model_folder}: {error.strerror}"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock that ends with this process; it tells an unfinished version from an abandoned one.

    Raises:
        BlockingIOError: when another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(model_folder: Path) -> None:
    """Delete what exports that were killed have left half-written."""
    for folder in (*model_folder.glob(".*.partial"), *model_folder.glob(".*.replaced")):
        with suppress(BlockingIOError), _locked(folder):
            shutil.rmtree(folder)


def serve_version(repository: Path, name: str, number: int) -> None:
    """Make a published version the one that Triton loads at its next start.

    Raises:
        RepositoryError: when the version is not there or the config cannot be written.
    """
    model_folder = repository / name
    staged = model_folder / f".{CONFIG_NAME}.{os.getpid()}"
    try:
        shutil.copyfile(model_folder / str(number) / CONFIG_NAME, staged)
        staged.replace(model_folder / CONFIG_NAME)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise RepositoryError(f"{model_folder / CONFIG_NAME} cannot be written: {error.strerror}") from error


def _compatible(one: Facts, other: Facts) -> bool:
    return (one.action_horizon, one.context_length, one.games) == (
        other.action_horizon,
        other.context_length,
        other.games,
    )


def _shape(facts: Facts) -> str:
    games = max(len(facts.games) - 1, 0)
    return f"horizon {facts.action_horizon}, context {facts.context_length}, {games} games"
