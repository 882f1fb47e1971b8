"""A Triton model repository on disk: which versions it holds, and how a new one gets in.

    DIR/<name>/config.pbtxt              read by Triton: the config of the version to serve
    DIR/<name>/manifest.json             that version's manifest
    DIR/<name>/history.json              numbers of the versions to serve so far, the current one last
    DIR/<name>/<version>/model.pt        the graph (model.onnx for ONNX)
    DIR/<name>/<version>/config.pbtxt    the version's own config, copied up to serve it again
    DIR/<name>/<version>/manifest.json   its sources and settings (`manifest`)

A version folder is written under a name that nobody else has, compared with its manifest, and renamed when
complete. Publishing, serving and removing hold a lock on the model's folder, also between machines. Triton
ignores the files that are not its own.
"""

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contract.facts import Facts
from export.checkpoint.digest import file_sha256
from export.errors import OptionError, RepositoryError
from export.flags import is_model_name
from export.folder_lock import locked
from export.formats.format import CONFIG_NAME
from export.pulse import Pulse
from export.repository.manifest import MANIFEST_NAME, Manifest, read_manifest
from export.repository.partials import NewVersion, aside, discard, reserved, version_numbers
from export.repository.served import history, serve, served_number
from export.repository.triton_config import read_config, read_facts, write_config
from export.writable import advice, require_writable

logger = logging.getLogger(__name__)


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


def require_writable_model(repository: Path, name: str) -> None:
    """Check before long work that a version of a model can be published.

    Raises:
        RepositoryError: when the repository cannot be written.
    """
    try:
        require_writable(repository / name)
    except OSError as error:
        raise _not_written(repository / name, error) from error


def versions(repository: Path, name: str) -> list[Version]:
    """Return the complete versions of a model that this export published, oldest first."""
    found = []
    for number in version_numbers(repository / name):
        folder = repository / name / str(number)
        try:
            facts = read_facts(read_config(folder / CONFIG_NAME))
            found.append(Version(folder, facts, read_manifest(folder / MANIFEST_NAME)))
        except RepositoryError as error:
            logger.warning("%s is not used: %s", folder, error)
    return found


def all_versions(repository: Path) -> list[Version]:
    """Return the versions of every model of a repository, by name and number."""
    if not repository.is_dir():
        return []
    names = sorted(child.name for child in repository.iterdir())
    return [version for name in names for version in versions(repository, name)]


def find_version(repository: Path, name: str, number: int) -> Version:
    """Return one published version.

    Raises:
        RepositoryError: when there is none with this number, or only a part of it; the message lists them.
    """
    present = versions(repository, name)
    for version in present:
        if version.number == number:
            if not version.is_whole:
                raise RepositoryError(f"{version.folder} is incomplete: its files do not match its manifest")
            return version
    numbers = ", ".join(str(version.number) for version in present) or "none"
    raise RepositoryError(f"{repository} has no version {number} of {name}; its versions: {numbers}")


@contextmanager
def new_version(
    repository: Path, name: str, wanted: int | None = None, *, force: bool = False, keep: int = 0
) -> Iterator[NewVersion]:
    """Yield a folder for the next version; on a clean exit it is published and becomes the served one.

    Args:
        repository: the repository's folder.
        name: the model's name.
        wanted: a number, or None for the one after the newest.
        force: whether `wanted` may replace an existing version.
        keep: how many versions stay: the one to serve, the one before it, then the newest; 0 for all.

    Raises:
        OptionError: when the name cannot be a folder's.
        RepositoryError: when the version exists, another program published the model, or the repository
            cannot be written. The new version is then not published.
    """
    if not is_model_name(name):
        raise OptionError(f"--name {name!r} is not a model name: use letters, digits, '.', '_' and '-'")
    model_folder = repository / name
    try:
        model_folder.mkdir(parents=True, exist_ok=True)
        _require_own(model_folder)
        with reserved(model_folder, wanted, force=force) as new:
            yield new
            _require_as_noted(new.folder)
            with locked(model_folder) as lock:
                _publish(repository, name, new, lock, force=force, renumber=wanted is None)
                if keep:
                    _remove_oldest(repository, name, keep)
    except OSError as error:
        raise _not_written(model_folder, error) from error


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


def _require_as_noted(folder: Path) -> None:
    """Compare the files of a version with its manifest.

    Raises:
        RepositoryError: naming the file that differs.
    """
    for name, noted in read_manifest(folder / MANIFEST_NAME).files.items():
        if not _has_size(folder / name, noted.bytes) or file_sha256(folder / name) != noted.sha256:
            raise RepositoryError(
                f"{folder / name} changed after it was checked: nothing is published; export again"
            )


def _publish(
    repository: Path, name: str, new: NewVersion, lock: Pulse, *, force: bool, renumber: bool
) -> None:
    """Give a complete version its name, and make it the one to serve; all or nothing."""
    model_folder = repository / name
    new.pulse.close()
    replaced = aside(model_folder, new.number, "replaced")
    if force and (model_folder / str(new.number)).exists():
        (model_folder / str(new.number)).rename(replaced)
    _name(model_folder, new, renumber=renumber)
    final = model_folder / str(new.number)
    try:
        serve(repository, name, new.number, lock)
    except (OSError, RepositoryError):
        shutil.rmtree(final)
        if replaced.exists():
            replaced.rename(final)
        raise
    if replaced.exists():
        discard(replaced)


def _name(model_folder: Path, new: NewVersion, *, renumber: bool) -> None:
    """Rename a version's folder to its number, or to the next one that no other export has taken meanwhile.

    Raises:
        RepositoryError: when it is taken and the next one is not allowed.
    """
    while True:
        try:
            # Fails when the number is taken, also where this machine does not see that yet.
            new.folder.rename(model_folder / str(new.number))
            return
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
        if not renumber:
            raise RepositoryError(
                f"another export has published {model_folder / str(new.number)} meanwhile: "
                "--force replaces it"
            )
        taken, new.number = new.number, max(new.number, *version_numbers(model_folder)) + 1
        logger.info("another export has published version %d meanwhile: this is %d", taken, new.number)
        config = read_config(new.folder / CONFIG_NAME)
        config.version_policy.specific.versions[:] = [new.number]
        write_config(config, new.folder)


def _remove_oldest(repository: Path, name: str, keep: int) -> None:
    """Delete the versions that this export published beyond `keep`; those that cannot be deleted stay."""
    kept = {*history(repository, name)[-min(keep, 2) :], served_number(repository, name)} - {None}
    present = versions(repository, name)
    for version in reversed(present):
        if len(kept) < keep:
            kept.add(version.number)
    for version in present:
        if version.number not in kept:
            _remove(version)


def _remove(version: Version) -> None:
    """Rename a version and delete it, so that nobody finds half of it; leave a protected one alone."""
    removed = aside(version.folder.parent, version.number, "removed")
    try:
        require_writable(version.folder)
        version.folder.rename(removed)
    except OSError as error:
        logger.warning(
            "version %d of %s stays, because %s cannot be removed (%s): %s",
            version.number,
            version.model_name,
            version.folder,
            error.strerror,
            advice(OSError(error.errno, error.strerror, str(version.folder)), "remove it by hand"),
        )
        return
    logger.info("removed version %d of %s", version.number, version.model_name)
    discard(removed)


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
